"""How far a run is, read from its events: who works on what, in words and as a waterfall.

The waterfall has a lane for each agent, with its LLM calls and its tool calls; live.js lets it grow
by the same rules: the end of the axis, and tools that ran at once below one another.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from trading_graph.graph.gate_loader import time_limit_s
from trading_graph.graph.options import DEBATERS, DECIDERS, RISK_ANALYSTS
from trading_graph.otel.report.durations import brief
from trading_graph.otel.report.html import Axis, Bar, axis, bar
from trading_graph.service.run.request import RunRequest
from trading_graph.service.server.pages.layout import spoken
from trading_graph.service.server.run_events import (
    AgentEnded,
    AgentStarted,
    InterruptionEnded,
    LlmEnded,
    LlmStarted,
    RunEvent,
    SpanEnded,
    SpanStarted,
    ToolEnded,
    ToolStarted,
)

AGENT, LLM, TOOL = "agent", "llm", "tool"
_CUT_SHORT = ("cancelled", "killed")
"""Errors of work that did nothing wrong: somebody cancelled it, or its process was killed."""

LIMIT_S = time_limit_s()
"""What a run may take, in seconds."""

_HEIGHT, _INSET = 24, 4
_ENDS = (2, 4, 6, 8, 10, 15, 20, 30, 45, 60, 90, 120, 150, 180, 240, 300)
_ROOM = 1.25
"""The axis of a run that goes on is longer than the run by this factor: tips stand after bars."""


@dataclass(frozen=True, slots=True)
class WorkItem:
    """An agent's turn, an LLM call or a tool call; `end` is None while it goes on.

    `error` is the type of what ended it. `cut` is work that was cut short: it was cancelled, its
    process was killed, or the run ended before it.
    """

    span_id: str
    kind: str
    name: str
    start: float
    end: float | None = None
    error: str | None = None
    cut: bool = False
    tokens: int = 0

    @property
    def failed(self) -> bool:
        """Whether it went wrong; what was cut short did not."""
        return self.error is not None and self.error not in _CUT_SHORT


@dataclass(frozen=True, slots=True)
class Lane:
    """All work of one agent, in the order of its starts."""

    agent: str
    work: tuple[WorkItem, ...] = ()

    def of(self, kind: str) -> list[WorkItem]:
        """The work of one kind."""
        return [each for each in self.work if each.kind == kind]

    @property
    def going_on(self) -> list[WorkItem]:
        """The work that has not ended."""
        return [each for each in self.work if each.end is None]

    @property
    def ended(self) -> bool:
        """Whether the agent has begun and does not work any more."""
        return bool(self.work) and not self.going_on

    @property
    def failed(self) -> bool:
        """Whether a turn of the agent went wrong."""
        return any(each.failed for each in self.of(AGENT))

    @property
    def tip(self) -> str:
        """What the agent does now, in a few words beside its bar."""
        calls = [each.name for each in self.going_on if each.kind == TOOL]
        if calls:
            return calls[0] + (f" + {len(calls) - 1}" if len(calls) > 1 else "")
        return "model" if any(each.kind == LLM for each in self.going_on) else ""

    def seconds(self, now: float) -> float:
        """How long the agent has worked until now."""
        return sum((now if each.end is None else each.end) - each.start for each in self.of(AGENT))


@dataclass(frozen=True, slots=True)
class RunProgress:
    """A run so far: a lane for each agent, and the number of the last event that is in it.

    `dead_s` is the time in which no process worked on it. Work before that time is moved on by as
    much, as if the run had begun later and never been interrupted.
    """

    lanes: tuple[Lane, ...]
    last: int
    dead_s: float = 0.0

    def of(self, kind: str) -> list[WorkItem]:
        """The work of all agents of one kind."""
        return [each for lane in self.lanes for each in lane.of(kind)]

    @property
    def worked(self) -> bool:
        """Whether anybody has begun."""
        return any(lane.work for lane in self.lanes)

    @property
    def ended(self) -> int:
        """How many agents have ended."""
        return sum(lane.ended for lane in self.lanes)

    @property
    def done(self) -> float:
        """How many agents have ended, one at work counted as half of one."""
        return (self.ended + sum(bool(lane.work) for lane in self.lanes)) / 2

    @property
    def tokens(self) -> int:
        """Tokens of the LLM calls that have ended."""
        return sum(each.tokens for each in self.of(LLM))


@dataclass(slots=True)
class _Reading:
    """Work by span, as events change it; dicts keep the order of the starts."""

    work: dict[str, WorkItem] = field(default_factory=dict)
    agent_of: dict[str, str] = field(default_factory=dict)
    dead: list[tuple[float, float]] = field(default_factory=list)

    def take(self, event: RunEvent) -> None:
        match event:
            case InterruptionEnded():
                self.dead.append((event.start, event.end))
            case AgentStarted() | AgentEnded():
                self._add(AGENT, event)
            case LlmStarted() | LlmEnded():
                self._add(LLM, event)
            case ToolStarted() | ToolEnded():
                self._add(TOOL, event)

    def _add(self, kind: str, event: SpanStarted) -> None:
        agent = event.agent or self.agent_of.get(event.parent_id or "")
        if agent is None:
            return
        self.agent_of[event.span_id] = agent
        name = event.tool or event.model or spoken(agent)
        work = WorkItem(event.span_id, kind, name, event.start)
        if isinstance(event, SpanEnded):
            work = replace(
                work,
                end=event.end,
                error=event.error,
                cut=event.error in _CUT_SHORT,
                tokens=(event.input_tokens or 0) + (event.output_tokens or 0),
            )
        self.work[event.span_id] = work

    def without_dead_time(self, work: WorkItem) -> WorkItem:
        """The work, moved on by the times after it in which no process lived."""
        shift = sum(end - start for start, end in self.dead if work.start <= start)
        end = None if work.end is None else work.end + shift
        return replace(work, start=work.start + shift, end=end)


def read_progress(
    request: RunRequest, events: Sequence[RunEvent], ended: float | None = None
) -> RunProgress:
    """Read the events of a run; at its end nothing goes on any more."""
    reading = _Reading()
    for event in events:
        reading.take(event)
    lanes: dict[str, list[WorkItem]] = {agent: [] for agent in _expected(request)}
    for span_id, work in reading.work.items():
        work = reading.without_dead_time(work)
        if work.end is None and ended is not None:
            work = replace(work, end=max(ended, work.start), cut=True)
        lanes.setdefault(reading.agent_of[span_id], []).append(work)
    return RunProgress(
        tuple(Lane(agent, tuple(sorted(w, key=lambda w: w.start))) for agent, w in lanes.items()),
        len(events),
        sum(end - start for start, end in reading.dead),
    )


def _expected(request: RunRequest) -> Sequence[str]:
    manager, trader, judge = DECIDERS
    analysts = tuple(f"{name}_analyst" for name in request.analysts)
    return (*analysts, *DEBATERS, manager, trader, *RISK_ANALYSTS, judge)


def now_doing(progress: RunProgress) -> str:
    """Who is doing what now, in words; live.js says it with the same words."""
    models, tools, others = [], [], []
    for lane in progress.lanes:
        calls = [each.name for each in lane.going_on if each.kind == TOOL]
        if calls:
            tools.append(f"{spoken(lane.agent)} ({', '.join(calls)})")
        elif any(each.kind == LLM for each in lane.going_on):
            models.append(spoken(lane.agent))
        elif lane.going_on:
            others.append(spoken(lane.agent))
    sentences = [
        f"{title}: {', '.join(names)}."
        for title, names in (
            ("Waiting for the model", models),
            ("Calling tools", tools),
            ("Working", others),
        )
        if names
    ]
    return " ".join(sentences) or "Between two agents."


@dataclass(frozen=True, slots=True)
class WorkBar:
    """A bar of the waterfall, and the work that it stands for; live.js reads both."""

    bar: Bar
    y: float
    height: float
    rx: int
    work: WorkItem


@dataclass(frozen=True, slots=True)
class RunWaterfall:
    """A run's waterfall: its lanes with their bars, until now, which is at `now_at` per cent.

    A run that goes on has the address of the events that `follow` it. `begin` is None for a run
    that waits.
    """

    axis: Axis
    rows: Sequence[tuple[Lane, Sequence[WorkBar]]]
    begin: float | None
    now: float
    now_at: float
    last: int
    follow: str | None
    height: int = _HEIGHT


def axis_end(seconds: float) -> float:
    """Where the axis of a run ends that has taken so long and goes on: a round time after it."""
    least = seconds * _ROOM
    return next((end for end in _ENDS if least <= end), -(-least // 60) * 60)


def waterfall(
    progress: RunProgress, begin: float | None, now: float, *, follow: str | None = None
) -> RunWaterfall:
    """The chart of a run from its begin, None for a run that waits, until now."""
    spent = max(now - begin, 0.0) if begin is not None else 0.0
    # Work that began before the run did: a clock was set.
    whole = axis_end(spent) if follow else max(spent, 0.001)
    rows = [(lane, _bars(lane, begin or now, spent, whole)) for lane in progress.lanes]
    marks = axis(whole * 1e9, LIMIT_S * 1e9)
    return RunWaterfall(marks, rows, begin, now, 100 * spent / whole, progress.last, follow)


def _bars(lane: Lane, begin: float, spent: float, whole: float) -> list[WorkBar]:
    tools = lane.of(TOOL)
    at = levels(tools)
    height = (_HEIGHT - 2 * _INSET) / (max(at, default=0) + 1)
    bars = []
    for each in sorted(lane.work, key=lambda work: work.kind != AGENT):  # an agent's lies below
        shape: tuple[float, float, int] = (_INSET, _HEIGHT - 2 * _INSET, 2)
        if each.kind == AGENT:
            shape = (1, _HEIGHT - 2, 3)
        elif each.kind == TOOL:
            y = round(_INSET + height * at[tools.index(each)], 2)
            shape = (y, round(max(height - 1, 1), 2), 1)
        end = begin + spent if each.end is None else each.end
        drawing = bar(_class(each), each.start - begin, end - begin, whole, _title(each))
        bars.append(WorkBar(drawing, *shape, each))
    return bars


def levels(work: Sequence[WorkItem]) -> list[int]:
    """On which level each is drawn, so that those that ran at once lie below one another."""
    free: list[float] = []
    result = []
    for each in work:
        level = next((n for n, at in enumerate(free) if at <= each.start), len(free))
        free[level : level + 1] = [float("inf") if each.end is None else each.end]
        result.append(level)
    return result


def _class(work: WorkItem) -> str:
    kinds = {AGENT: "other turn", LLM: "llm", TOOL: "tool"}
    failed = " failed-bar" if work.failed and work.kind != AGENT else ""
    return kinds[work.kind] + failed + (" cut" if work.cut else "")


def _title(work: WorkItem) -> str:
    took = "goes on" if work.end is None else brief(work.end - work.start)
    return f"{work.name}: {took}" + (f", failed: {work.error}" if work.failed else "")


def numbers_of(progress: RunProgress, begin: float) -> list[tuple[str, ...]]:
    """The waterfall in numbers, for whoever reads rather than looks: a row for each agent."""
    return [
        (
            spoken(lane.agent),
            f"{lane.work[0].start - begin:.2f} s",
            f"{lane.seconds(begin):.2f}",
            str(len(lane.of(LLM))),
            str(len(lane.of(TOOL))),
            str(sum(work.failed for work in lane.work if work.kind != AGENT)),
            f"{sum(work.tokens for work in lane.work):,}",
        )
        for lane in progress.lanes
        if lane.work
    ]
