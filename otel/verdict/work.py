"""Where work was really done below a span: when a model, a source or a tool worked.

Wrappers lie: an agent's span covers waiting for others. What counts as work is the topmost LLM
call, fetch, retrieval or HTTP request of a branch, else its leaves. Not work are a wait for a free
connection, and a tool that only took what another had fetched.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from otel.trace import Trace, semconv
from otel.trace.kinds import Role

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


def work_below(trace: Trace, row: int) -> Work:
    """The work of a branch."""
    found: list[Interval] = []
    waited_ns = 0
    for each in working_spans(trace, row):
        pieces, waited = _net_of_waiting(trace, each)
        found += pieces
        waited_ns += waited
    return work_of(found, waited_ns)


def working_spans(trace: Trace, row: int) -> list[int]:
    """The spans at or below one that did its work; none of them contains another."""
    found = []
    pending = [row]
    while pending:
        current = pending.pop()
        children = trace.children(current)
        if children and trace.roles[current] not in _WORKING:
            pending.extend(children)
        elif not is_from_cache(trace, current):
            found.append(current)
    return found


def is_from_cache(trace: Trace, row: int) -> bool:
    """Whether a span only took what another had fetched, or waited for it.

    A miss may join a fetch too: what it loads is made of what another loads already.
    """
    said = trace.attributes(row).get(semconv.CACHE)
    if said == "miss" and not trace.children(row):
        return any(link.span_id in trace.row_of for link in trace.links(row))
    return str(said) in _IDLE_CACHE


def beside(trace: Trace, rows: Sequence[int]) -> bool:
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


def _net_of_waiting(trace: Trace, row: int) -> tuple[list[Interval], int]:
    """A working span's interval less the waits for a connection recorded below it, and these."""
    start, end = trace.intervals[row]
    if not trace.children(row) and semconv.QUEUE_WAIT_MS not in trace.attributes(row):
        return [(start, end)] if end > start else [], 0
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
