"""`trading-graph decisions`: the decisions on a symbol, and what the price did since each."""

import asyncio
import datetime
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from trading_graph.graph.backend_choice import BackendChoice
from trading_graph.graph.past_decisions import PastDecision, PriceSince, with_prices
from trading_graph.graph.price_text import NOT_NAMED, price_text
from trading_graph.otel.report.documents.document import SCHEMA_VERSION, Document, encode
from trading_graph.service.decision_log import DecisionLog
from trading_graph.service.exit_codes import ExitCode
from trading_graph.service.run.request import default_date
from trading_graph.service.settings import backend_choice, read_settings
from trading_graph.toolkit.as_of import AsOf
from trading_graph.toolkit.bars import Bars
from trading_graph.toolkit.errors import DataError, NoDataError
from trading_graph.toolkit.live_access import Mode
from trading_graph.toolkit.market_data import open_toolkit
from trading_graph.toolkit.symbols import parse_symbol


class DecisionsJson(Document, frozen=True, kw_only=True):
    """What `trading-graph decisions --json` prints; the oldest decision is first."""

    schema_version: Literal[1]
    symbol: str
    as_of: datetime.date
    decisions: tuple[PastDecision, ...]


def decisions_command(
    *,
    symbol: str,
    date: str | None,
    data: Mode | None,
    offline: bool,
    out: str | None,
    as_json: bool,
) -> ExitCode:
    """List the decisions on a symbol, and return the exit code."""
    talk, settings = Console(stderr=True), read_settings()
    choice = backend_choice(settings, offline=offline, own_model=False, data=data)
    name, as_of = parse_symbol(symbol), AsOf.parse(date or default_date(choice.data))
    runs = Path(out or settings.out)
    log = DecisionLog.of(settings, runs)
    logged = [each for each in log.read(name) if each.as_of <= as_of.date]
    logged.sort(key=lambda each: each.as_of)  # those of one day as they were made
    if not logged:
        raise NoDataError(
            f"No run in {runs} has decided on {name} by {as_of}; make one with: "
            f"trading-graph run {name}"
        )
    bars: Bars | None = None
    try:
        bars = asyncio.run(_bars(name, as_of, choice))
    except DataError as error:
        talk.print(f"What the price did since is not known: {error}", highlight=False, markup=False)
    decisions = with_prices(logged, bars, as_of.date)
    if as_json:
        document = DecisionsJson(
            schema_version=SCHEMA_VERSION,
            symbol=name,
            as_of=as_of.date,
            decisions=tuple(decisions),
        )
        sys.stdout.write(encode(document) + "\n")
    else:
        _show(Console(file=sys.stdout, highlight=False, emoji=False), decisions, as_of)
    return ExitCode.OK


_HEAD = (
    "As of",
    "Decision",
    "Conf.",
    "Entry",
    "Stop",
    "Target",
    "Since",
    "Low",
    "High",
    "Reached",
    "Run",
)
_WORDS = ("As of", "Decision", "Reached", "Run")
"""How the headers of columns without numbers begin."""

_WIDEST = 1000
_SHORT_ID = 12


async def _bars(symbol: str, as_of: AsOf, choice: BackendChoice) -> Bars:
    latency_s = choice.fetch_latency_s
    async with open_toolkit(choice.data, choice.access, embedded_latency_s=latency_s) as toolkit:
        return await toolkit.bars(symbol, as_of)


def _show(console: Console, decisions: list[PastDecision], as_of: AsOf) -> None:
    currency = decisions[-1].decision.currency or NOT_NAMED
    title = f"{decisions[-1].decision.symbol} as of {as_of}, levels in {currency}"
    rows = [_cells(each) for each in decisions]
    dim = [each.since is None for each in decisions]
    table = _table(title, _HEAD, rows, dim)
    if (
        Measurement.get(console, console.options.update(width=_WIDEST), table).maximum
        > console.width
    ):
        table = _table(title, _stacked(_HEAD), [_stacked(row) for row in rows], dim)
    console.print(table)


def _table(
    title: str, head: Sequence[str], rows: Sequence[Sequence[str]], dim: Sequence[bool]
) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for header in head:
        justify: Literal["left", "right"] = "left" if header.startswith(_WORDS) else "right"
        table.add_column(header, justify=justify, no_wrap=True)
    for row, is_dim in zip(rows, dim, strict=True):
        table.add_row(*map(Text, row), style="dim" if is_dim else "")
    return table


def _stacked(cells: Sequence[str]) -> list[str]:
    """The cells on two lines, for a narrow screen; a run's id is shortened, and no number."""
    date, action, confidence, entry, stop, target, since, low, high, reached, run = cells
    return [
        f"{date}\n{run[:_SHORT_ID]}",
        f"{action}\n{reached}",
        confidence,
        entry,
        f"{stop}\n{target}",
        since,
        f"{low}\n{high}",
    ]


def _cells(past: PastDecision) -> list[str]:
    decision = past.decision
    mark = " (degraded)" if decision.degraded else ""
    levels = (decision.entry, decision.stop, decision.target)
    return [
        str(decision.as_of),
        f"{decision.action}{mark}",
        f"{decision.confidence:.2f}",
        *("-" if price is None else price_text(price) for price in levels),
        *_since(past.since),
        decision.run_id,
    ]


def _since(since: PriceSince | None) -> list[str]:
    if since is None:
        return ["-", "-", "-", "-"]
    moves = (since.change_pct, since.lowest_pct, since.highest_pct)
    reached = f"{since.reached} {since.reached_on}" if since.reached else "-"
    return [*(f"{move:+.1f} %" for move in moves), reached]
