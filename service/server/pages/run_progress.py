"""How far a run is, read from its events: who worked on what and when, and who works now."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from trading_graph.graph.options import DEBATERS, DECIDERS, RISK_ANALYSTS
from trading_graph.service.run.request import RunRequest
from trading_graph.service.server.pages.layout import spoken

AGENT, LLM, TOOL = "agent", "llm", "tool"
_KINDS = (AGENT, LLM, TOOL)
_INTERRUPTION = "interruption"
_CUT_SHORT = ("cancelled", "killed")
"""Errors of work that did nothing wrong: somebody cancelled it, or its process was killed."""


@dataclass(frozen=True, slots=True)
class Work:
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
    dead: list[tuple[float, float]] = field(default_factory=list)

    def take(self, event: Mapping[str, Any]) -> None:
        kind, _, what = str(event.get("type")).partition(".")
        if kind == _INTERRUPTION and what == "ended":
            self.dead.append((float(event["start"]), float(event["end"])))
        if kind not in _KINDS or what not in ("started", "ended"):
            return
        span_id, start = str(event.get("span_id")), float(event["start"])
        agent = event.get("agent") or self.agent_of.get(str(event.get("parent_id")))
        if agent is None:
            return
        agent = str(agent)
        self.agent_of[span_id] = agent
        end = event.get("end")
        error = event.get("error")
        self.work[span_id] = Work(
            span_id,
            kind,
            str(event.get(TOOL) or event.get("model") or spoken(agent)),
            start,
            None if end is None else float(end),
            None if error is None else str(error),
            cut=error in _CUT_SHORT,
            tokens=sum(int(event.get(name) or 0) for name in ("input_tokens", "output_tokens")),
        )

    def alive(self, work: Work) -> Work:
        """The work, where it was before a time that no process lived in, moved on by that."""
        moved = sum(end - start for start, end in self.dead if work.start <= start)
        end = None if work.end is None else work.end + moved
        return replace(work, start=work.start + moved, end=end)


def progress(
    request: RunRequest, events: Iterable[tuple[int, str]], ended: float | None = None
) -> Progress:
    """Read the events of a run; at its end nothing goes on any more."""
    reading, last = _Reading(), 0
    for last, body in events:  # noqa: B007 - the number of the last one
        reading.take(json.loads(body))
    lanes: dict[str, list[Work]] = {agent: [] for agent in _expected(request)}
    for span_id, work in reading.work.items():
        work = reading.alive(work)
        if work.end is None and ended is not None:
            work = replace(work, end=max(ended, work.start), cut=True)
        lanes.setdefault(reading.agent_of[span_id], []).append(work)
    return Progress(
        tuple(Lane(agent, tuple(sorted(w, key=lambda w: w.start))) for agent, w in lanes.items()),
        last,
        sum(end - start for start, end in reading.dead),
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
