"""Live progress on stderr: which agent is doing what, and for how long.

Fed by the spans of the run as they start and end, so what is shown is what is recorded. On a
terminal a small table is redrawn by a thread of rich's; elsewhere one line is written when an agent
has ended.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock

from opentelemetry.sdk.trace import ReadableSpan
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from trading_graph.otel.trace import semconv

_REFRESH_PER_S = 8


@dataclass(slots=True)
class _Agent:
    name: str
    started_ns: int
    span_id: int
    ended_ns: int | None = None
    failed: str | None = None
    doing: dict[int, str] = field(default_factory=dict)
    calls: int = 0
    tools: int = 0


class Progress:
    """What is going on in a run; a `SpanListener`."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._agents: dict[int, _Agent] = {}
        self._lock = Lock()
        self._spinner = Spinner("dots")

    @contextmanager
    def shown(self) -> Iterator[None]:
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
        """Note an agent, or what an agent has begun."""
        context, attributes = span.get_span_context(), span.attributes or {}
        if context is None:
            return
        operation = attributes.get(semconv.OPERATION_NAME)
        with self._lock:
            if operation == semconv.INVOKE_AGENT:
                name = str(attributes.get(semconv.AGENT_NAME))
                self._agents[context.span_id] = _Agent(name, span.start_time or 0, context.span_id)
            elif agent := self._parent(span):
                if operation == semconv.CHAT:
                    agent.calls += 1
                    agent.doing[context.span_id] = "thinking"
                elif operation == semconv.EXECUTE_TOOL:
                    agent.tools += 1
                    agent.doing[context.span_id] = str(attributes.get(semconv.TOOL_NAME))

    def on_end(self, span: ReadableSpan) -> None:
        """Note that an agent, or something of an agent's, has ended."""
        context = span.get_span_context()
        if context is None:
            return
        with self._lock:
            if agent := self._agents.get(context.span_id):
                agent.ended_ns = span.end_time
                failed = (span.attributes or {}).get(semconv.ERROR_TYPE)
                agent.failed = str(failed) if failed else None
                if not self._console.is_terminal:
                    self._console.print(_ended(agent), highlight=False)
            elif agent := self._parent(span):
                agent.doing.pop(context.span_id, None)

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


def _mark(agent: _Agent) -> Text:
    if agent.failed:
        return Text("x", "red")
    return Text("·", "dim") if agent.ended_ns is None else Text("✓", "green")


def _doing(agent: _Agent) -> Text:
    if agent.failed:
        return Text(f"failed: {agent.failed}", "red")
    if agent.ended_ns is not None:
        return Text(_count(agent), "dim")
    return Text(", ".join(sorted(set(agent.doing.values()))) or "...", "cyan")


def _count(agent: _Agent) -> str:
    tools = f", {agent.tools} tool calls" if agent.tools else ""
    return f"{agent.calls} LLM call{'s' if agent.calls != 1 else ''}{tools}"


def _ended(agent: _Agent) -> str:
    seconds = ((agent.ended_ns or 0) - agent.started_ns) / 1e9
    outcome = f"failed: {agent.failed}" if agent.failed else _count(agent)
    return f"{agent.name:<27} {seconds:6.2f} s  {outcome}"
