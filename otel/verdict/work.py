"""Where work was really done below a span: when a model, a source or a tool worked.

Wrappers lie: an agent's span covers waiting for others. What counts as work is the topmost LLM
call, fetch, retrieval or HTTP request of a branch, else its leaves. Not work are a wait for a free
connection, and a tool that only took what another had fetched.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from trading_graph.otel.trace import SpanTable, semconv
from trading_graph.otel.trace.kinds import Role

Interval = tuple[int, int]

_WORKING = {Role.LLM, Role.FETCH, Role.RETRIEVAL, Role.HTTP}
_WRAPPING = {Role.AGENT, Role.RUN, Role.OTHER}
_IDLE_CACHE = {"hit", "shared", "stale"}


class Work(NamedTuple):
    """The work below one span: disjoint intervals in order, their sum, and the waits left out.

    Nanoseconds. Plain tuples: most spans have one interval, and there is one of these a span.
    """

    intervals: tuple[Interval, ...]
    total_ns: int
    waited_ns: int = 0


def work_of(intervals: Sequence[Interval], waited_ns: int = 0) -> Work:
    """Work in intervals that may overlap or touch."""
    if len(intervals) == 1:  # as most have: nothing to merge
        ((start, end),) = intervals
        return Work(tuple(intervals), end - start, waited_ns)
    merged = merge(intervals)
    return Work(merged, _total_ns(merged), waited_ns)


def work_below(trace: SpanTable, row: int) -> Work:
    """The work of a branch."""
    spans = working_spans(trace, row)
    if _at_or_above_waits(trace).isdisjoint(spans):
        whole = [trace.intervals[each] for each in spans]
        return work_of([(start, end) for start, end in whole if end > start])
    found: list[Interval] = []
    waited_ns = 0
    for each in spans:
        pieces, waited = _net_of_waiting(trace, each)
        found += pieces
        waited_ns += waited
    return work_of(found, waited_ns)


def works_below(trace: SpanTable, rows: Sequence[int]) -> tuple[Work, ...]:
    """The work of several branches."""
    ways, waits, intervals = _ways(trace), _at_or_above_waits(trace), trace.intervals
    return tuple(
        [
            Work((whole,), whole[1] - whole[0])
            if ways[row] is _HERE  # a span that is its own work, as in most large groups
            and row not in waits
            and (whole := intervals[row])[0] < whole[1]
            else work_below(trace, row)
            for row in rows
        ]
    )


def working_spans(trace: SpanTable, row: int) -> list[int]:
    """The spans at or below one that did its work; none of them contains another."""
    below, ways = trace.child_rows, _ways(trace)
    if ways[row] is not _FURTHER:
        return [row] if ways[row] is _HERE else []
    found = []
    pending = below[row].copy()
    while pending:
        current = pending.pop()
        way = ways[current]
        if way is _HERE:
            found.append(current)
        elif way is _FURTHER:
            pending += below[current]
    return found


_FURTHER, _HERE, _NOWHERE = "further down", "here", "nowhere"


def _ways(trace: SpanTable) -> list[str]:
    """Where a span's work is to be looked for."""
    found: list[str] | None = trace.kept.get(_ways)
    if found is None:
        spans = zip(trace.child_rows, trace.roles, trace.values(semconv.CACHE), strict=True)
        found = trace.kept[_ways] = [
            _FURTHER
            if below and role not in _WORKING
            else _HERE
            if cache is None or not is_from_cache(trace, row)
            else _NOWHERE
            for row, (below, role, cache) in enumerate(spans)
        ]
    return found


def is_from_cache(trace: SpanTable, row: int) -> bool:
    """Whether a span only took what another had fetched, or waited for it.

    A miss may join a fetch too: what it loads is made of what another loads already.
    """
    said = trace.values(semconv.CACHE)[row]
    if said == "miss" and not trace.children(row):
        return row in trace.linked and any(
            link.span_id in trace.row_of for link in trace.links(row)
        )
    return str(said) in _IDLE_CACHE


def beside(trace: SpanTable, rows: Sequence[int]) -> bool:
    """Whether the work of childless wrappers seems to be elsewhere: calls run during each of them.

    Some instrumentors keep a tree of their own beside the spans that a program opens by hand.
    """
    if any(trace.roles[row] not in _WRAPPING or trace.children(row) for row in rows):
        return False
    calls = [row for row, role in enumerate(trace.roles) if role in (Role.LLM, Role.TOOL)]
    starts, ends = trace.start[calls], trace.end[calls]
    return all(
        bool(np.any((starts >= trace.start[row]) & (ends <= trace.end[row]))) for row in rows
    )


def _net_of_waiting(trace: SpanTable, row: int) -> tuple[list[Interval], int]:
    """A working span's interval less the waits for a connection recorded below it, and these."""
    start, end = trace.intervals[row]
    pieces: list[Interval] = []
    waited_ns = 0
    for each in trace.subtree(row):
        if wait := trace.number(each, semconv.QUEUE_WAIT_MS):
            wait_ns = int(wait * 1e6)
            waited_ns += wait_ns
            began = max(trace.intervals[each][0], start)
            pieces.append((start, began))
            start = min(began + wait_ns, end)
    pieces.append((start, end))
    return [(begin, until) for begin, until in pieces if until > begin], waited_ns


def _at_or_above_waits(trace: SpanTable) -> set[int]:
    """The spans that waited for a connection, and those above them."""
    found: set[int] | None = trace.kept.get(_at_or_above_waits)
    if found is None:
        found = trace.kept[_at_or_above_waits] = set()
        parents = trace.parent
        for row, wait in trace.numbers(semconv.QUEUE_WAIT_MS):
            while wait and row >= 0 and row not in found:
                found.add(row)
                row = int(parents[row])
    return found


def merge(intervals: Sequence[Interval]) -> tuple[Interval, ...]:
    """Overlapping or touching intervals as one, in order."""
    merged: list[Interval] = []
    for start, end in sorted(intervals):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return tuple(merged)


def union_ns(works: Sequence[Work]) -> int:
    """How long at least one of several branches worked."""
    return _total_ns(merge([each for work in works for each in work.intervals]))


def _total_ns(intervals: Iterable[Interval]) -> int:
    return sum([end - start for start, end in intervals])


def with_shared(trace: SpanTable, rows: Sequence[int], works: Sequence[Work]) -> tuple[Work, ...]:
    """The work of a group of spans, with that of the linked fetches for those that shared some.

    A fetch counts for whichever of its sharers has the fewest, and for none where it is below the
    group itself. Spans that only found what they needed keep doing nothing.
    """
    linked = {row: found for row in rows if (found := _shared_by(trace, row))}
    if not linked:
        return tuple(works)
    own = {each for row in rows for each in trace.subtree(row)}
    sharers: dict[int, list[int]] = defaultdict(list)
    for row, fetches in linked.items():
        for fetch in fetches:
            if fetch not in own:
                sharers[fetch].append(row)
    taken: dict[int, list[int]] = defaultdict(list)
    for fetch, of in sharers.items():
        taken[min(of, key=lambda row: len(linked[row]))].append(fetch)
    return tuple(
        [
            _waited_for(trace, row, work, taken[row]) if row in taken else work
            for row, work in zip(rows, works, strict=True)
        ]
    )


def _shared_by(trace: SpanTable, row: int) -> list[int]:
    """The fetches of others that a span waited for."""
    if trace.values(semconv.CACHE)[row] not in ("shared", "miss"):
        return []
    links = [link.span_id for link in trace.links(row)]
    return list(dict.fromkeys(trace.row_of[each] for each in links if each in trace.row_of))


def _waited_for(trace: SpanTable, row: int, work: Work, fetches: Sequence[int]) -> Work:
    """A span's work and that of the fetches while it waited for them."""
    start, end = trace.intervals[row]
    found: list[Interval] = list(work.intervals)
    waited_ns = work.waited_ns
    for fetch in fetches:
        below = work_below(trace, fetch)
        waited_ns += below.waited_ns
        found += [
            (max(began, start), min(ended, end))
            for began, ended in below.intervals
            if began < end and ended > start
        ]
    return work_of(found, waited_ns)
