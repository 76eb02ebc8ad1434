"""The tables of a portfolio's report, for the terminal and for Markdown."""

from collections.abc import Sequence

from trading_graph.otel.report.tables import Table
from trading_graph.service.portfolio.backtest import BackTest
from trading_graph.service.portfolio.ranking import Place, Ranking
from trading_graph.service.portfolio.trade_orders import PlacedOrder
from trading_graph.service.portfolio.wording import (
    UNDECIDED,
    change_text,
    group_name,
    levels_text,
    per_cent,
    with_interval,
)


def place_table(places: Sequence[Place], ranking: Ranking) -> Table:
    """Decisions that a model made, in their order."""
    return Table(
        (
            "Symbol",
            "Gain/risk",
            "Reward / risk",
            "Confidence",
            "Entry · stop · target",
            "Position",
            "Days",
            "Change",
        ),
        [_row(place, ranking) for place in places],
    )


def _row(place: Place, ranking: Ranking) -> list[str]:
    final, promise = place.decision.decision, place.expectation
    number = "" if place.rank is None else f"{place.rank}. "
    mark = " (degraded)" if place.decision.degraded else ""
    return [
        f"{number}{place.decision.symbol}{mark}",
        "-" if promise is None else f"{promise.per_risk:+.2f}",
        "-" if promise is None else f"{per_cent(promise.reward)} / {per_cent(promise.risk)}",
        f"{place.confidence:.2f}",
        levels_text(place),
        "-" if final.position_pct is None else f"{final.position_pct:g} %",
        "-" if final.horizon_days is None else str(final.horizon_days),
        change_text(place, ranking),
    ]


def undecided_table(ranking: Ranking) -> Table:
    """HOLDs that no model decided."""
    return Table(
        ("Symbol", "Decided by"),
        [[each.decision.symbol, UNDECIDED[each.decision.decided_by]] for each in ranking.undecided],
    )


def unfinished_table(ranking: Ranking) -> Table:
    """Ticker-days without a decision, and why."""
    return Table(
        ("Symbol", "Date", "State", "Reason"),
        [
            [
                each.ticker_day.symbol,
                str(each.ticker_day.date),
                str(each.state),
                each.reason or "-",
            ]
            for each in ranking.unfinished
        ],
    )


def group_table(back_test: BackTest) -> Table:
    """The outcomes by action, band of confidence and knowledge."""
    return Table(
        (
            "Decisions",
            "Number",
            "Open",
            "Apart",
            "Hit rate",
            "Mean return",
            "Excess",
            "Drawdown",
            "Sessions",
        ),
        [
            [
                group_name(each),
                str(each.size),
                str(each.open),
                str(each.independent),
                with_interval(each.hit_rate, each.hit_interval, digits=0),
                with_interval(each.profit, each.profit_interval, sign=True),
                with_interval(each.excess, each.excess_interval, sign=True),
                per_cent(each.drawdown),
                f"{each.sessions:.0f}",
            ]
            for each in back_test.groups
        ],
    )


def account_table(back_test: BackTest) -> Table:
    """All purchases as one account for each currency."""
    return Table(
        (
            "Account",
            "Purchases",
            "Return",
            "Drawdown",
            "Invested on average",
            "Benchmark",
            "Its drawdown",
        ),
        [
            [
                each.currency or "currency not named",
                f"{each.account.bought} of {each.account.purchases}",
                per_cent(each.account.profit, sign=True),
                per_cent(each.account.drawdown),
                per_cent(each.account.exposure),
                f"{each.benchmark} {per_cent(each.benchmark_profit, sign=True)}".strip(),
                per_cent(each.benchmark_drawdown),
            ]
            for each in back_test.accounts
        ],
    )


def order_table(orders: Sequence[PlacedOrder]) -> Table:
    """What the decisions do with what is held, in sentences."""
    return Table(
        ("Symbol", "Order"), [[each.place.decision.symbol, each.order.words] for each in orders]
    )


def untested_table(back_test: BackTest) -> Table:
    """Decisions that could not be followed, and why."""
    return Table(
        ("Symbol", "Date", "Reason"),
        [
            [each.ticker_day.symbol, str(each.ticker_day.date), str(each.reason)]
            for each in back_test.untested
        ],
    )
