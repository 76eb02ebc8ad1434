"""The tables of a portfolio's report, for the terminal and for Markdown."""

from collections.abc import Sequence

from rich.cells import cell_len

from trading_graph.otel.report.tables import Table
from trading_graph.service.portfolio.results.backtest import BackTest
from trading_graph.service.portfolio.results.ranking import Place, Ranking
from trading_graph.service.portfolio.results.trade_orders import PlacedOrder
from trading_graph.service.portfolio.results.wording import (
    UNDECIDED,
    change_text,
    group_name,
    levels_text,
    per_cent,
    with_interval,
)
from trading_graph.service.portfolio.symbol_list import RefusedSymbol

_SPARE = (
    "Its drawdown",
    "Days",
    "Sessions",
    "Reward / risk",
    "Apart",
    "Invested on average",
    "Position",
    "Drawdown",
    "Excess",
    "Change",
    "Open",
    "Purchases",
)
"""The columns that a narrow terminal can do without, the first to go first."""
_GAP = 2


def fit(table: Table, width: int) -> tuple[Table, tuple[str, ...]]:
    """The table with as many columns as fit into a width, and the titles of the others.

    A column of text may have more lines.
    """
    dropped: list[str] = []
    for title in _SPARE:
        if table.texts or _width(table) <= width:
            break
        if title in table.head:
            table = _without(table, table.head.index(title))
            dropped.append(title)
    return table, tuple(dropped)


def _width(table: Table) -> int:
    columns = zip(table.head, *table.rows, strict=True)
    return sum(max(map(cell_len, column)) + _GAP for column in columns)


def _without(table: Table, column: int) -> Table:
    head, *rows = (
        [cell for number, cell in enumerate(row) if number != column]
        for row in (table.head, *table.rows)
    )
    return Table(head, rows)


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
        ("Decided by",),
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
        ("Date", "State", "Reason"),
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
        ("Symbol", "Order"),
        [[each.place.decision.symbol, each.order.words] for each in orders],
        ("Order",),
    )


def left_out_table(refused: Sequence[RefusedSymbol]) -> Table:
    """What of the list is no symbol, and why."""
    return Table(("Word", "Reason"), [[each.text, each.reason] for each in refused], ("Reason",))


def untested_table(back_test: BackTest) -> Table:
    """Decisions that could not be followed, and why."""
    return Table(
        ("Symbol", "Date", "Reason"),
        [
            [each.ticker_day.symbol, str(each.ticker_day.date), str(each.reason)]
            for each in back_test.untested
        ],
        ("Date", "Reason"),
    )
