"""The decisions of a portfolio, ranked and back-tested: what its report tells."""

from collections.abc import Sequence
from dataclasses import dataclass

from trading_graph.service.portfolio.backtest import BackTest, Rules, back_test
from trading_graph.service.portfolio.price_history import Prices
from trading_graph.service.portfolio.ranking import Ranking, rank
from trading_graph.service.portfolio.ticker_day import TickerDayResult


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """A portfolio's ranking and back-test; `back_test` and `prices` are None without prices."""

    name: str
    ranking: Ranking
    back_test: BackTest | None = None
    prices: Prices | None = None


def evaluate(
    name: str,
    results: Sequence[TickerDayResult],
    prices: Prices | None = None,
    rules: Rules | None = None,
    earlier: Sequence[TickerDayResult] = (),
) -> Evaluation:
    """Rank and back-test the results, of which there is at least one.

    `earlier` are results of other portfolios, for what changed since the evening before.
    """
    tested = None if prices is None else back_test(results, prices, rules or Rules())
    return Evaluation(name, rank(results, earlier), tested, prices)
