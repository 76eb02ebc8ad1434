"""A view of a resumed run without its interruptions, for the verdict and the diagnosis.

The time in which no process lived is cut out of the time axis. Work that was repeated, because its
result was lost, is one branch from its first start to its last end: the checks look at the second
attempt, and the first counts only as work below it.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

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
from trading_graph.otel.trace.records import no_events
from trading_graph.otel.verdict.work import working_spans
from trading_graph.otel.vocabularies import Role, witness

_NODES = (Role.AGENT, Role.DISPATCH, Role.JOIN)
_UNSET = 0

PAID_AGAIN = "trading.paid_again"
"""An attribute of the view alone: an LLM call of an agent that had to begin again after a death."""


class Interruption(msgspec.Struct, frozen=True):
    """One death of a run's process, or one failure of a run, in nanoseconds.

    `at_ns` is when it happened, `after_ns` how long the run had worked until then, and `dead_ns`
    how long no process lived; `killed_spans` counts the spans that it cut short. `failure` is the
    error.type with which the run failed, and empty where its process was killed.
    """

    at_ns: int
    after_ns: int
    dead_ns: int
    killed_spans: int
    failure: str = ""


def interruptions(trace: SpanTable, run: int) -> tuple[Interruption, ...]:
    """The interruptions of a run: each time it was killed or failed, and was resumed."""
    if not trace.attributes(run).get(semconv.RESUMED):
        return ()
    interruptions: list[Interruption] = []
    run_start, dead_ns = int(trace.start[run]), 0
    for row in trace.children(run):
        if trace.roles[row] is Role.INTERRUPTION:
            start, end = trace.intervals[row]
            killed = trace.number(row, semconv.KILLED_SPANS) or 0
            after_ns = start - run_start - dead_ns
            failure = str(trace.attributes(row).get(semconv.RUN_FAILURE, ""))
            interruptions.append(Interruption(start, after_ns, end - start, int(killed), failure))
            dead_ns += end - start
    return tuple(interruptions)


def without_interruptions(trace: SpanTable, run: int) -> tuple[SpanTable, int]:
    """The view of a run, and the run's row in it; the trace itself if nothing interrupted it."""
    if not interruptions(trace, run):
        return trace, run
    view = _View(trace, run).build()
    return view, view.row_of[trace.span_ids[run]]


class _View:
    def __init__(self, trace: SpanTable, run: int) -> None:
        self._of = trace
        self._run = run
        self._rows = trace.below(run)
        dead = [row for row in trace.children(run) if trace.roles[row] is Role.INTERRUPTION]
        self._dead = [trace.intervals[row] for row in dead]
        self._omissions = set(dead)
        self._new_ids: dict[str, str] = {}
        self._first_starts: dict[int, int] = {}
        self._repeats: set[int] = set()
        self._heirs: dict[int, int] = {}
        for earlier, heir in self._repetitions():
            self._supersede(earlier, heir)

    def build(self) -> SpanTable:
        """The trace of the remaining spans, on its own time axis."""
        builder = TraceBuilder(self._of.trace_id)
        for row in range(len(self._of)):
            if row in self._heirs:
                builder.add(self._lost_work(row, self._heirs[row]))
            elif row not in self._omissions:
                builder.add(self._span(row))
        return builder.build()

    def _repetitions(self) -> Iterator[tuple[int, int]]:
        """Each span that was repeated in a later life, with the span that replaces it."""
        groups: dict[tuple[object, ...], dict[int, list[int]]] = defaultdict(
            lambda: defaultdict(list)
        )
        for row in self._rows:
            if self._of.roles[row] in _NODES:
                groups[self._place(row)][self._life(row)].append(row)
        for (_, node, _), lives in groups.items():
            heirs = lives.pop(max(lives))
            for rows in lives.values():
                # A program without nodes may also call an agent again on purpose.
                again = rows if node is not None else [row for row in rows if self._killed(row)]
                yield from self._pairs(again, heirs)

    def _pairs(self, rows: Sequence[int], heirs: Sequence[int]) -> Iterator[tuple[int, int]]:
        """Pair spans by task id (of several attempts at a task, the last); the rest in order."""
        by_task = {self._task(heir): heir for heir in reversed(heirs)}
        with_task = [
            row for row in rows if self._task(row) in by_task and self._task(row) is not None
        ]
        pairs = {by_task[self._task(row)]: row for row in with_task}
        yield from ((row, heir) for heir, row in pairs.items())
        rest = [row for row in rows if row not in with_task]
        yield from zip(rest, [heir for heir in heirs if heir not in pairs], strict=False)

    def _supersede(self, earlier: int, heir: int) -> None:
        trace = self._of
        if trace.roles[earlier] is Role.DISPATCH and not self._killed(earlier):
            # It did send its branches, so the run waited for nothing when this was repeated.
            new_id = self._new_ids.get(trace.span_ids[heir])
            out, into = (heir, trace.span_ids[earlier]) if new_id is None else (earlier, new_id)
            self._omissions.add(out)
            self._new_ids[trace.span_ids[out]] = into
            return
        self._omissions.update(trace.subtree(earlier))
        if trace.roles[earlier] is Role.AGENT:
            self._repeats.update(trace.subtree(heir))
            start = trace.intervals[earlier][0]
            self._first_starts[heir] = min(self._first_starts.get(heir, start), start)
            for row in working_spans(trace, earlier):
                if row != earlier:
                    self._heirs[row] = heir

    def _span(self, row: int) -> SpanValues:
        trace, attributes = self._of, self._attributes(row)
        start, end = trace.intervals[row]
        status = int(trace.status[row])
        killed = self._killed(row)

        def links() -> list[Link]:
            return [
                Link(link.trace_id, self._new_ids.get(link.span_id, link.span_id), link.attributes)
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
            self._at(self._first_starts.get(row, start)),
            self._at(end),
            _UNSET if killed else status,
            lambda: attributes,
            no_events if row in trace.eventless else events,
            links,
            trace.resources[row],
            row in trace.followers,
        )

    def _lost_work(self, row: int, heir: int) -> SpanValues:
        """Work whose result died with its process: part of the heir's branch, but of no check."""
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
            resource=self._of.resources[row],
        )

    def _attributes(self, row: int) -> Attributes:
        attributes: Mapping[str, Any] = self._of.attributes(row)
        if row == self._run:
            lags = self._of.column_of(witness.loop_lag_ms)
            numbers = [lag for each in self._rows if (lag := lags[each]) is not None]
            # What the last process measured does not cover the processes before it.
            return {**attributes, witness.LOOP_LAG_MAX_MS: max(numbers)} if numbers else attributes
        if row in self._repeats and self._of.roles[row] is Role.LLM:
            return {**attributes, PAID_AGAIN: True}
        if self._killed(row):
            return {key: value for key, value in attributes.items() if key != semconv.ERROR_TYPE}
        if semconv.FETCH_KEY in attributes and (life := self._life(row)):
            # The cache that had the data died too.
            key = f"{attributes[semconv.FETCH_KEY]} in life {life + 1}"
            return {**attributes, semconv.FETCH_KEY: key}
        return attributes

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
        attributes = self._of.attributes(row)
        return self._of.names[row], attributes.get(semconv.NODE), self._of.steps[row]

    def _task(self, row: int) -> object:
        return self._of.attributes(row).get(semconv.TASK_ID) or None

    def _at(self, time_ns: int) -> int:
        return time_ns - _before(time_ns, self._dead)


def _before(time_ns: int, intervals: Iterable[tuple[int, int]]) -> int:
    """How much of the intervals lies before a point in time."""
    return sum(max(min(time_ns, end) - start, 0) for start, end in intervals)
