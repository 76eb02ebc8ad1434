"""Runs of the command line: live progress, SIGTERM, and the result of each run.

Progress on stderr says which agent is doing what, and for how long. It comes from the spans of the
run as they start and end, so what is shown is what is recorded. On a terminal a thread of rich's
redraws a small table; elsewhere one line is written when an agent has ended.
"""

import asyncio
import os
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import cast

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import Span
from opentelemetry.util.types import AttributeValue
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from trading_graph.graph.analysis import Analysis
from trading_graph.graph.backend_choice import BackendChoice
from trading_graph.graph.chat.rate_limits import in_words
from trading_graph.graph.chat.retries import PauseReason
from trading_graph.otel.spans import caller_context
from trading_graph.otel.trace import semconv
from trading_graph.service.langsmith import langsmith_mode, offline_note
from trading_graph.service.run.engine import Engine, FailureNote, open_engine
from trading_graph.service.run.folder import RunFolder
from trading_graph.service.run.order import RunOrder
from trading_graph.service.run.request import RunRequest
from trading_graph.service.run.result import FinishedRun, finish_run, show, show_json
from trading_graph.service.run.resume import (
    failed_undecided,
    interrupted_run,
    stored_order,
)
from trading_graph.service.settings import Settings
from trading_graph.service.termination import cancelled_by_sigterm

_REFRESH_PER_S = 8
_SHOWN_PAUSE_S = 1.0
_PAUSES: dict[str, str] = {
    PauseReason.RATE_LIMIT: "the model's rate limit",
    PauseReason.FAILURE: "a failure that may pass",
}


@dataclass(slots=True)
class _Agent:
    name: str
    started_ns: int
    ended_ns: int | None = None
    failed: str | None = None
    doing: dict[int, str] = field(default_factory=dict)
    pauses: dict[int, "_Pause"] = field(default_factory=dict)
    calls: int = 0
    tools: int = 0


@dataclass(frozen=True, slots=True)
class _Pause:
    """A pause of a call: what for, and when it is over."""

    reason: str
    end_ns: int

    def words(self, now_ns: int) -> str:
        left_s = max(0, self.end_ns - now_ns) / 1e9
        return f"waits {in_words(left_s)}: {self.reason}"


class LiveProgress:
    """The agents of a run and what each is doing; a `SpanListener` and an `EventListener`."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._agents: dict[int, _Agent] = {}
        self._lock = Lock()
        self._spinner = Spinner("dots")

    @contextmanager
    def show(self) -> Iterator[None]:
        """Redraw the table for the duration of the block, where there is a terminal."""
        if not self._console.is_terminal:
            yield
            return
        with Live(
            get_renderable=self._table,
            console=self._console,
            refresh_per_second=_REFRESH_PER_S,
            transient=True,
        ):
            yield

    def on_start(self, span: ReadableSpan) -> None:
        """Note that an agent, or a call of an agent, has started."""
        context, attributes = span.get_span_context(), span.attributes or {}
        if context is None:
            return
        operation = attributes.get(semconv.OPERATION_NAME)
        with self._lock:
            if operation == semconv.INVOKE_AGENT:
                name = str(attributes.get(semconv.AGENT_NAME))
                self._agents[context.span_id] = _Agent(name, span.start_time or 0)
            elif agent := self._parent(span):
                if operation == semconv.CHAT:
                    agent.calls += 1
                    agent.doing[context.span_id] = "thinking"
                elif operation == semconv.EXECUTE_TOOL:
                    agent.tools += 1
                    agent.doing[context.span_id] = str(attributes.get(semconv.TOOL_NAME))

    def on_end(self, span: ReadableSpan) -> None:
        """Note that an agent, or a call of an agent, has ended."""
        context = span.get_span_context()
        if context is None:
            return
        with self._lock:
            for line in _learned(span):
                self._console.print(line, highlight=False, markup=False, soft_wrap=True)
            if agent := self._agents.get(context.span_id):
                agent.ended_ns = span.end_time
                error = (span.attributes or {}).get(semconv.ERROR_TYPE)
                # The class says it; its module would break the line.
                agent.failed = str(error).rpartition(".")[2] if error else None
                if not self._console.is_terminal:
                    self._console.print(_end_line(agent), highlight=False)
            elif agent := self._parent(span):
                agent.doing.pop(context.span_id, None)
                agent.pauses.pop(context.span_id, None)

    def on_event(self, span: Span, name: str, attributes: Mapping[str, AttributeValue]) -> None:
        """Count a pause of a call down; without a terminal, say once how long it is."""
        seconds = float(cast("float", attributes.get(semconv.WAIT_S, 0.0)))
        agent = self._parent(span) if isinstance(span, ReadableSpan) else None
        if agent is None or seconds < _SHOWN_PAUSE_S:
            return
        now_ns = time.time_ns()
        reason = _PAUSES[str(attributes[semconv.WAIT_REASON])]
        pause = _Pause(reason, now_ns + int(seconds * 1e9))
        with self._lock:
            agent.pauses[span.get_span_context().span_id] = pause
            if not self._console.is_terminal:
                self._console.print(f"{agent.name:<27} {pause.words(now_ns)}", highlight=False)

    def _parent(self, span: ReadableSpan) -> _Agent | None:
        return self._agents.get(span.parent.span_id) if span.parent else None

    def _table(self) -> RenderableType:
        now = time.time_ns()
        table = Table.grid(padding=(0, 2))
        with self._lock:
            for agent in self._agents.values():
                seconds = ((agent.ended_ns or now) - agent.started_ns) / 1e9
                table.add_row(_mark(agent), agent.name, f"{seconds:5.1f} s", _doing(agent))
        return Group(table, self._spinner)


def _learned(span: ReadableSpan) -> Iterator[str]:
    """A line for each parameter that the service of a call's model has refused."""
    for event in span.events:
        if event.name == semconv.CAPABILITY_EVENT:
            said = event.attributes or {}
            model = (span.attributes or {}).get(semconv.REQUEST_MODEL)
            yield (
                f"model {model}: {said.get(semconv.CAPABILITY_CHANGE)} "
                f"(the service: “{said.get(semconv.CAPABILITY_REFUSAL)}”)"
            )


def _mark(agent: _Agent) -> Text:
    if agent.failed:
        return Text("x", "red")
    return Text("·", "dim") if agent.ended_ns is None else Text("✓", "green")


def _doing(agent: _Agent) -> Text:
    if agent.failed:
        return Text(f"failed: {agent.failed}", "red")
    if agent.ended_ns is not None:
        return Text(_count(agent), "dim")
    now_ns = time.time_ns()
    pauses = [pause for pause in agent.pauses.values() if pause.end_ns > now_ns]
    if pauses:
        return Text(max(pauses, key=lambda each: each.end_ns).words(now_ns), "yellow")
    return Text(", ".join(sorted(set(agent.doing.values()))) or "...", "cyan")


def _count(agent: _Agent) -> str:
    tools = f", {agent.tools} tool calls" if agent.tools else ""
    return f"{agent.calls} LLM call{'s' if agent.calls != 1 else ''}{tools}"


def _end_line(agent: _Agent) -> str:
    seconds = ((agent.ended_ns or 0) - agent.started_ns) / 1e9
    outcome = f"failed: {agent.failed}" if agent.failed else _count(agent)
    return f"{agent.name:<27} {seconds:6.2f} s  {outcome}"


RunOutput = tuple[Analysis, RunFolder]
_Start = Callable[[Engine, LiveProgress], Awaitable[RunOutput]]


class RunSession:
    """Runs analyses for the command line, one at a time; raises SettingsError.

    Whatever happens, the spans that ended are in the run's folder. SIGTERM cancels a run as SIGINT
    does: its spans are ended, and sent or spooled.
    """

    def __init__(self, settings: Settings, out: Path, talk: Console, offline: bool) -> None:
        self._settings = settings
        self._out = out
        self._talk = talk
        self._langsmith = langsmith_mode(settings, offline=offline)
        if note := offline_note(settings, offline=offline):
            talk.print(note, highlight=False, soft_wrap=True)

    @staticmethod
    def interrupted(word: str, out: Path, settings: Settings) -> tuple[uuid.UUID, RunOrder]:
        """The interrupted or failed run that a word names, and the order that it goes on with.

        Raises NotResumableError.
        """
        run_id = interrupted_run(word, out)
        order = stored_order(out, run_id.hex)
        undecided = failed_undecided(RunFolder(out, run_id.hex))
        return run_id, order.resumed_with(order.choice(settings), undecided=undecided)

    async def runs(
        self, request: RunRequest, choice: BackendChoice, times: int = 1
    ) -> list[FinishedRun]:
        """Run an analysis several times on the same back ends: the later ones find a warm cache."""
        parent = caller_context(os.environ)
        return await self._results(
            lambda engine, progress: engine.run(request, parent=parent, listeners=[progress]),
            choice,
            times,
        )

    async def resume(self, run_id: uuid.UUID, choice: BackendChoice) -> FinishedRun:
        """Resume a run whose process was killed, or that failed; raises NotResumableError."""
        (result,) = await self._results(
            lambda engine, progress: engine.resume(run_id, listeners=[progress]), choice
        )
        return result

    def show(self, result: FinishedRun, *, as_json: bool) -> None:
        """Print a run on stdout, for people or as JSON."""
        present = show_json if as_json else show
        present(result, self._settings, Console(file=sys.stdout))

    async def _results(
        self, start: _Start, choice: BackendChoice, times: int = 1
    ) -> list[FinishedRun]:
        redactor = self._settings.redactor
        opened = open_engine(self._settings, choice, self._out, redactor, self._langsmith)
        with cancelled_by_sigterm():
            async with opened as engine:
                made = [await self._run_with_progress(engine, start) for _ in range(times)]
        return [await asyncio.to_thread(finish_run, engine, *each) for each in made]

    async def _run_with_progress(self, engine: Engine, start: _Start) -> RunOutput:
        progress = LiveProgress(self._talk)
        try:
            with progress.show():
                return await start(engine, progress)
        except BaseException as error:
            for note in getattr(error, "__notes__", ()):
                if isinstance(note, FailureNote):  # LangGraph adds notes of its own.
                    self._talk.print(note, soft_wrap=True)
            raise
