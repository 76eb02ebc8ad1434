"""Resuming a run whose process was killed.

`RunOrder` is stored in the run's folder from its start: what it was asked to do and what it began
on. Whoever resumes the run finds its options there, and sees whether the same model and the same
data would serve: a report of one model judged by another is nobody's analysis. No secret is stored.
`NodeEnds` sees to it that what is in the trace is in the checkpoints too.
"""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from trading_graph.graph.backend_choice import BackendChoice
from trading_graph.graph.options import Options
from trading_graph.service.settings import backend_choice
from trading_graph.service.errors import NotResumableError
from trading_graph.service.langsmith import LangSmithMode
from trading_graph.service.settings import Settings
from trading_graph.toolkit.records import Mode

from dataclasses import dataclass
from pathlib import Path

from trading_graph.otel.errors import TraceError
import uuid
from trading_graph.otel.files import Journal, read_unfinished
from trading_graph.otel.spans import Unfinished
from trading_graph.otel.trace import semconv
from trading_graph.service.errors import NotResumableError

from collections import defaultdict
from threading import Lock

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from trading_graph.otel.spans import SpanListener
from trading_graph.otel.trace import semconv
from trading_graph.service.runs.request import RunRequest, default_date
from trading_graph.service.runs.folder import JOURNAL, ORDER, RunFolder, FolderState, folder_state


class StoredModels(BaseModel):
    """The models that serve a run, and where."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: str | None
    quick: str
    deep: str


class RunOrder(BaseModel):
    """One run's options and back ends; `models` is None for the offline model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[2] = 2
    request: RunRequest
    models: StoredModels | None
    data: Mode
    chat_latency_s: float
    fetch_latency_s: float
    cache: bool
    pool: bool
    langsmith: LangSmithMode

    @classmethod
    def of(cls, request: RunRequest, choice: BackendChoice, langsmith: LangSmithMode) -> Self:
        """The order of a run that begins."""
        return cls(
            request=request,
            models=_models(choice),
            data=choice.data,
            chat_latency_s=choice.chat_latency_s,
            fetch_latency_s=choice.fetch_latency_s,
            cache=choice.cache,
            pool=choice.pool,
            langsmith=langsmith,
        )

    @property
    def offline(self) -> bool:
        """Whether LangSmith gets nothing of the run."""
        return self.langsmith is LangSmithMode.OFF

    @property
    def options(self) -> Options:
        """The options of the graph."""
        return self.request.options(default_date(self.data))

    @classmethod
    def parse(cls, text: str, origin: str) -> Self:
        """An order that was kept; raises NotResumableError."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise NotResumableError(
                f"{origin} does not say what the run was asked to do: {error.error_count()} of its "
                "values cannot be used; start the analysis anew."
            ) from None

    def choice(self, settings: Settings) -> BackendChoice:
        """What would serve the run under these settings, with the latencies that it began with."""
        timed = settings.model_copy(
            update={
                "chat_latency_s": self.chat_latency_s,
                "fetch_latency_s": self.fetch_latency_s,
            }
        )
        return backend_choice(
            timed,
            offline=False,
            own_model=self.models is not None,
            data=self.data,
            cache=self.cache,
            pool=self.pool,
        )

    def check(self, choice: BackendChoice) -> None:
        """Raise NotResumableError where another model or other data would serve than at the start."""
        now = _models(choice)
        if self.models == now and self.data == choice.data:
            return
        raise NotResumableError(
            f"The run began with {_describe(self.models)} and {self.data} data, and now {_describe(now)} "
            f"and {choice.data} data would serve; set OPENAI_API_KEY, OPENAI_BASE_URL, "
            "TRADING_GRAPH_QUICK_MODEL, TRADING_GRAPH_DEEP_MODEL and TRADING_GRAPH_DATA as they "
            "were, or start the analysis anew."
        )


def _models(choice: BackendChoice) -> StoredModels | None:
    service = choice.model
    if service is None:
        return None
    return StoredModels(base_url=service.base_url, quick=service.quick, deep=service.deep)


def _describe(models: StoredModels | None) -> str:
    if models is None:
        return "the offline model"
    where = f" at {models.base_url}" if models.base_url else ""
    return f"{models.quick} and {models.deep}{where}"


def interrupted_run(word: str, out: Path) -> uuid.UUID:
    """The id that a word is, or that of the newest interrupted run; raises NotResumableError. Blocks."""
    if word != "last":
        try:
            return uuid.UUID(word)
        except ValueError:
            raise NotResumableError(
                f"{word} is no run's id; name one of {out}, or `last` for the newest that was "
                "interrupted."
            ) from None
    run_ids = list(interrupted_runs(out))
    if not run_ids:
        raise NotResumableError(f"No run in {out} was interrupted.")
    return uuid.UUID(run_ids[-1])


def interrupted_runs(out: Path) -> dict[str, RunOrder]:
    """The orders of the runs that can be resumed, by run id, the oldest first. Blocks.

    A run whose order cannot be read is left out: nobody knows what it was asked to do.
    """
    orders = {}
    for journal in sorted(out.glob(f"*/{JOURNAL}")):
        folder = journal.parent
        try:
            order = RunOrder.parse((folder / ORDER).read_text("utf-8"), str(folder / ORDER))
        except (FileNotFoundError, NotResumableError):
            continue
        if folder_state(folder) is FolderState.INTERRUPTED:
            orders[folder.name] = order
    return orders


@dataclass(frozen=True, slots=True)
class ClaimedRun:
    """A killed run that is this process's now; `unfinished` is None where nothing was recorded."""

    folder: RunFolder
    order: RunOrder
    journal: Journal
    unfinished: Unfinished | None


def stored_order(out: Path, run_id: str) -> RunOrder:
    """What a run that can be resumed was asked to do; raises NotResumableError. Blocks."""
    folder = RunFolder(out, run_id)
    if not folder.path.is_dir():
        raise NotResumableError(f"There is no run {run_id} in {out}; trading-graph run makes one.")
    at = folder_state(folder.path)
    if at is FolderState.RUNNING:
        raise NotResumableError(f"The run {run_id} still runs; wait for its end, or end its process.")
    if at is FolderState.OVER:
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
    """Make a killed run this process's own; raises NotResumableError or OSError. Blocks."""
    order = stored_order(out, run_id)
    folder = RunFolder(out, run_id)
    journal = Journal.take_up(folder.journal)
    if journal is None:
        raise NotResumableError(f"The run {run_id} was taken up by another process; leave it to that.")
    try:
        unfinished = read_unfinished(folder.trace, folder.journal)
        if not folder.checkpoints.exists() and unfinished and _has_agents(unfinished):
            raise NotResumableError(
                f"{folder.checkpoints} is gone, and with it what the run's agents had brought; "
                "start the analysis anew."
            )
        journal.mend()
    except TraceError as error:
        journal.close(over=False)
        raise NotResumableError(f"The trace of run {run_id} cannot be read: {error}") from error
    except BaseException:
        journal.close(over=False)
        raise
    return ClaimedRun(folder, order, journal, unfinished)


def _has_agents(unfinished: Unfinished) -> bool:
    """Whether an agent had ended, and so brought something."""
    return any(
        (span.attributes or {}).get(semconv.OPERATION_NAME) == semconv.INVOKE_AGENT
        for span in unfinished.ended
    )


class NodeEnds:
    """Tells a listener of a run's spans, of a node's end only when its task is `kept`.

    A process can be killed between the two. The node is made again then, and a file that already
    held its end would have it end twice. One that failed has brought nothing that could be kept.
    """

    def __init__(self, listener: SpanListener) -> None:
        self._listener = listener
        self._stored_tasks: set[str] = set()
        self._held: defaultdict[str, list[ReadableSpan]] = defaultdict(list)
        self._lock = Lock()

    def on_start(self, span: ReadableSpan) -> None:
        """Tell of the start."""
        self._listener.on_start(span)

    def on_end(self, span: ReadableSpan) -> None:
        """Tell of the end, or hold it back."""
        task = str((span.attributes or {}).get(semconv.TASK_ID, ""))
        if task and span.status.status_code is not StatusCode.ERROR:
            with self._lock:
                if task not in self._stored_tasks:
                    self._held[task].append(span)
                    return
        self._listener.on_end(span)

    def checkpoint_stored(self, task: str) -> None:
        """What this task has brought is kept: tell of the ends that waited for it."""
        with self._lock:
            self._stored_tasks.add(task)
            held = self._held.pop(task, ())
        for span in held:
            self._listener.on_end(span)

    def release(self) -> None:
        """The run is over and will not be taken up: tell of all that is held back."""
        for task in list(self._held):
            self.checkpoint_stored(task)
