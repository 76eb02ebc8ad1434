"""How far a run is, read from its events: who worked on what and when, and who works now."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from graph.options import DEBATERS, DECIDERS, RISK_ANALYSTS
from service.run_request import RunRequest
from service.server.pages.layout import spoken

AGENT, LLM, TOOL = "agent", "llm", "tool"
_KINDS = (AGENT, LLM, TOOL)
_CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Work:
    """An agent's turn, an LLM call or a tool call; `end` is None while it goes on.

    `error` is the type of what ended it. `cut` is work that was cancelled, or that nothing ended:
    its process stopped.
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
        """Whether it went wrong; what somebody cancelled did not."""
        return self.error is not None and self.error != _CANCELLED


@dataclass(frozen=True, slots=True)
class Lane:
    """All work of one agent, in the order of its starts."""

    agent: str
    work: tuple[Work, ...] = ()

    def of(self, kind: str) -> list[Work]:
        """The work of one kind."""
        return [each for each in self.work if each.kind == kind]

    @property
    def seconds(self) -> float | None:
        """How long the agent has worked, None while it has not or still does."""
        turns = self.of(AGENT)
        if not turns or any(each.end is None for each in turns):
            return None
        return sum((each.end or each.start) - each.start for each in turns)


@dataclass(frozen=True, slots=True)
class Progress:
    """A run so far: a lane an agent, and the number of the last event that is in it.

    `dead_s` is the time that no process worked on it; what was before is moved on by so much, as
    if the run had begun later and never been interrupted.
    """

    lanes: tuple[Lane, ...]
    last: int
    dead_s: float = 0.0

    def of(self, kind: str) -> list[Work]:
        """The work of all agents of one kind."""
        return [each for lane in self.lanes for each in lane.of(kind)]

    @property
    def tokens(self) -> int:
        """Tokens of the LLM calls that have ended."""
        return sum(each.tokens for each in self.of(LLM))


@dataclass(slots=True)
class _Reading:
    """Work by span, as events change it; dicts keep the order of the starts."""

    work: dict[str, Work] = field(default_factory=dict)
    agent_of: dict[str, str] = field(default_factory=dict)
    newest: float = 0.0
    dead_s: float = 0.0

    def take(self, event: Mapping[str, Any]) -> None:
        kind, _, what = str(event.get("type")).partition(".")
        if kind not in _KINDS or what not in ("started", "ended"):
            return
        span_id, start = str(event.get("span_id")), float(event["start"])
        agent = event.get("agent") or self.agent_of.get(str(event.get("parent_id")))
        if agent is None:
            return
        agent = str(agent)
        if kind == AGENT and what == "started":
            self._take_up(agent, start)
        self.agent_of[span_id] = agent
        end = event.get("end")
        error = event.get("error")
        self.newest = max(self.newest, start, end or 0.0)
        self.work[span_id] = Work(
            span_id,
            kind,
            str(event.get(TOOL) or event.get("model") or spoken(agent)),
            start,
            None if end is None else float(end),
            None if error is None else str(error),
            cut=error == _CANCELLED,
            tokens=sum(int(event.get(name) or 0) for name in ("input_tokens", "output_tokens")),
        )

    def _take_up(self, agent: str, start: float) -> None:
        """Where an agent starts again while it still works, its process had stopped."""
        if not any(w.end is None and self.agent_of[s] == agent for s, w in self.work.items()):
            return
        dead = max(start - self.newest, 0.0)
        self.dead_s += dead
        for span_id, work in self.work.items():
            end = self.newest if work.end is None else work.end
            self.work[span_id] = replace(
                work,
                start=work.start + dead,
                end=max(end, work.start) + dead,
                cut=work.cut or work.end is None,
            )


def progress(
    request: RunRequest, events: Iterable[tuple[int, str]], ended: float | None = None
) -> Progress:
    """Read the events of a run; at its end nothing goes on any more."""
    reading, last = _Reading(), 0
    for last, body in events:  # noqa: B007 - the number of the last one
        reading.take(json.loads(body))
    lanes: dict[str, list[Work]] = {agent: [] for agent in _expected(request)}
    for span_id, work in reading.work.items():
        if work.end is None and ended is not None:
            work = replace(work, end=max(ended, work.start), cut=True)
        lanes.setdefault(reading.agent_of[span_id], []).append(work)
    return Progress(
        tuple(Lane(agent, tuple(sorted(w, key=lambda w: w.start))) for agent, w in lanes.items()),
        last,
        reading.dead_s,
    )


def _expected(request: RunRequest) -> Sequence[str]:
    manager, trader, judge = DECIDERS
    analysts = tuple(f"{name}_analyst" for name in request.analysts)
    return (*analysts, *DEBATERS, manager, trader, *RISK_ANALYSTS, judge)


def now_doing(found: Progress) -> str:
    """Who is doing what now, in words; live.js says it with the same words."""
    models, tools, others = [], [], []
    for lane in found.lanes:
        going_on = [each for each in lane.work if each.end is None]
        called = [each.name for each in going_on if each.kind == TOOL]
        if called:
            tools.append(f"{spoken(lane.agent)} ({', '.join(called)})")
        elif any(each.kind == LLM for each in going_on):
            models.append(spoken(lane.agent))
        elif going_on:
            others.append(spoken(lane.agent))
    said = [
        f"{title}: {', '.join(names)}."
        for title, names in (
            ("Waiting for the model", models),
            ("Calling tools", tools),
            ("Working", others),
        )
        if names
    ]
    return " ".join(said) or "Between two agents."
