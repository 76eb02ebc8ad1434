"""One recorded run: back ends, folder, trace file, live progress, and what is left at its end."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from langchain_core.callbacks import BaseCallbackHandler
from rich.console import Console

from graph.analysis import Analysis, analyse, recorded_run
from graph.backend_choice import BackendChoice
from graph.backends import Backends, open_backends
from graph.options import Options
from otel.export import Telemetry, TraceFile, set_up
from otel.redaction import Redactor
from otel.spans import caller_context
from service.langsmith_mode import LangSmithMode, langsmith_target
from service.langsmith_tree import langsmith_tree
from service.log import LOG
from service.metrics import RunMetrics
from service.progress import Progress
from service.replay import replaying
from service.result import Result, finished
from service.run_folder import RunFolder
from service.settings import Settings
from service.timing_log import TimingLog
from service.version import VERSION


class RunSession:
    """Runs analyses for the command line, one at a time."""

    def __init__(
        self,
        settings: Settings,
        out: Path,
        talk: Console,
        redactor: Redactor,
        *,
        langsmith: LangSmithMode,
    ) -> None:
        self._settings = settings
        self._out = out
        self._talk = talk
        self._redactor = redactor
        self._langsmith = langsmith

    async def run(self, options: Options, choice: BackendChoice) -> Result:
        """Run one analysis; whatever happens, the spans that ended are in the run's folder.

        SIGTERM cancels it, as SIGINT does: spans are ended, and sent or spooled.
        """
        (result,) = await self.runs(options, choice, 1)
        return result

    async def runs(self, options: Options, choice: BackendChoice, times: int) -> list[Result]:
        """Run an analysis several times on the same back ends: the later ones find a warm cache."""
        target = langsmith_target(self._settings, self._langsmith)
        telemetry = await asyncio.to_thread(
            set_up,
            "trading-graph",
            VERSION,
            target,
            spool=self._settings.spool,
            redactor=self._redactor,
        )
        try:
            with (
                telemetry.logs.attached(),
                _cancelled_by_sigterm(),
                replaying(self._settings, target),
            ):
                async with open_backends(choice) as backends:
                    made = [
                        await self._recorded(options, backends, telemetry) for _ in range(times)
                    ]
        finally:
            await asyncio.to_thread(telemetry.shutdown)
        return [
            await asyncio.to_thread(
                finished,
                analysis,
                folder,
                telemetry,
                self._settings,
                self._redactor,
                self._langsmith,
            )
            for analysis, folder in made
        ]

    async def _recorded(
        self, options: Options, backends: Backends, telemetry: Telemetry
    ) -> tuple[Analysis, RunFolder]:
        progress = Progress(self._talk)
        metrics = RunMetrics(telemetry.metrics.meter)
        folder: RunFolder | None = None
        trace_file: TraceFile | None = None
        try:
            with progress.shown(), metrics.watching(backends.pool):
                async with (
                    self._callbacks() as callbacks,
                    recorded_run(
                        options,
                        backends,
                        telemetry.provider,
                        parent=caller_context(os.environ),
                    ) as run,
                ):
                    span = run.span.get_span_context()
                    folder = await asyncio.to_thread(RunFolder, self._out, run.run_id)
                    trace_file = await asyncio.to_thread(TraceFile, folder.trace, self._redactor)
                    for listener in (trace_file, progress, metrics.spans, TimingLog()):
                        run.recording.listen(listener)
                    analysis = await analyse(options, backends, run, callbacks=callbacks)
            return analysis, folder
        except BaseException as error:
            if folder is not None:
                LOG.error("The run failed: %r", error, extra={"span": span})
                self._talk.print(f"Trace of the failed run: {folder.trace}", soft_wrap=True)
            raise
        finally:
            if trace_file is not None:
                await asyncio.to_thread(trace_file.close)

    @contextlib.asynccontextmanager
    async def _callbacks(self) -> AsyncIterator[list[BaseCallbackHandler]]:
        if self._langsmith is not LangSmithMode.NATIVE:
            yield []
            return
        async with langsmith_tree(self._redactor) as tracer:
            yield [tracer]


@contextlib.contextmanager
def _cancelled_by_sigterm() -> Iterator[None]:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    try:
        loop.add_signal_handler(signal.SIGTERM, task.cancel)
    except (RuntimeError, ValueError):  # not the main thread: signals are the program's own
        yield
        return
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
