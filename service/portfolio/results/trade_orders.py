"""The orders of an evening: what the ranked decisions do with what is held, and with one cash.

The BUYs take the cash in the order of their rank. What a SELL brings is not spent on the same
evening: it is there only once it is sold. No position becomes larger than the cap.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from trading_graph.graph.accounts import order_of
from trading_graph.graph.decisions import Action, FinalDecision
from trading_graph.graph.holdings import Cash, Holdings, Quote, value_portfolio
from trading_graph.graph.order_text import order_words
from trading_graph.graph.sizing import Account, TradeOrder, buy
from trading_graph.service.portfolio.results.later_prices import Prices
from trading_graph.service.portfolio.results.ranking import Place, Ranking
from trading_graph.toolkit.as_of import AsOf
from trading_graph.toolkit.bars import Bars
from trading_graph.toolkit.symbols import identify


@dataclass(frozen=True, slots=True)
class PlacedOrder:
    """The order that a decision leads to."""

    place: Place
    order: TradeOrder


def plan_orders(
    ranking: Ranking, holdings: Holdings, prices: Prices, cap_pct: float | None
) -> tuple[PlacedOrder, ...]:
    """The orders of all decisions that a model made, in the order of the ranking.

    `cap_pct` is the most that a position may have of the portfolio, in per cent; None: what its
    decision names. A symbol without
    prices has no order; a holding without prices leaves purchases without a quantity.
    """
    symbols = {each.symbol for each in holdings.positions}
    symbols |= {each.decision.symbol for each in ranking.ranked}
    quotes = {symbol: _quote(symbol, prices, AsOf(ranking.evening)) for symbol in symbols}
    cash = holdings.cash
    orders = []
    for place in ranking.ranked:
        quote = quotes[place.decision.symbol]
        if isinstance(quote, str):
            continue
        account = _account(place.decision.symbol, quote, holdings, quotes, cash)
        order = _order(place.decision.decision, account, cap_pct)
        if order is None:
            continue
        orders.append(PlacedOrder(place, order))
        if place.action is Action.BUY and cash is not None and order.cash_after is not None:
            cash = replace(cash, amount=order.cash_after)
    return tuple(orders)


def _account(
    symbol: str,
    quote: Quote,
    holdings: Holdings,
    quotes: Mapping[str, Quote | str],
    cash: Cash | None,
) -> Account:
    """What is held of a symbol, with the cash that is left and the value of the whole evening."""
    valuation = value_portfolio(holdings, quotes, quote.currency)
    return Account(symbol, quote, holdings.of_symbol(symbol), cash, valuation)


def _order(decision: FinalDecision, account: Account, cap_pct: float | None) -> TradeOrder | None:
    if decision.action is not Action.BUY:
        return order_of(decision, account)
    order = buy(account, decision.position_pct or 0.0, cap_pct)
    return replace(order, words=order_words(order, account))


def _quote(symbol: str, prices: Prices, evening: AsOf) -> Quote | str:
    """The last close of an evening, or the sentence that says why there is none."""
    bars: Bars | None = prices.bars.get(symbol)
    if bars is None:
        return prices.missing.get(symbol, f"No prices of {symbol} were asked for.")
    known = bars.on_basis_of(evening.date).until(evening.date)
    if not len(known):
        return f"The prices of {symbol} begin after {evening}."
    instrument = (bars.identity or identify(symbol)).instrument
    return Quote(float(known.close[-1]), bars.currency, instrument)
