"""The folder of a run, and the state of the run that it shows: running, killed, failed or over.

`trace.jsonl` is the log of the run and grows while it is under way (`otel/files/run_log.py`).
`decision.json`, `report.md` and, where the run has prices, the `chart.svg` that the report shows
are written at its end, whole or not at all. While the run is under way there are also `order.json`
(its request) and `checkpoints.sqlite` (what its nodes have brought): all that another process needs
to resume it.

The process of a run holds a lock on the log. A killed process leaves the log without the lock, and
the log of a run that is over says so. A run that failed after an agent had brought something keeps
all of these files, and a `report.md` of what it has; one that failed before leaves only its trace.
"""

import os
import shutil
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from trading_graph.graph.gate_loader import PORTFOLIO_ID
from trading_graph.otel.files.run_log import JOURNAL, as_spans, is_locked, is_open
from trading_graph.otel.sources import parse
from trading_graph.otel.trace import ERROR, SpanTable, semconv
from trading_graph.otel.vocabularies.limits import ITEM

DECISION, REPORT, TRACE = "decision.json", "report.md", "trace.jsonl"
CHART = "chart.svg"
ORDER, CHECKPOINTS = "order.json", "checkpoints.sqlite"
CHECKPOINTS_ELSEWHERE = "checkpoints.elsewhere"
"""An empty file in the place of the checkpoints, where a database has them."""

RECEIVED = "received"
"""Where the service keeps the traces that programs send, among the folders of runs."""

_SHOWN = 6


class FolderState(StrEnum):
    """The state of a run, as its folder shows it."""

    RUNNING = "running"
    INTERRUPTED = "interrupted"
    FAILED = "failed"
    """It ended in an error, and can be resumed."""
    OVER = "over"


class RunFolder:
    """The folder of one run, below the folder of all runs, and its files.

    `order` and `checkpoints` exist until the run is over.
    """

    def __init__(self, out: Path, run_id: str) -> None:
        self.path = out / run_id
        self.trace = self.path / TRACE
        self.decision = self.path / DECISION
        self.order = self.path / ORDER
        self.checkpoints = self.path / CHECKPOINTS
        self.checkpoints_elsewhere = self.path / CHECKPOINTS_ELSEWHERE

    def has_checkpoints(self) -> bool:
        """Whether checkpoints of the run are in its folder, or in a database."""
        return self.checkpoints.is_file() or self.checkpoints_elsewhere.is_file()

    def create(self, order: str) -> None:
        """Make the folder of a new run; raises OSError, also when it exists already."""
        self.path.mkdir(parents=True)
        self.write_order(order)

    def write_order(self, order: str) -> None:
        """Write what the run is asked to do."""
        replace_text(self.order, order)

    def write(self, decision: str, report: str, chart: str | None) -> None:
        """Write the decision, and the report with the chart that it shows, if any."""
        if chart is not None:
            replace_text(self.path / CHART, chart)
        replace_text(self.decision, decision)
        self.write_report(report)

    def write_report(self, report: str) -> None:
        """Write the report."""
        replace_text(self.path / REPORT, report)


def replace_text(path: Path, text: str) -> None:
    """Write a file whole or not at all; raises OSError."""
    temporary = path.with_name(f".{path.name}.partial")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def folder_state(folder: Path) -> FolderState:
    """The state of the run of a folder. Blocks."""
    log = folder / TRACE
    if not bring_up(folder):
        return FolderState.RUNNING
    try:
        if not is_open(log):
            return FolderState.OVER
        if is_locked(log):
            return FolderState.RUNNING
    except FileNotFoundError:
        return FolderState.OVER
    trace = read_spans(folder)
    run = None if trace is None else _run(trace)
    if trace is None or run is None or trace.end[run] == 0:
        return FolderState.INTERRUPTED
    if trace.status[run] != ERROR or not RunFolder(folder.parent, folder.name).has_checkpoints():
        return FolderState.OVER
    # A process that went on with a failed run may have been killed.
    return FolderState.FAILED if trace.end.all() else FolderState.INTERRUPTED


def bring_up(folder: Path) -> bool:
    """Make one log of what an earlier release left; false where its process still runs. Blocks."""
    if not (folder / JOURNAL).exists():
        return True
    # Not above: it imports OpenTelemetry's SDK, and hardly any folder needs it.
    from trading_graph.otel.files.unfinished_run import bring_up

    return bring_up(folder / TRACE)


def agents_done(folder: Path) -> frozenset[str]:
    """The agents of a run that have ended well. Blocks."""
    trace = read_spans(folder)
    if trace is None:
        return frozenset()
    ended = [row for row in range(len(trace)) if trace.end[row] and trace.status[row] != ERROR]
    names = [trace.attributes(row).get(semconv.AGENT_NAME) for row in ended]
    return frozenset(str(name) for name in names if name)


def unfinished_sentence(folder: Path) -> str | None:
    """What a run that goes on or was killed has recorded so far; None for any other. Blocks."""
    state = folder_state(folder)
    if state in (FolderState.OVER, FolderState.FAILED):
        return None
    last_sign_ns = (folder / TRACE).stat().st_mtime_ns
    trace = read_spans(folder)
    progress = "nothing was recorded"
    seconds = ""
    if trace is not None:
        ended = [row for row in range(len(trace)) if trace.end[row]]
        last_sign_ns = max(last_sign_ns, int(trace.start.max()), int(trace.end.max()))
        seconds = f" after {(last_sign_ns - int(trace.start.min())) / 1e9:.1f} s"
        progress = f"{len(ended)} of {len(trace)} started spans had ended"
        progress += f"; open were: {_open(trace)}"
    when = datetime.fromtimestamp(last_sign_ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    is_portfolio = trace is not None and PORTFOLIO_ID in trace.keys
    what, command = ("portfolio", "portfolio resume") if is_portfolio else ("run", "run --resume")
    if state is FolderState.RUNNING:
        return (
            f"The {what} {folder.name} still runs{seconds and f', {seconds[7:]} by now'}: "
            f"{progress}; wait for its end."
        )
    return (
        f"The {what} {folder.name} was interrupted at {when}{seconds}: {progress}; resume it with: "
        f"trading-graph {command} {folder.name}"
    )


def state_left_by(folder: RunFolder) -> FolderState | None:
    """The state in which an earlier process left a run; None if it had not begun. Blocks.

    What a process leaves that was killed at once is deleted.
    """
    state = folder_state(folder.path)
    if folder.trace.exists() or folder.decision.exists():
        return state
    shutil.rmtree(folder.path, ignore_errors=True)
    return None


def read_spans(folder: Path) -> SpanTable | None:
    """The recorded spans of a run; the end of an open span is 0. Blocks."""
    log = folder / TRACE
    try:
        content = log.read_bytes()
    except FileNotFoundError:
        return None
    # A killed process may leave a part of the first line.
    traces = parse(as_spans(content), str(log)) if b"\n" in content else []
    return traces[0] if traces else None


def _run(trace: SpanTable) -> int | None:
    rows = range(len(trace))
    return next((row for row in rows if semconv.RUN_ID in trace.attributes(row)), None)


def _open(trace: SpanTable) -> str:
    """The open spans without an open span below them, each with the path down to it."""
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
            item = trace.attributes(at).get(ITEM, "")
            way.append(f"{trace.names[at]} {item}".rstrip())
            at = int(trace.parent[at])
        ways.append(" > ".join(reversed(way)) or "the run itself")
    more = f" and {len(ways) - _SHOWN} more" if len(ways) > _SHOWN else ""
    return ", ".join(ways[:_SHOWN]) + more
