"""The decisions of a portfolio, ranked and back-tested, and their orders: what its report tells."""

from collections.abc import Sequence
from dataclasses import dataclass

from trading_graph.graph.holdings import Holdings
from trading_graph.service.portfolio.results.backtest import BackTest, Rules, back_test
from trading_graph.service.portfolio.results.later_prices import Prices
from trading_graph.service.portfolio.results.ranking import Ranking, rank
from trading_graph.service.portfolio.results.trade_orders import PlacedOrder, plan_orders
from trading_graph.service.portfolio.symbol_list import RefusedSymbol
from trading_graph.service.portfolio.ticker_day import TickerDayResult


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """A portfolio's ranking, orders and back-test.

    `back_test` and `prices` are None without prices, `orders` also where nobody said what is held.
    `left_out` are the words of the list that are no symbols.
    """

    name: str
    ranking: Ranking
    back_test: BackTest | None = None
    orders: tuple[PlacedOrder, ...] | None = None
    prices: Prices | None = None
    left_out: tuple[RefusedSymbol, ...] = ()


def evaluate(
    name: str,
    results: Sequence[TickerDayResult],
    prices: Prices | None = None,
    rules: Rules | None = None,
    earlier: Sequence[TickerDayResult] = (),
    holdings: Holdings | None = None,
    left_out: Sequence[RefusedSymbol] = (),
) -> Evaluation:
    """Rank and back-test the results, of which there is at least one.

    `earlier` are results of other portfolios, for what changed since the evening before.
    """
    rules = rules or Rules()
    ranking = rank(results, earlier)
    if prices is None:
        return Evaluation(name, ranking, left_out=tuple(left_out))
    orders = None
    if holdings is not None and holdings.is_stated:
        orders = plan_orders(ranking, holdings, prices, rules.cap_pct)
    tested = back_test(results, prices, rules)
    return Evaluation(name, ranking, tested, orders, prices, tuple(left_out))
