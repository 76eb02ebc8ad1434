"""A resumed run seen as one that was never interrupted: what a verdict and a diagnosis look at.

The time in which no process lived is taken out of the time axis. Work that was done twice, because
what it brought had not been kept, is one branch from its first start to its last end: the second
time is what the checks look at, and what the first did is work beside it and nothing else.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trading_graph.otel.trace import (
    ERROR,
    ROOT,
    Attributes,
    Event,
    Link,
    SpanTable,
    SpanValues,
    TraceBuilder,
    semconv,
)
from trading_graph.otel.trace.kinds import Role
from trading_graph.otel.trace.table import events_not_kept
from trading_graph.otel.verdict.work import working_spans

_NODES = (Role.AGENT, Role.DISPATCH, Role.JOIN)
_UNSET = 0

PAID_AGAIN = "trading.paid_again"
"""In the view alone: an LLM call of an agent that a death made begin anew."""


@dataclass(frozen=True, slots=True)
class Interruption:
    """One death of a run's process: when, how long nobody worked, how many spans it cut short.

    `after_ns` is how long the run had worked by then.
    """

    at_ns: int
    after_ns: int
    dead_ns: int
    killed_spans: int


def interruptions(trace: SpanTable, run: int) -> tuple[Interruption, ...]:
    """How often the process of a run was killed and another took it up."""
    if not trace.attributes(run).get(semconv.RESUMED):
        return ()
    found: list[Interruption] = []
    began, dead_ns = int(trace.start[run]), 0
    for row in trace.children(run):
        if trace.roles[row] is Role.INTERRUPTION:
            start, end = trace.intervals[row]
            killed = trace.number(row, semconv.KILLED_SPANS) or 0
            after_ns = start - began - dead_ns
            found.append(Interruption(start, after_ns, end - start, int(killed)))
            dead_ns += end - start
    return tuple(found)


def uninterrupted(trace: SpanTable, run: int) -> tuple[SpanTable, int]:
    """The view of a run, and the row of the run in it; of a run that nobody killed, the trace."""
    if not interruptions(trace, run):
        return trace, run
    seen = _View(trace, run).trace()
    return seen, seen.row_of[trace.span_ids[run]]


class _View:
    def __init__(self, trace: SpanTable, run: int) -> None:
        self._of = trace
        self._run = run
        self._rows = trace.below(run)
        dead = [row for row in trace.children(run) if trace.roles[row] is Role.INTERRUPTION]
        self._dead = [trace.intervals[row] for row in dead]
        self._left_out = set(dead)
        self._renamed: dict[str, str] = {}
        self._begun: dict[int, int] = {}
        self._again: set[int] = set()
        self._adopted: dict[int, int] = {}
        for earlier, heir in self._superseded():
            self._supersede(earlier, heir)

    def trace(self) -> SpanTable:
        """The trace of what is left, on its own time axis."""
        found = TraceBuilder(self._of.trace_id)
        for row in range(len(self._of)):
            if row in self._adopted:
                found.add(self._lost(row, self._adopted[row]))
            elif row not in self._left_out:
                found.add(self._span(row))
        return found.build()

    def _superseded(self) -> Iterator[tuple[int, int]]:
        """What was done again in a later life, each with what took its place."""
        groups: dict[tuple[object, ...], dict[int, list[int]]] = defaultdict(
            lambda: defaultdict(list)
        )
        for row in self._rows:
            if self._of.roles[row] in _NODES:
                groups[self._place(row)][self._life(row)].append(row)
        for (_, node, _), lives in groups.items():
            heirs = lives.pop(max(lives))
            for rows in lives.values():
                # A program without nodes may call an agent once more because it wants to.
                again = rows if node is not None else [row for row in rows if self._killed(row)]
                yield from self._matched(again, heirs)

    def _matched(self, rows: Sequence[int], heirs: Sequence[int]) -> Iterator[tuple[int, int]]:
        """By task id, of several tries at one task the last; else in order."""
        by_task = {self._task(heir): heir for heir in reversed(heirs)}
        known = [row for row in rows if self._task(row) in by_task and self._task(row) is not None]
        pairs = {by_task[self._task(row)]: row for row in known}
        yield from ((row, heir) for heir, row in pairs.items())
        rest = [row for row in rows if row not in known]
        yield from zip(rest, [heir for heir in heirs if heir not in pairs], strict=False)

    def _supersede(self, earlier: int, heir: int) -> None:
        trace = self._of
        if trace.roles[earlier] is Role.DISPATCH and not self._killed(earlier):
            # It did send its branches: the run waited for nothing when it was done once more.
            kept = self._renamed.get(trace.span_ids[heir])
            out, into = (heir, trace.span_ids[earlier]) if kept is None else (earlier, kept)
            self._left_out.add(out)
            self._renamed[trace.span_ids[out]] = into
            return
        self._left_out.update(trace.subtree(earlier))
        if trace.roles[earlier] is Role.AGENT:
            self._again.update(trace.subtree(heir))
            start = trace.intervals[earlier][0]
            self._begun[heir] = min(self._begun.get(heir, start), start)
            for row in working_spans(trace, earlier):
                if row != earlier:
                    self._adopted[row] = heir

    def _span(self, row: int) -> SpanValues:
        trace, attributes = self._of, self._attributes(row)
        start, end = trace.intervals[row]
        status = int(trace.status[row])
        killed = self._killed(row)

        def links() -> list[Link]:
            return [
                Link(link.trace_id, self._renamed.get(link.span_id, link.span_id), link.attributes)
                for link in trace.links(row)
            ]

        def events() -> list[Event]:
            return [
                Event(each.name, self._at(each.time_ns), each.attributes)
                for each in trace.events(row)
            ]

        return SpanValues(
            trace.span_ids[row],
            self._parent(row),
            trace.names[row],
            int(trace.kind[row]),
            self._at(self._begun.get(row, start)),
            self._at(end),
            _UNSET if killed else status,
            lambda: attributes,
            events if trace.keeps_events(row) else events_not_kept,
            links,
        )

    def _lost(self, row: int, heir: int) -> SpanValues:
        """Work whose result died with its process: its heir's branch did it, no check counts it."""
        start, end = self._of.intervals[row]
        return SpanValues(
            self._of.span_ids[row],
            self._of.span_ids[heir],
            f"lost: {self._of.names[row]}",
            int(self._of.kind[row]),
            self._at(start),
            self._at(end),
            _UNSET,
            dict,
        )

    def _attributes(self, row: int) -> Attributes:
        said: Mapping[str, Any] = self._of.attributes(row)
        if row == self._run:
            lags = (self._of.number(each, semconv.LOOP_LAG_MAX_MS) for each in self._rows)
            known = [lag for lag in lags if lag is not None]
            # What the last process measured says nothing of those before it.
            return {**said, semconv.LOOP_LAG_MAX_MS: max(known)} if known else said
        if row in self._again and self._of.roles[row] is Role.LLM:
            return {**said, PAID_AGAIN: True}
        if self._killed(row):
            return {key: value for key, value in said.items() if key != semconv.ERROR_TYPE}
        if semconv.FETCH_KEY in said and (life := self._life(row)):
            # The cache that had it died too.
            return {**said, semconv.FETCH_KEY: f"{said[semconv.FETCH_KEY]} in life {life + 1}"}
        return said

    def _parent(self, row: int) -> str:
        above = int(self._of.parent[row])
        if above >= 0:
            return self._of.span_ids[above]
        return "" if above == ROOT else "not here"

    def _killed(self, row: int) -> bool:
        return (
            int(self._of.status[row]) == ERROR
            and self._of.attributes(row).get(semconv.ERROR_TYPE) == semconv.KILLED
        )

    def _life(self, row: int) -> int:
        """The process that a span started in, counted from 0."""
        return bisect_right([end for _, end in self._dead], self._of.intervals[row][0])

    def _place(self, row: int) -> tuple[object, ...]:
        said = self._of.attributes(row)
        return self._of.names[row], said.get(semconv.NODE), self._of.steps[row]

    def _task(self, row: int) -> object:
        return self._of.attributes(row).get(semconv.TASK_ID) or None

    def _at(self, time_ns: int) -> int:
        return time_ns - _before(time_ns, self._dead)


def _before(time_ns: int, intervals: Iterable[tuple[int, int]]) -> int:
    """How much of the intervals lies before an instant."""
    return sum(max(min(time_ns, end) - start, 0) for start, end in intervals)
