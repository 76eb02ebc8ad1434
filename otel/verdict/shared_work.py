"""Work that a span waited for and another branch did: the fetch that a tool shares.

Where data is fetched before it is asked for, a turn's tools do no work of their own. Whether they
ran at once then shows in the fetches that they link to, as far as each was waited for. One fetch
counts once: two tools that wait for the same prove nothing.
"""

from collections import defaultdict
from collections.abc import Sequence

from trading_graph.otel.trace import SpanTable, semconv
from trading_graph.otel.verdict.work import Interval, Work, work_below, work_of


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
