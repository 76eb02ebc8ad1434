"""Runs for the command line: live progress, SIGTERM, and what is left at the end of each."""

import asyncio
import contextlib
import os
import signal
import sys
import uuid
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

from rich.console import Console

from trading_graph.graph.analysis import Analysis
from trading_graph.graph.backend_choice import BackendChoice
from trading_graph.otel.redaction import Redactor
from trading_graph.otel.spans import caller_context
from trading_graph.service.runs.engine import Engine, FailedTrace, open_engine
from trading_graph.service.langsmith import langsmith_mode
from trading_graph.service.runs.progress import Progress
from trading_graph.service.runs.request import RunRequest
from trading_graph.service.runs.result import Result, finished, show, show_json
from trading_graph.service.runs.folder import RunFolder
from trading_graph.service.runs.resume import RunOrder, interrupted_run, stored_order
from trading_graph.service.settings import Settings

Made = tuple[Analysis, RunFolder]
_Run = Callable[[Engine, Progress], Awaitable[Made]]


class RunSession:
    """Runs analyses for the command line, one at a time; raises BadSettings."""

    def __init__(
        self,
        settings: Settings,
        out: Path,
        talk: Console,
        redactor: Redactor,
        *,
        offline: bool,
    ) -> None:
        self._settings = settings
        self._out = out
        self._talk = talk
        self._redactor = redactor
        self._langsmith = langsmith_mode(settings, offline=offline)

    @staticmethod
    def interrupted(word: str, out: Path) -> tuple[uuid.UUID, RunOrder]:
        """The run that a word names, and what it was asked to do; raises NotResumable."""
        run_id = interrupted_run(word, out)
        return run_id, stored_order(out, run_id.hex)

    async def run(self, request: RunRequest, choice: BackendChoice) -> Result:
        """Run one analysis; whatever happens, the spans that ended are in the run's folder.

        SIGTERM cancels it, as SIGINT does: spans are ended, and sent or spooled.
        """
        (result,) = await self.runs(request, choice, 1)
        return result

    async def runs(self, request: RunRequest, choice: BackendChoice, times: int) -> list[Result]:
        """Run an analysis several times on the same back ends: the later ones find a warm cache."""

        async def run(engine: Engine, progress: Progress) -> Made:
            parent = caller_context(os.environ)
            return await engine.run(request, parent=parent, listeners=[progress])

        return await self._results(choice, [run] * times)

    async def resume(self, run_id: uuid.UUID, choice: BackendChoice) -> Result:
        """Go on with a run whose process was killed; raises NotResumable."""

        async def resumed(engine: Engine, progress: Progress) -> Made:
            return await engine.resume(run_id, listeners=[progress])

        (result,) = await self._results(choice, [resumed])
        return result

    def show(self, result: Result, *, as_json: bool) -> None:
        """Print a run on stdout, for people or as JSON."""
        present = show_json if as_json else show
        present(result, self._settings, Console(file=sys.stdout))

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
