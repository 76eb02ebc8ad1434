"""Resuming a run whose process was killed, or that failed.

Whoever resumes a run reads its order (`order.py`) and takes up its trace and its checkpoints.
`NodeEnds` makes sure that what is in the trace is in the checkpoints too.
"""

import uuid
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from trading_graph.graph.backend_choice import BackendChoice
from trading_graph.graph.options import DECIDERS
from trading_graph.otel.errors import TraceError
from trading_graph.otel.files.run_log import RunLog, is_open
from trading_graph.otel.files.unfinished_run import read_unfinished_run
from trading_graph.otel.spans import SpanListener, UnfinishedRun
from trading_graph.otel.trace import semconv
from trading_graph.service.errors import NotResumableError
from trading_graph.service.run.folder import (
    ORDER,
    TRACE,
    FolderState,
    RunFolder,
    agents_done,
    folder_state,
)
from trading_graph.service.run.order import RunOrder


def failed_undecided(folder: RunFolder) -> bool:
    """Whether a run failed before an agent had decided with its deep model. Blocks."""
    if folder_state(folder.path) is not FolderState.FAILED:
        return False
    return agents_done(folder.path).isdisjoint(DECIDERS)


def interrupted_run(word: str, out: Path) -> uuid.UUID:
    """The run that an id or `last` names; raises NotResumableError. Blocks."""
    if word != "last":
        try:
            return uuid.UUID(word)
        except ValueError:
            raise NotResumableError(
                f"{word} is no run's id; name one of {out}, or `last` for the newest that was "
                "interrupted or failed."
            ) from None
    run_ids = list(interrupted_runs(out))
    if not run_ids:
        raise NotResumableError(
            f"No run in {out} was interrupted, and none that failed can be resumed."
        )
    return uuid.UUID(run_ids[-1])


def interrupted_runs(out: Path) -> dict[str, RunOrder]:
    """The orders of the runs that can be resumed, by run id, those that stopped last at the end.

    A run whose order cannot be read is left out, since nobody knows its request. Blocks.
    """
    orders = {}
    for folder in sorted((order.parent for order in out.glob(f"*/{ORDER}")), key=_last_sign):
        try:
            order = RunOrder.parse((folder / ORDER).read_text("utf-8"), str(folder / ORDER))
        except (FileNotFoundError, NotResumableError):
            continue
        if folder_state(folder) in (FolderState.INTERRUPTED, FolderState.FAILED):
            orders[folder.name] = order
    return orders


def _last_sign(folder: Path) -> tuple[int, str]:
    """When a run last gave a sign of life, and its id."""
    try:
        return (folder / TRACE).stat().st_mtime_ns, folder.name
    except FileNotFoundError:
        return 0, folder.name


@dataclass(frozen=True, slots=True)
class ClaimedRun:
    """A killed or failed run that belongs to this process now.

    `unfinished` is None when the earlier process recorded nothing.
    """

    folder: RunFolder
    order: RunOrder
    log: RunLog
    unfinished: UnfinishedRun | None

    def resume_order(self, choice: BackendChoice) -> RunOrder:
        """Store the order that the run goes on with, and return it; raises NotResumableError."""
        order = self.order.resumed_with(choice, undecided=self._failed_undecided())
        if order != self.order:
            self.folder.write_order(order.model_dump_json(indent=2) + "\n")
        return order

    def _failed_undecided(self) -> bool:
        if self.unfinished is None or not self.unfinished.failure:
            return False
        deciders = [
            span
            for span in self.unfinished.ended_spans
            if (span.attributes or {}).get(semconv.AGENT_NAME) in DECIDERS
        ]
        return not has_agent(deciders)


def stored_order(out: Path, run_id: str) -> RunOrder:
    """The order of a run that can be resumed; raises NotResumableError. Blocks."""
    folder = RunFolder(out, run_id)
    if not folder.path.is_dir():
        raise NotResumableError(f"There is no run {run_id} in {out}; trading-graph run makes one.")
    state = folder_state(folder.path)
    if state is FolderState.RUNNING:
        raise NotResumableError(
            f"The run {run_id} still runs; wait for its end, or end its process."
        )
    if state is FolderState.OVER:
        raise NotResumableError(
            f"The run {run_id} is over; see what it left with: trading-graph verify {run_id}"
        )
    try:
        return RunOrder.parse(folder.order.read_text("utf-8"), str(folder.order))
    except FileNotFoundError:
        raise NotResumableError(
            f"{folder.order} is gone, so nobody knows what the run was asked to do; start the "
            "analysis anew."
        ) from None


def claim(out: Path, run_id: str) -> ClaimedRun:
    """Claim a killed or failed run; raises NotResumableError or OSError. Blocks."""
    order = stored_order(out, run_id)
    folder = RunFolder(out, run_id)
    log = RunLog.take_up(folder.trace)
    if log is None or not is_open(folder.trace):
        if log is not None:
            log.close(over=False)
        raise NotResumableError(
            f"The run {run_id} was taken up by another process; leave it to that."
        )
    try:
        unfinished = read_unfinished_run(folder.trace)
        if not folder.has_checkpoints() and unfinished and _has_agents(unfinished):
            raise NotResumableError(
                f"{folder.checkpoints} is gone, and with it what the run's agents had brought; "
                "start the analysis anew."
            )
    except TraceError as error:
        log.close(over=False)
        raise NotResumableError(f"The trace of run {run_id} cannot be read: {error}") from error
    except BaseException:
        log.close(over=False)
        raise
    return ClaimedRun(folder, order, log, unfinished)


def has_agent(spans: Iterable[ReadableSpan]) -> bool:
    """Whether one of the ended spans is that of an agent that has brought something."""
    return any(
        (span.attributes or {}).get(semconv.OPERATION_NAME) == semconv.INVOKE_AGENT
        and span.status.status_code is not StatusCode.ERROR
        for span in spans
    )


def _has_agents(unfinished: UnfinishedRun) -> bool:
    """Whether an agent had ended, so that there was something to store."""
    return any(
        (span.attributes or {}).get(semconv.OPERATION_NAME) == semconv.INVOKE_AGENT
        for span in unfinished.ended_spans
    )


class NodeEnds:
    """Passes a run's spans on, and delays the end of a node until its checkpoint is stored.

    A process can be killed between the two. The node then runs again, and a trace that already had
    its end would have two. A node that failed has nothing to store, so its end is not delayed.
    """

    def __init__(self, listener: SpanListener) -> None:
        self._listener = listener
        self._stored_tasks: set[str] = set()
        self._delayed: defaultdict[str, list[ReadableSpan]] = defaultdict(list)
        self.agent_ended_well = False
        self._lock = Lock()

    def on_start(self, span: ReadableSpan) -> None:
        """Pass a start on."""
        self._listener.on_start(span)

    def on_end(self, span: ReadableSpan) -> None:
        """Pass an end on, or delay it."""
        if has_agent([span]):
            self.agent_ended_well = True
        task = str((span.attributes or {}).get(semconv.TASK_ID, ""))
        if task and span.status.status_code is not StatusCode.ERROR:
            with self._lock:
                if task not in self._stored_tasks:
                    self._delayed[task].append(span)
                    return
        self._listener.on_end(span)

    def checkpoint_stored(self, task: str) -> None:
        """Pass on the ends that waited for the checkpoint of a task."""
        with self._lock:
            self._stored_tasks.add(task)
            delayed = self._delayed.pop(task, ())
        for span in delayed:
            self._listener.on_end(span)

    def release(self) -> None:
        """Pass on all ends: the run is over and will not be resumed."""
        for task in list(self._delayed):
            self.checkpoint_stored(task)
