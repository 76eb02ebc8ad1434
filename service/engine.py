"""What runs analyses in one process: telemetry and back ends, opened once, and the runs on them.

The command line opens one for a command, the service for as long as it lives.
"""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from langchain_core.callbacks import BaseCallbackHandler
from opentelemetry.context import Context

from graph.analysis import Analysis, analyse, recorded_run
from graph.backend_choice import BackendChoice
from graph.backends import Backends, open_backends
from graph.options import Options
from otel.export import Telemetry, TraceFile, set_up
from otel.redaction import Redactor
from otel.spans import RunSpan, SpanListener
from service.langsmith_mode import LangSmithMode, langsmith_target
from service.langsmith_tree import langsmith_tree
from service.log import LOG
from service.metrics import RunMetrics
from service.replay import replaying
from service.run_folder import RunFolder
from service.settings import Settings
from service.timing_log import TimingLog
from service.version import VERSION


class Engine:
    """Runs analyses, any number at once, and records each of them."""

    def __init__(
        self,
        settings: Settings,
        out: Path,
        redactor: Redactor,
        langsmith: LangSmithMode,
        backends: Backends,
        telemetry: Telemetry,
    ) -> None:
        self.settings = settings
        self.redactor = redactor
        self.langsmith = langsmith
        self.backends = backends
        self.telemetry = telemetry
        self._out = out
        self._metrics = RunMetrics(telemetry.metrics.meter)

    async def run(
        self,
        options: Options,
        *,
        run_id: uuid.UUID | None = None,
        parent: Context | None = None,
        listeners: Sequence[SpanListener] = (),
    ) -> tuple[Analysis, RunFolder]:
        """Run one analysis; whatever happens, the spans that ended are in the run's folder.

        `run_id` is an id that was given away before the run began, a UUIDv7; `parent` is the
        caller's context. An error that ends the run carries the place of its trace
        as a note. Raises AnalysisError, a toolkit DataError, or OSError.
        """
        folder: RunFolder | None = None
        trace_file: TraceFile | None = None
        run: RunSpan | None = None
        try:
            with self._metrics.watching(self.backends.pool):
                async with (
                    self._callbacks() as callbacks,
                    recorded_run(
                        options,
                        self.backends,
                        self.telemetry.provider,
                        parent=parent,
                        run_id=run_id,
                    ) as run,
                ):
                    folder = await asyncio.to_thread(RunFolder, self._out, run.run_id)
                    trace_file = await asyncio.to_thread(TraceFile, folder.trace, self.redactor)
                    for listener in (trace_file, *listeners, self._metrics.spans, TimingLog()):
                        run.recording.listen(listener)
                    analysis = await analyse(options, self.backends, run, callbacks=callbacks)
            return analysis, folder
        except BaseException as error:
            if run is not None and folder is not None:
                span = run.span.get_span_context()
                LOG.error("The run failed: %r", error, extra={"span": span})
                error.add_note(f"Trace of the failed run: {folder.trace}")
            raise
        finally:
            if trace_file is not None:
                await asyncio.to_thread(trace_file.close)

    @contextlib.asynccontextmanager
    async def _callbacks(self) -> AsyncIterator[list[BaseCallbackHandler]]:
        if self.langsmith is not LangSmithMode.NATIVE:
            yield []
            return
        async with langsmith_tree(self.redactor) as tracer:
            yield [tracer]


@contextlib.asynccontextmanager
async def open_engine(
    settings: Settings,
    choice: BackendChoice,
    out: Path,
    redactor: Redactor,
    langsmith: LangSmithMode,
) -> AsyncIterator[Engine]:
    """Open telemetry and back ends; afterwards every span is sent or spooled.

    Raises BadSettings or BadExporterSettings.
    """
    target = langsmith_target(settings, langsmith)
    telemetry = await asyncio.to_thread(
        set_up, "trading-graph", VERSION, target, spool=settings.spool, redactor=redactor
    )
    try:
        with telemetry.logs.attached(), replaying(settings, target):
            async with open_backends(choice) as backends:
                yield Engine(settings, out, redactor, langsmith, backends, telemetry)
    finally:
        await asyncio.to_thread(telemetry.shutdown)
