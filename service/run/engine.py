"""The engine: telemetry and back ends, opened once in a process, and the runs on them.

The command line opens one for a command, the service for as long as it lives.
"""

import asyncio
import contextlib
import copy
import shlex
import sqlite3
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from opentelemetry.context import Context
from opentelemetry.sdk.metrics.export import MetricReader
from opentelemetry.trace import Link

from trading_graph.graph.analysis import Analysis, analyse, record_run, state_so_far
from trading_graph.graph.backend_choice import BackendChoice
from trading_graph.graph.backends import Backends, open_backends
from trading_graph.graph.budget import Spending
from trading_graph.graph.checkpoints import Checkpoints
from trading_graph.graph.decisions import Decision
from trading_graph.graph.errors import AnalysisError, RunFailedError
from trading_graph.graph.options import Options
from trading_graph.graph.past_decisions import LoggedDecision
from trading_graph.graph.state import State
from trading_graph.otel.export import OnWrite, Telemetry, TraceFile, set_up
from trading_graph.otel.files.run_log import RunLog
from trading_graph.otel.redaction import Redactor
from trading_graph.otel.spans import (
    RunSpan,
    SpanListener,
    UnfinishedRun,
    content_is_captured,
    uuid7,
)
from trading_graph.service.decision_log import DecisionLog
from trading_graph.service.errors import NotResumableError
from trading_graph.service.extras import VERSION
from trading_graph.service.langsmith import LangSmithMode, langsmith_target
from trading_graph.service.log import LOG
from trading_graph.service.replay import replaying, send_again
from trading_graph.service.run.folder import RunFolder
from trading_graph.service.run.keeper import FileKeeper, Ownership, RunKeeper
from trading_graph.service.run.langsmith_tracer import langsmith_callbacks
from trading_graph.service.run.monitoring import DeadTime, RunMetrics, TimingLog
from trading_graph.service.run.order import RunOrder
from trading_graph.service.run.report import chart, report, unfinished_report
from trading_graph.service.run.request import RunRequest, default_date
from trading_graph.service.run.resume import (
    NodeEnds,
    claim,
    has_agent,
)
from trading_graph.service.run.unbroken import open_in_thread, to_its_end
from trading_graph.service.settings import Settings
from trading_graph.toolkit.errors import BadRequestError, DataError
from trading_graph.toolkit.house import House


class FailureNote(str):
    """A note on an error that says where the trace of the failed run is, or how to resume it."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, eq=False)
class _LiveRun:
    """A run that is under way, and its checkpoints."""

    run: RunSpan
    checkpoints: Checkpoints

    def seal(self) -> None:
        """Record and store nothing more of it."""
        self.run.recording.silence()
        self.checkpoints.sealed = True


class Engine:
    """Runs analyses, any number at once, and records each of them."""

    def __init__(
        self,
        settings: Settings,
        out: Path,
        langsmith: LangSmithMode,
        backends: Backends,
        telemetry: Telemetry,
        *,
        durable: bool = False,
        keeper: RunKeeper | None = None,
    ) -> None:
        self.settings = settings
        self.redactor = telemetry.redactor
        self.langsmith = langsmith
        self.backends = backends
        self.telemetry = telemetry
        self.out = out
        self.decisions = DecisionLog.of(settings, out)
        self.metrics = RunMetrics(telemetry.metrics.meter)
        self._durable = durable
        self._keeper = keeper or FileKeeper()
        self._live: list[_LiveRun] = []
        self._has_left = False
        self._is_part = False

    def part(self) -> "Engine":
        """A durable engine on the same back ends and telemetry, whose runs can be left alone."""
        part = copy.copy(self)
        part._live, part._has_left, part._is_part, part._durable = [], False, True, True
        return part

    def leave(self) -> None:
        """Leave the runs under way to whoever resumes them, as a killed process would.

        What they record and bring from now on is dropped. Call it before the runs are cancelled:
        otherwise their traces would say that they ended so.
        """
        self._has_left = True
        if not self._is_part:
            self.telemetry.refuse()
        for live in self._live:
            live.seal()

    async def run(
        self,
        request: RunRequest,
        *,
        run_id: uuid.UUID | None = None,
        parent: Context | None = None,
        listeners: Sequence[SpanListener] = (),
        links: Sequence[Link] = (),
        on_write: OnWrite | None = None,
    ) -> tuple[Analysis, RunFolder]:
        """Run one analysis; whatever happens, the spans that ended are in the run's folder.

        `run_id` is an id that was assigned before the run began; `parent` is the caller's context,
        and `links` are those of the run's span; `on_write` is told what is in the run's log. An
        error that ends the run has a note that says where its trace is; where an agent had brought
        something, its report is in the folder and the error is a RunFailedError, which says how to
        resume the run. Decision and report are in the folder before the run's span ends. Raises
        BadRequestError, AnalysisError, a toolkit DataError, or OSError.
        """
        run_id = run_id or uuid7()
        folder = RunFolder(self.out, run_id.hex)
        choice = self.backends.choice
        request = request.resolve(default_date(choice.data))
        order = RunOrder.of(request, choice, self.langsmith)
        log = await open_in_thread(lambda: _begin(folder, order), lambda log: log.close(over=True))
        return await self._record(
            order, folder, log, run_id, parent, None, listeners, links, on_write
        )

    async def resume(
        self,
        run_id: uuid.UUID,
        *,
        listeners: Sequence[SpanListener] = (),
        links: Sequence[Link] = (),
        on_write: OnWrite | None = None,
    ) -> tuple[Analysis, RunFolder]:
        """Resume a run that was killed or failed; what its agents have brought is not done again.

        Its trace is continued, and spans of the earlier process are sent to the backends that lack
        them. Raises NotResumableError, and what `run` raises.
        """
        claimed = await open_in_thread(
            lambda: claim(self.out, run_id.hex), lambda claimed: claimed.log.close(over=False)
        )
        unfinished = claimed.unfinished
        try:
            order = await asyncio.to_thread(claimed.resume_order, self.backends.choice)
        except NotResumableError:
            claimed.log.close(over=False)
            raise
        try:
            return await self._record(
                order,
                claimed.folder,
                claimed.log,
                run_id,
                None,
                unfinished,
                listeners,
                links,
                on_write,
            )
        finally:
            if unfinished is not None and not self._has_left:
                target = langsmith_target(self.settings, self.langsmith)
                await asyncio.to_thread(send_again, self.settings, target, unfinished.ended_spans)

    async def _record(
        self,
        order: RunOrder,
        folder: RunFolder,
        log: RunLog,
        run_id: uuid.UUID,
        parent: Context | None,
        unfinished: UnfinishedRun | None,
        listeners: Sequence[SpanListener],
        links: Sequence[Link],
        on_write: OnWrite | None,
    ) -> tuple[Analysis, RunFolder]:
        options = order.request.options(default_date(order.data))
        # What somebody holds is nobody's business, unless all content is recorded on purpose.
        private = options.holdings.is_stated and not content_is_captured()
        trace_file: TraceFile | None = None
        ends: NodeEnds | None = None
        run: RunSpan | None = None
        keeps = False
        try:
            trace_file = await open_in_thread(
                lambda: TraceFile(log, self.redactor, on_write), TraceFile.close
            )
            ends = NodeEnds(trace_file)
            dead = DeadTime(unfinished)
            async with (
                self._keeper.checkpoints(folder) as checkpoints,
                langsmith_callbacks(self.langsmith, self.redactor, private=private) as callbacks,
                record_run(
                    options,
                    self.backends,
                    self.telemetry.provider,
                    parent=parent,
                    run_id=run_id,
                    unfinished=unfinished,
                    listeners=[Ownership(self._keeper), ends, dead, *listeners],
                    links=links,
                ) as run,
            ):
                checkpoints.on_write = ends.checkpoint_stored
                for listener in (self.metrics.spans, TimingLog(dead)):
                    run.recording.listen(listener)
                live = _LiveRun(run, checkpoints)
                self._live.append(live)
                if self._has_left:
                    live.seal()
                spending = Spending(options.budget, run.span, order.spent)
                past = await asyncio.to_thread(self._past, order)
                try:
                    analysis = await analyse(
                        options,
                        self.backends,
                        run,
                        callbacks=callbacks,
                        checkpoints=checkpoints,
                        durable=self._durable,
                        spending=spending,
                        past_decisions=past,
                    )
                except Exception as error:
                    earlier = () if unfinished is None else unfinished.ended_spans
                    if not self._has_left and (ends.agent_ended_well or has_agent(earlier)):
                        keeps = _is_worth_resuming(error)
                        order = order.model_copy(update={"spent": tuple(spending.unclaimed)})
                        await self._keep(order, folder, options, checkpoints, error)
                    raise
                finally:
                    self._live.remove(live)
                # Before the run's span ends: a run that is over has all its files.
                self._keeper.assert_owned()
                try:
                    analysis = await asyncio.to_thread(self._write, analysis, folder)
                except OSError:
                    keeps = True  # The disk may be full; the checkpoints have all that was paid.
                    raise
            return analysis, folder
        except BaseException as error:
            if run is not None and not self._has_left:
                span = run.span.get_span_context()
                if isinstance(error, asyncio.CancelledError):
                    LOG.info("The run was cancelled.", extra={"span": span})
                else:
                    LOG.error("The run failed: %r", error, extra={"span": span})
                note = FailureNote(f"Trace of the failed run: {folder.trace}")
                if not keeps:
                    error.add_note(note)
                elif isinstance(error, AnalysisError | DataError):
                    failure = RunFailedError(self._failure(error, folder))
                    failure.add_note(note)
                    raise failure from error
                else:
                    error.add_note(note)
                    error.add_note(FailureNote(f"Resume it with: {self._resume_command(folder)}"))
            raise
        finally:
            # A run whose resumption failed before it began can still be resumed.
            ended = (run is not None or unfinished is None) and not self._has_left
            if ended and ends is not None:
                ends.release()
            over = ended and not keeps
            await to_its_end(self._close(folder, trace_file, log, over=over))

    async def _close(
        self, folder: RunFolder, trace_file: TraceFile | None, log: RunLog, *, over: bool
    ) -> None:
        """Close the files of a run, its log last: that says that the run is over.

        A run whose trace is not whole on disk is not over.
        """
        is_whole = False
        try:
            is_whole = trace_file is None or await asyncio.to_thread(trace_file.close)
            if over and is_whole:
                await self._keeper.forget(folder)
        finally:
            await asyncio.to_thread(_close, folder, log, over and is_whole)

    async def _keep(
        self,
        order: RunOrder,
        folder: RunFolder,
        options: Options,
        checkpoints: Checkpoints,
        error: Exception,
    ) -> None:
        """Write what a failed run has: its report, and the order that it can be resumed with."""
        run_id = folder.path.name
        sentence = self._failure(error, folder) if _is_worth_resuming(error) else str(error)

        def write(state: State) -> None:
            folder.write_order(order.model_dump_json(indent=2) + "\n")
            text = unfinished_report(state, order.request, run_id, sentence)
            folder.write_report(self.redactor.text(text))

        try:
            await asyncio.to_thread(write, await state_so_far(options, checkpoints, run_id))
        except (OSError, sqlite3.Error) as problem:  # The disk may be why the run failed.
            LOG.warning("The report of the failed run %s cannot be written: %s", run_id, problem)

    def _failure(self, error: Exception, folder: RunFolder) -> str:
        """Why a run failed, and how to resume it, in one sentence."""
        reason = str(error).rstrip(".") or type(error).__name__
        return (
            f"{reason}; what its agents brought is kept, so then resume the run with: "
            f"{self._resume_command(folder)}"
        )

    def _resume_command(self, folder: RunFolder) -> str:
        out = "" if self.out == self.settings.out else f" --out {shlex.quote(str(self.out))}"
        return f"trading-graph run --resume {folder.path.name}{out}"

    def _write(self, analysis: Analysis, folder: RunFolder) -> Analysis:
        analysis = redact(analysis, self.redactor)
        decision = analysis.decision.model_dump_json(indent=2) + "\n"
        folder.write(decision, report(analysis), chart(analysis))
        try:
            self.decisions.append(analysis.decision)
        except OSError as error:  # It is an index, and made again from the folders.
            LOG.warning("The decision is not in the log %s: %s", self.decisions.folder, error)
        return analysis

    def _past(self, order: RunOrder) -> list[LoggedDecision]:
        """The decisions on the run's symbol so far, where the run asks for them. Blocks."""
        if not order.request.past_decisions:
            return []
        try:
            return self.decisions.read(order.request.symbol)
        except OSError as error:  # They are context, and no run ends for it.
            LOG.warning("The decision log %s cannot be read: %s", self.decisions.folder, error)
            return []


def _is_worth_resuming(error: Exception) -> bool:
    """Whether a run that failed may come to a decision: what was asked for may be impossible."""
    return not isinstance(error, BadRequestError)


def _begin(folder: RunFolder, order: RunOrder) -> RunLog:
    folder.create(order.model_dump_json(indent=2) + "\n")
    return RunLog.begin(folder.trace)


def _close(folder: RunFolder, log: RunLog, over: bool) -> None:
    if over:
        folder.order.unlink(missing_ok=True)
    log.close(over=over)


def redact(analysis: Analysis, redactor: Redactor) -> Analysis:
    """The analysis without secrets: the message of an error that degraded it may quote some."""
    decision = redactor.document(analysis.decision.model_dump(mode="json"))
    return replace(
        analysis,
        decision=Decision.model_validate(decision),
        reports=[replace(each, text=redactor.text(each.text)) for each in analysis.reports],
        statements=[replace(each, text=redactor.text(each.text)) for each in analysis.statements],
        opinions=[replace(each, text=redactor.text(each.text)) for each in analysis.opinions],
    )


@contextlib.asynccontextmanager
async def open_engine(
    settings: Settings,
    choice: BackendChoice,
    out: Path,
    redactor: Redactor,
    langsmith: LangSmithMode,
    *,
    metric_readers: Sequence[MetricReader] = (),
    durable: bool = False,
    house: House | None = None,
    keeper: RunKeeper | None = None,
) -> AsyncIterator[Engine]:
    """Open telemetry and back ends; when the block has ended every span is sent or spooled.

    `metric_readers` read the metrics beside the exporter that the variables configure. Of a
    `durable` engine's runs a killed process loses no agent whose successor has begun; its `keeper`
    has their checkpoints, by default in their folders.
    A `house` has limits and a cache that its processes share.
    Raises SettingsError or ExporterSettingsError.
    """
    target = langsmith_target(settings, langsmith)
    telemetry = await open_in_thread(
        lambda: set_up(
            "trading-graph",
            VERSION,
            target,
            spool=settings.spool,
            redactor=redactor,
            metric_readers=metric_readers,
        ),
        Telemetry.shutdown,
    )
    try:
        with telemetry.logs.attach(), replaying(settings, target):
            async with open_backends(choice, house=house) as backends:
                engine = Engine(
                    settings, out, langsmith, backends, telemetry, durable=durable, keeper=keeper
                )
                with engine.metrics.watching(backends.pool):
                    yield engine
    finally:
        await asyncio.to_thread(telemetry.shutdown)
