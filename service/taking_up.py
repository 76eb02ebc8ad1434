"""Taking up a run that was killed: its order, its journal, and what its process left open."""

from dataclasses import dataclass
from pathlib import Path

from trading_graph.otel.errors import TraceError
from trading_graph.otel.files import Journal, read_unfinished_run
from trading_graph.otel.spans import UnfinishedRun
from trading_graph.otel.trace import semconv
from trading_graph.service.errors import NotResumable
from trading_graph.service.run_folder import RunFolder
from trading_graph.service.run_order import RunOrder
from trading_graph.service.run_standing import Standing, standing


@dataclass(frozen=True, slots=True)
class TakenUp:
    """A killed run that is this process's now; `unfinished` is None where nothing was recorded."""

    folder: RunFolder
    order: RunOrder
    journal: Journal
    unfinished: UnfinishedRun | None


def kept_order(out: Path, run_id: str) -> RunOrder:
    """What a run that can be resumed was asked to do; raises NotResumable. Blocks."""
    folder = RunFolder(out, run_id)
    if not folder.path.is_dir():
        raise NotResumable(f"There is no run {run_id} in {out}; trading-graph run makes one.")
    at = standing(folder.path)
    if at is Standing.RUNNING:
        raise NotResumable(f"The run {run_id} still runs; wait for its end, or end its process.")
    if at is Standing.OVER:
        raise NotResumable(
            f"The run {run_id} is over; see what it left with: trading-graph verify {run_id}"
        )
    try:
        return RunOrder.parse(folder.order.read_text("utf-8"), str(folder.order))
    except FileNotFoundError:
        raise NotResumable(
            f"{folder.order} is gone, so nobody knows what the run was asked to do; start the "
            "analysis anew."
        ) from None


def take_up(out: Path, run_id: str) -> TakenUp:
    """Make a killed run this process's own; raises NotResumable or OSError. Blocks."""
    order = kept_order(out, run_id)
    folder = RunFolder(out, run_id)
    journal = Journal.take_up(folder.journal)
    if journal is None:
        raise NotResumable(f"The run {run_id} was taken up by another process; leave it to that.")
    try:
        unfinished = read_unfinished_run(folder.trace, folder.journal)
        if not folder.checkpoints.exists() and unfinished and _has_agents(unfinished):
            raise NotResumable(
                f"{folder.checkpoints} is gone, and with it what the run's agents had brought; "
                "start the analysis anew."
            )
        journal.mend()
    except TraceError as error:
        journal.close(over=False)
        raise NotResumable(f"The trace of run {run_id} cannot be read: {error}") from error
    except BaseException:
        journal.close(over=False)
        raise
    return TakenUp(folder, order, journal, unfinished)


def _has_agents(unfinished: UnfinishedRun) -> bool:
    """Whether an agent had ended, and so brought something."""
    return any(
        (span.attributes or {}).get(semconv.OPERATION_NAME) == semconv.INVOKE_AGENT
        for span in unfinished.ended_spans
    )
