"""Where the real work below a span was done: by a model, a source or a tool.

The span of a wrapper, such as an agent, also covers waiting for others. Work is the topmost LLM
call, fetch, retrieval or HTTP request of a branch, or else its leaves. A wait for its turn is
not work, and neither is a tool that only took what another had fetched.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

import msgspec
import numpy as np

from trading_graph.otel.trace import SpanTable, semconv
from trading_graph.otel.trace.intervals import Interval, cover_ns, merge, total_ns, without
from trading_graph.otel.trace.waits import waits
from trading_graph.otel.vocabularies import Role

SERVER, CONSUMER = 2, 5
"""OTLP's kinds of a span on the far side of a call, and of a message."""

OWN_SHARE = 0.25
"""A tool or a server whose children take less than this share of its time worked itself."""

_REMOTE = {Role.HTTP, Role.RPC, Role.MESSAGING}
_WORKING = {Role.LLM, Role.FETCH, Role.RETRIEVAL, Role.DATABASE, *_REMOTE}
_OWN = {Role.TOOL, *_REMOTE}
_FETCH = Role.FETCH
_WRAPPING = {Role.AGENT, Role.RUN, Role.CHAIN, Role.OTHER}
_IDLE_CACHE = {"hit", "shared", "stale"}


class Work(msgspec.Struct, frozen=True, gc=False):
    """The work below one span, in nanoseconds: disjoint intervals in order, and their sum.

    `waited_ns` is the sum of the waits that were left out.
    """

    intervals: tuple[Interval, ...]
    total_ns: int
    waited_ns: int = 0


_NO_WORK = Work((), 0)


def work_of(intervals: Sequence[Interval], waited_ns: int = 0) -> Work:
    """The work in intervals that may overlap or touch."""
    if len(intervals) == 1:  # the usual case: nothing to merge
        ((start, end),) = intervals
        return Work(tuple(intervals), end - start, waited_ns)
    disjoint = merge(intervals)
    return Work(disjoint, total_ns(disjoint), waited_ns)


def work_below(trace: SpanTable, row: int) -> Work:
    """The work of one branch."""
    (work,) = works_below(trace, (row,))
    return work


def _net_work(trace: SpanTable, spans: Iterable[int]) -> Work:
    """The work of some spans without the waits in them."""
    intervals: list[Interval] = []
    waited_ns = 0
    for each in spans:
        pieces, wait_ns = _net_of_waiting(trace, each)
        intervals += pieces
        waited_ns += wait_ns
    return work_of(intervals, waited_ns)


def works_below(trace: SpanTable, rows: Sequence[int]) -> tuple[Work, ...]:
    """The work of several branches."""
    waits, intervals = at_or_above_waits(trace), trace.intervals
    works = []
    for row in rows:
        spans = working_spans(trace, row)
        if waits and not waits.isdisjoint(spans):
            works.append(_net_work(trace, spans))
        elif len(spans) == 1:  # the usual case: one interval, which is there already
            start, end = interval = intervals[spans[0]]
            works.append(Work((interval,), end - start) if end > start else _NO_WORK)
        else:
            whole = [intervals[each] for each in spans]
            works.append(work_of([each for each in whole if each[1] > each[0]]))
    return tuple(works)


def working_spans(trace: SpanTable, row: int) -> list[int]:
    """The spans at or below one that did its work; none of them contains another."""
    ways = _ways(trace)
    if ways[row] is not _FURTHER:
        return [row] if ways[row] is _HERE else []
    below, spans = trace.child_rows, list[int]()
    pending = below[row].copy()
    while pending:
        current = pending.pop()
        way = ways[current]
        if way is _HERE:
            spans.append(current)
        elif way is _FURTHER:
            pending += below[current]
    return spans


_FURTHER, _HERE, _NOWHERE = "further down", "here", "nowhere"


def _ways(trace: SpanTable) -> list[str]:
    """Where to look for the work of each span, by row."""
    ways: list[str] | None = trace.memo.get(_ways)
    if ways is None:
        spans = zip(trace.child_rows, trace.roles, trace.values(semconv.CACHE), strict=True)
        ways = trace.memo[_ways] = [
            _FURTHER
            if below and (role not in _WORKING or role in _REMOTE) and _is_below(trace, row, role)
            else _HERE
            if cache is None or not is_from_cache(trace, row)
            else _NOWHERE
            for row, (below, role, cache) in enumerate(spans)
        ]
    return ways


def _is_below(trace: SpanTable, row: int, role: Role) -> bool:
    """Whether the work of a span with children is to be looked for in them.

    A request's work is done by the server, where its span is recorded; a server's, or a tool's, is
    its own where its children take little of the time.
    """
    children = trace.child_rows[row]
    if role in _REMOTE and trace.kind[row] != SERVER:
        return any(trace.kind[child] in (SERVER, CONSUMER) for child in children)
    if role in _OWN:
        roles, lengths = trace.roles, trace.lengths
        if _FETCH in [roles[child] for child in children]:
            return True
        return sum([lengths[child] for child in children]) >= OWN_SHARE * lengths[row]
    return True


def is_from_cache(trace: SpanTable, row: int) -> bool:
    """Whether a span only took what another had fetched, or waited for that fetch.

    A cache miss may join a fetch too: its result is made of what another span is loading already.
    """
    outcome = trace.values(semconv.CACHE)[row]
    if outcome == "miss" and not trace.children(row):
        return row in trace.linked and any(
            link.span_id in trace.row_of for link in trace.links(row)
        )
    return str(outcome) in _IDLE_CACHE


def calls_beside(trace: SpanTable, rows: Sequence[int]) -> bool:
    """Whether the work of childless wrappers seems to be elsewhere: calls run during each of them.

    Some instrumentors build a tree of their own beside the spans that a program opens by hand.
    """
    for row in rows:
        if trace.roles[row] not in _WRAPPING or trace.child_rows[row]:
            return False
    calls = [*trace.of_role(Role.LLM), *trace.of_role(Role.TOOL)]
    starts, ends = trace.start[calls], trace.end[calls]
    return all(
        bool(np.any((starts >= trace.start[row]) & (ends <= trace.end[row]))) for row in rows
    )


def _net_of_waiting(trace: SpanTable, row: int) -> tuple[list[Interval], int]:
    """The interval of a working span without the waits at and below it, and what that left out."""
    found, whole = waits(trace), trace.intervals[row]
    places = merge([place for each in trace.subtree(row) for place in found.get(each, ())])
    pieces = without([whole], places)
    return pieces, max(whole[1] - whole[0], 0) - total_ns(pieces)


def at_or_above_waits(trace: SpanTable) -> set[int]:
    """The spans that waited for their turn, and all spans above them."""
    rows: set[int] | None = trace.memo.get(at_or_above_waits)
    if rows is None:
        rows = trace.memo[at_or_above_waits] = set()
        parents = trace.parent
        for row in waits(trace):
            while row >= 0 and row not in rows:
                rows.add(row)
                row = int(parents[row])
    return rows


def union_ns(works: Sequence[Work]) -> int:
    """How long at least one of several branches worked, in nanoseconds."""
    return cover_ns([each for work in works for each in work.intervals])


def add_shared(trace: SpanTable, rows: Sequence[int], works: Sequence[Work]) -> tuple[Work, ...]:
    """The work of a group, where spans that waited for another's fetch are credited with it.

    A fetch counts for the sharer that has the fewest fetches, and for none where it is below the
    group itself. Spans that found their data in the cache still have no work.
    """
    links = {row: fetches for row in rows if (fetches := _foreign_fetches(trace, row))}
    if not links:
        return tuple(works)
    own = {each for row in rows for each in trace.subtree(row)}
    sharers: dict[int, list[int]] = defaultdict(list)
    for row, fetches in links.items():
        for fetch in fetches:
            if fetch not in own:
                sharers[fetch].append(row)
    credit: dict[int, list[int]] = defaultdict(list)
    for fetch, of in sharers.items():
        credit[min(of, key=lambda row: len(links[row]))].append(fetch)
    return tuple(
        [
            _add_fetches(trace, row, work, credit[row]) if row in credit else work
            for row, work in zip(rows, works, strict=True)
        ]
    )


def _foreign_fetches(trace: SpanTable, row: int) -> list[int]:
    """The fetches of other spans that a span waited for."""
    if trace.values(semconv.CACHE)[row] not in ("shared", "miss"):
        return []
    links = [link.span_id for link in trace.links(row)]
    return list(dict.fromkeys(trace.row_of[each] for each in links if each in trace.row_of))


def _add_fetches(trace: SpanTable, row: int, work: Work, fetches: Sequence[int]) -> Work:
    """The work of a span, with that of the fetches while the span waited for them."""
    start, end = trace.intervals[row]
    intervals: list[Interval] = list(work.intervals)
    waited_ns = work.waited_ns
    for fetch in fetches:
        below = work_below(trace, fetch)
        waited_ns += below.waited_ns
        intervals += [
            (max(fetch_start, start), min(fetch_end, end))
            for fetch_start, fetch_end in below.intervals
            if fetch_start < end and fetch_end > start
        ]
    return work_of(intervals, waited_ns)
