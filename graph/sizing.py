"""How large an order is: by the share that the decision wants, the cash, and what is held.

An order never costs a cent more than the cash, and never sells what is not held. Where its size
depends on what nobody knows, the size is None and the cause is named. Costs and taxes of trading do
not count.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

from trading_graph.graph.holdings import (
    CONTRACTS,
    Cash,
    Holding,
    Quote,
    SizeLimit,
    Valuation,
    exact,
    is_same_currency,
)
from trading_graph.toolkit.symbols import Instrument


class OrderAction(StrEnum):
    """What happens to the holding; nothing is ever sold that is not held."""

    BUY = "buy"
    BUY_MORE = "buy_more"
    KEEP = "keep"
    SELL_PART = "sell_part"
    SELL_ALL = "sell_all"
    STAY_OUT = "stay_out"
    """Nothing is held, and nothing is bought."""


@dataclass(frozen=True, slots=True)
class Account:
    """What an order on one symbol is sized by."""

    symbol: str
    quote: Quote
    holding: Holding | None
    cash: Cash | None
    valuation: Valuation

    @property
    def quantity(self) -> float:
        """The quantity that is held."""
        return self.holding.quantity if self.holding else 0.0

    @property
    def spendable(self) -> float | None:
        """The cash, where it is in the currency of the quote."""
        if self.cash is None or not is_same_currency(self.cash.currency, self.quote.currency):
            return None
        return self.cash.amount

    @property
    def value(self) -> float | None:
        """What the holding is worth; None for contracts."""
        if self.quote.instrument in CONTRACTS:
            return None
        return float(exact(self.quantity) * exact(self.quote.price))

    @property
    def share_pct(self) -> float | None:
        """The holding's share of the portfolio, in per cent."""
        value, whole = self.value, self.valuation.value
        return 100 * value / whole if value is not None and whole else None

    @property
    def gain(self) -> float | None:
        """What the holding has gained since it was bought; None across currencies."""
        if self.value is None or self.holding is None or not self._is_paid_in_quote:
            return None
        paid = exact(self.holding.price)
        return float(exact(self.quantity) * (exact(self.quote.price) - paid))

    @property
    def gain_pct(self) -> float | None:
        """The same in per cent of the price paid; known for contracts too."""
        if self.holding is None or not self._is_paid_in_quote:
            return None
        return float(100 * (exact(self.quote.price) / exact(self.holding.price) - 1))

    @property
    def _is_paid_in_quote(self) -> bool:
        stated = self.holding.currency if self.holding else ""
        return is_same_currency(stated, self.quote.currency)


@dataclass(frozen=True, slots=True)
class TradeOrder:
    """What a decision does with the holding, at the last close and before costs.

    `quantity` is to be bought or sold, as `action` says; None where it cannot be said, and `limits`
    says why. `gain` is that of the whole holding at `price` against the price paid. Amounts are in
    `currency`. `words` say the same in sentences.
    """

    action: OrderAction
    price: float
    currency: str
    quantity_before: float
    quantity: float | None
    quantity_after: float | None
    value: float | None
    cash_before: float | None
    cash_after: float | None
    portfolio_value: float | None
    price_paid: float | None
    price_paid_currency: str
    gain: float | None
    gain_pct: float | None
    limits: tuple[SizeLimit, ...] = ()
    words: str = ""


_SMALLEST = {Instrument.CRYPTO: Fraction(1, 10**6)}
"""The smallest quantity that is traded; one of anything else."""


def smallest_quantity(instrument: Instrument) -> Fraction:
    """The smallest quantity of a kind of instrument that is traded."""
    return _SMALLEST.get(instrument, Fraction(1))


def buy(account: Account, share_pct: float, cap_pct: float | None = None) -> TradeOrder:
    """The order that brings the holding to a share of the portfolio, as far as the cash buys it.

    The share is that of the whole position, what is held included. `cap_pct` is the most that a
    position may have.
    """
    action = OrderAction.BUY_MORE if account.quantity else OrderAction.BUY
    whole, cash = account.valuation.value, account.spendable
    unsaid = _unsaid(account)
    if unsaid or whole is None or cash is None:
        return _order(account, action, None, unsaid)
    price = exact(account.quote.price)
    limits: list[SizeLimit] = []
    if cap_pct is not None and cap_pct < share_pct:
        share_pct = cap_pct
        limits.append(SizeLimit.CAP)
    room = exact(whole) * exact(share_pct) / 100 - exact(account.quantity) * price
    if room <= 0 and account.quantity:
        return _order(account, OrderAction.KEEP, Fraction(0), [*limits, SizeLimit.HELD])
    quantity = _whole(room / price, account)
    affordable = _whole(exact(cash) / price, account)
    if affordable < quantity:
        quantity = affordable
        limits.append(SizeLimit.CASH)
    if not quantity:
        action = OrderAction.KEEP if account.quantity else OrderAction.STAY_OUT
        limits.append(SizeLimit.TOO_SMALL)
    return _order(account, action, quantity, limits)


def sell(account: Account, part_pct: float | None = None) -> TradeOrder:
    """The order that sells a part of the holding, or all of it; without a holding it sells none."""
    held = exact(account.quantity)
    if not held:
        return keep(account)
    if part_pct is None or part_pct >= 100:
        return _order(account, OrderAction.SELL_ALL, held, [])
    quantity = _whole(held * exact(part_pct) / 100, account)
    if not quantity:
        return _order(account, OrderAction.KEEP, quantity, [SizeLimit.TOO_SMALL])
    return _order(account, OrderAction.SELL_PART, quantity, [])


def keep(account: Account) -> TradeOrder:
    """The order that changes nothing."""
    action = OrderAction.KEEP if account.quantity else OrderAction.STAY_OUT
    return _order(account, action, Fraction(0), [])


def _unsaid(account: Account) -> list[SizeLimit]:
    """Why the quantity of a purchase cannot be said."""
    instrument = account.quote.instrument
    if instrument is Instrument.INDEX:
        return [SizeLimit.NOT_TRADED]
    causes = [SizeLimit.CONTRACT] if instrument in CONTRACTS else []
    return _once([*causes, *(each.cause for each in account.valuation.unvalued)])


def _once(limits: Iterable[SizeLimit]) -> list[SizeLimit]:
    return list(dict.fromkeys(limits))


def _order(
    account: Account, action: OrderAction, quantity: Fraction | None, limits: Sequence[SizeLimit]
) -> TradeOrder:
    sign = -1 if action in (OrderAction.SELL_PART, OrderAction.SELL_ALL) else 1
    before, price = exact(account.quantity), exact(account.quote.price)
    after = value = cash_after = None
    cash = account.spendable
    if quantity is not None:
        after = float(before + sign * quantity)
        if not quantity or account.quote.instrument not in CONTRACTS:
            value = float(quantity * price)
            cash_after = None if cash is None else float(exact(cash) - sign * quantity * price)
    holding = account.holding
    return TradeOrder(
        action=action,
        price=account.quote.price,
        currency=account.quote.currency,
        quantity_before=account.quantity,
        quantity=None if quantity is None else float(quantity),
        quantity_after=after,
        value=value,
        cash_before=cash,
        cash_after=cash_after,
        portfolio_value=account.valuation.value,
        price_paid=holding.price if holding else None,
        price_paid_currency=(holding.currency or account.quote.currency) if holding else "",
        gain=account.gain,
        gain_pct=account.gain_pct,
        limits=tuple(_once(limits)),
    )


def _whole(quantity: Fraction, account: Account) -> Fraction:
    """The quantity in whole units of what is traded, rounded down."""
    smallest = smallest_quantity(account.quote.instrument)
    return quantity // smallest * smallest
