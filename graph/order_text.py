"""What happens to a holding, in sentences: what is traded, what limits it, what it gained."""

from collections.abc import Iterator

from trading_graph.graph.holdings import SizeLimit, Unvalued
from trading_graph.graph.price_text import NOT_NAMED, money_text
from trading_graph.graph.sizing import Account, OrderAction, TradeOrder, smallest_quantity


def order_words(order: TradeOrder, account: Account, share_pct: float | None = None) -> str:
    """The order in a few sentences, each amount with its currency.

    `share_pct` is the share of the portfolio that a purchase was to reach, where one is known.
    """
    parts = [
        _deed(order, account.symbol),
        *_limits(order, account, share_pct),
        *_gain(order, account),
    ]
    return " ".join(parts)


def _deed(order: TradeOrder, symbol: str) -> str:
    held, after = quantity_text(order.quantity_before), quantity_text(order.quantity_after)
    match order.action:
        case OrderAction.STAY_OUT:
            return f"No {symbol} is held, and none is bought or sold."
        case OrderAction.KEEP:
            return f"Keep the {held} {symbol} that are held."
        case OrderAction.SELL_ALL:
            return f"Sell all {held} {symbol}{_deal(order)}."
        case OrderAction.SELL_PART:
            quantity = quantity_text(order.quantity)
            return f"Sell {quantity} of the {held} {symbol}{_deal(order)}; {after} are left."
        case OrderAction.BUY | OrderAction.BUY_MORE:
            before = f"; {held} are held" if order.quantity_before else ""
            if order.quantity is None:
                buy = f"Buy more {symbol} ({held} are held)" if before else f"Buy {symbol}"
                if order.limits == (SizeLimit.NO_CASH,):
                    return f"{buy}. How many depends on the cash, which nobody named."
                return f"{buy}; how many cannot be said."
            more = f"{before}, and {after} after that" if before else ""
            return f"Buy {quantity_text(order.quantity)} {symbol}{_deal(order)}{more}."


def _deal(order: TradeOrder) -> str:
    """The price and the value of what is traded, and the cash after that."""
    price = _price(order.price, order.currency)
    if order.value is None:
        return f" at the last close of {price}"
    text = f" at the last close of {price} for {amount_text(order.value, order.currency)}"
    if order.cash_after is not None:
        text += f", which leaves {amount_text(order.cash_after, order.currency)} in cash"
    return text


def _limits(order: TradeOrder, account: Account, share_pct: float | None) -> Iterator[str]:
    share = account.share_pct
    wanted = "no more is wanted" if share_pct is None else f"the decision wants {share_pct:g} %"
    cash = "" if SizeLimit.TOO_SMALL in order.limits else _cash_text(order, "buys no more")
    sentences = {
        SizeLimit.CASH: cash,
        SizeLimit.CAP: "No position may be larger.",
        SizeLimit.HELD: f"They are {'some' if share is None else f'{share:.1f}'} % of the "
        f"portfolio; {wanted}, so nothing is bought.",
        SizeLimit.TOO_SMALL: _too_small(order, account, share_pct),
        SizeLimit.NOT_TRADED: f"{account.symbol} is an index, which is not traded itself.",
    }
    yield from (text for limit in order.limits if (text := sentences.get(limit)))
    if order.quantity is not None or SizeLimit.NOT_TRADED in order.limits:
        return
    if order.limits == (SizeLimit.NO_CASH,):
        return  # The deed says it.
    parts = account.valuation.unvalued
    if SizeLimit.CONTRACT in order.limits and account.symbol not in (each.symbol for each in parts):
        yield _contract(account.symbol, account.quote.instrument)
    for part in parts:
        yield unvalued_text(part, account.quote.currency)


def _cash_text(order: TradeOrder, outcome: str) -> str:
    if order.cash_before == 0:
        return "There is no cash."
    return f"The cash of {amount_text(order.cash_before, order.currency)} {outcome}."


def _too_small(order: TradeOrder, account: Account, share_pct: float | None) -> str:
    """Why not even the smallest quantity is traded, with the amounts."""
    quantity = float(smallest_quantity(account.quote.instrument))
    unit = "one" if quantity == 1 else quantity_text(quantity)
    least = f"less than {unit} {account.symbol} at {_price(order.price, order.currency)}"
    if order.cash_before == 0 and share_pct is not None:
        return "There is no cash."
    if SizeLimit.CASH in order.limits:
        return _cash_text(order, f"is {least}")
    if share_pct is None or order.portfolio_value is None:
        return f"What would be traded is {least}."
    amount = amount_text(order.portfolio_value * share_pct / 100, order.currency)
    whole = amount_text(order.portfolio_value, order.currency)
    missing = "; beyond what is held that is " if account.quantity else ", "
    return f"{share_pct:g} % of {whole} is {amount}{missing}{least}."


def _price(price: float, currency: str) -> str:
    return money_text(price, currency, thousands=True)


def unvalued_text(part: Unvalued, currency: str) -> str:
    """Why a part of the portfolio cannot be valued."""
    quoted, named = currency or NOT_NAMED, part.detail or NOT_NAMED
    match part.cause:
        case SizeLimit.NO_CASH:
            return "Nobody said how much cash there is; give it with --cash."
        case SizeLimit.CONTRACT:
            return _contract(part.symbol, part.detail)
        case SizeLimit.NO_PRICE:
            return f"What {part.symbol} is worth is not known: {part.detail}"
    what = f"The prices of {part.symbol} are" if part.symbol else "The cash is"
    if not part.symbol and not part.detail:
        return f"The prices are in {quoted}; give the currency of the cash, such as {quoted}."
    return f"{what} in another currency ({named}) than the quote ({quoted}); none is converted."


def _contract(symbol: str, kind: str) -> str:
    return f"{symbol} is a contract ({kind}) over a quantity that its quote does not name."


def _gain(order: TradeOrder, account: Account) -> Iterator[str]:
    if order.price_paid is None:
        return
    paid = _price(order.price_paid, order.price_paid_currency)
    if order.gain_pct is None:
        quoted = order.currency or NOT_NAMED
        yield (
            f"What is held was paid {paid} each and is quoted in {quoted}: no gain or loss is said."
        )
        return
    word = "loss" if order.gain_pct < 0 else "gain"
    amount = "" if order.gain is None else f" of {amount_text(abs(order.gain), order.currency)}"
    yield f"What is held was paid {paid} each: a {word}{amount} ({order.gain_pct:+.1f} %)."


def quantity_text(quantity: float | None) -> str:
    """A quantity such as 1,200 or 0.25."""
    if quantity is None:
        return "an unknown number of"
    return f"{quantity:,.8f}".rstrip("0").rstrip(".")


def amount_text(amount: float | None, currency: str) -> str:
    """An amount of money with two decimals, and more below one."""
    if amount is None:
        return "an unknown amount"
    if 0 < abs(amount) < 1:
        return money_text(amount, currency)
    return f"{amount:,.2f} {currency or f'({NOT_NAMED})'}"
