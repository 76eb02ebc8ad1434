"""Where a run stands, read from its folder: it goes on, it was killed, or it is over.

While a run goes on its process holds a lock on the journal of what has started; a killed process
leaves the journal without the lock, and a run that is over leaves none.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from trading_graph.otel.sources import read
from trading_graph.otel.trace import SpanTable, semconv
from trading_graph.service.run_folder import JOURNAL, ORDER, TRACE

if TYPE_CHECKING:
    from trading_graph.graph.options import Options

_SHOWN = 6


class Standing(StrEnum):
    """Where a run stands."""

    RUNNING = "running"
    INTERRUPTED = "interrupted"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class InterruptedRun:
    """A run that was killed and can be resumed."""

    run_id: str
    options: "Options"


def standing(folder: Path) -> Standing:
    """Where the run of a folder stands. Blocks."""
    # Not above: it brings the SDK, and most runs that are read are over.
    from trading_graph.otel.files import is_locked

    try:
        if is_locked(folder / JOURNAL):
            return Standing.RUNNING
    except FileNotFoundError:
        return Standing.OVER
    trace = _recorded(folder)
    run = None if trace is None else _run(trace)
    over = trace is not None and run is not None and trace.end[run] != 0
    return Standing.OVER if over else Standing.INTERRUPTED


def interrupted_runs(out: Path) -> list[InterruptedRun]:
    """The runs of a folder that can be resumed, the oldest first. Blocks.

    A run whose order cannot be read is left out: nobody knows what it was asked to do.
    """
    from trading_graph.service.errors import NotResumable
    from trading_graph.service.run_order import RunOrder

    found = []
    for journal in sorted(out.glob(f"*/{JOURNAL}")):
        folder = journal.parent
        try:
            order = RunOrder.parse((folder / ORDER).read_text("utf-8"), str(folder / ORDER))
        except (FileNotFoundError, NotResumable):
            continue
        if standing(folder) is Standing.INTERRUPTED:
            found.append(InterruptedRun(folder.name, order.options))
    return found


def unfinished_sentence(folder: Path) -> str | None:
    """What is known of a run that is not over; None for one that is. Blocks."""
    if not (folder / JOURNAL).is_file():
        return None
    at = standing(folder)
    if at is Standing.OVER:
        return None
    last_sign_ns = (folder / JOURNAL).stat().st_mtime_ns
    trace = _recorded(folder)
    known = "nothing was recorded"
    seconds = ""
    if trace is not None:
        ended = [row for row in range(len(trace)) if trace.end[row]]
        last_sign_ns = max(last_sign_ns, int(trace.start.max()), int(trace.end.max()))
        seconds = f" after {(last_sign_ns - int(trace.start.min())) / 1e9:.1f} s"
        known = f"{len(ended)} of {len(trace)} started spans had ended"
        known += f"; open were: {_open(trace)}"
    when = datetime.fromtimestamp(last_sign_ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    if at is Standing.RUNNING:
        return (
            f"The run {folder.name} still runs{seconds and f', {seconds[7:]} by now'}: {known}; "
            "wait for its end."
        )
    return (
        f"The run {folder.name} was interrupted at {when}{seconds}: {known}; resume it with: "
        f"trading-graph run --resume {folder.name}"
    )


def _recorded(folder: Path) -> SpanTable | None:
    """What was written of a run; the spans that have not ended have no end."""
    files = [path for path in (folder / TRACE, folder / JOURNAL) if _has_spans(path)]
    return read(*files)[0] if files else None


def _has_spans(path: Path) -> bool:
    """Whether there is a whole line: a killed process may leave a part of the first."""
    try:
        return b"\n" in path.read_bytes()
    except FileNotFoundError:
        return False


def _run(trace: SpanTable) -> int | None:
    rows = range(len(trace))
    return next((row for row in rows if semconv.RUN_ID in trace.attributes(row)), None)


def _open(trace: SpanTable) -> str:
    """The open spans that have no open span below them, each with the way down to it."""
    rows = [row for row in range(len(trace)) if not trace.end[row]]
    above = {int(trace.parent[row]) for row in rows}
    run = _run(trace)
    ways = []
    for row in rows:
        if row in above:
            continue
        way: list[str] = []
        at = row
        while at >= 0 and at != run:
            way.append(trace.names[at])
            at = int(trace.parent[at])
        ways.append(" > ".join(reversed(way)) or "the run itself")
    more = f" and {len(ways) - _SHOWN} more" if len(ways) > _SHOWN else ""
    return ", ".join(ways[:_SHOWN]) + more
