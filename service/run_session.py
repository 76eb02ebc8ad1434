"""Runs for the command line: live progress, SIGTERM, and what is left at the end of each."""

import asyncio
import contextlib
import os
import signal
import uuid
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

from rich.console import Console

from trading_graph.graph.analysis import Analysis
from trading_graph.graph.backend_choice import BackendChoice
from trading_graph.graph.options import Options
from trading_graph.otel.redaction import Redactor
from trading_graph.otel.spans import caller_context
from trading_graph.service.engine import Engine, FailedTrace, open_engine
from trading_graph.service.langsmith_mode import LangSmithMode
from trading_graph.service.progress import Progress
from trading_graph.service.result import Result, finished
from trading_graph.service.run_folder import RunFolder
from trading_graph.service.settings import Settings

Made = tuple[Analysis, RunFolder]
_Run = Callable[[Engine, Progress], Awaitable[Made]]


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

        async def run(engine: Engine, progress: Progress) -> Made:
            parent = caller_context(os.environ)
            return await engine.run(options, parent=parent, listeners=[progress])

        return await self._results(choice, [run] * times)

    async def resume(self, run_id: uuid.UUID, choice: BackendChoice) -> Result:
        """Go on with a run whose process was killed; raises NotResumable."""

        async def resumed(engine: Engine, progress: Progress) -> Made:
            return await engine.resume(run_id, listeners=[progress])

        (result,) = await self._results(choice, [resumed])
        return result

    async def _results(self, choice: BackendChoice, runs: Sequence[_Run]) -> list[Result]:
        opened = open_engine(self._settings, choice, self._out, self._redactor, self._langsmith)
        with _cancelled_by_sigterm():
            async with opened as engine:
                made = [await self._shown(engine, each) for each in runs]
        return [
            await asyncio.to_thread(
                finished,
                analysis,
                folder,
                engine.telemetry,
                self._settings,
                self._langsmith,
            )
            for analysis, folder in made
        ]

    async def _shown(self, engine: Engine, run: _Run) -> Made:
        progress = Progress(self._talk)
        try:
            with progress.shown():
                return await run(engine, progress)
        except BaseException as error:
            for note in getattr(error, "__notes__", ()):
                if isinstance(note, FailedTrace):  # LangGraph adds some of its own.
                    self._talk.print(note, soft_wrap=True)
            raise


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
