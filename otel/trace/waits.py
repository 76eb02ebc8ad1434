"""Where in a span its recorded waits lie: at the places that it records, else at its start."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from trading_graph.otel.trace.intervals import Interval, merge, total_ns, without
from trading_graph.otel.trace.memo import once_per_trace
from trading_graph.otel.trace.table import SpanTable
from trading_graph.otel.vocabularies import witness

_ROUNDING_MS = 1.0
"""Recorded places may stick out of a span, or exceed the sum of its waits, by this much."""


@once_per_trace
def waits(trace: SpanTable) -> Mapping[int, tuple[Interval, ...]]:
    """The waits of each span that waited: disjoint, in order, and inside the span."""
    if witness.wait_ms.keys.isdisjoint(trace.keys):
        return {}
    found = {}
    for row, wait_ms in trace.numbers_of(witness.wait_ms):
        if wait_ms > 0 and (places := tuple(_places(trace, row, wait_ms))):
            found[row] = places
    return found


def _places(trace: SpanTable, row: int, wait_ms: float) -> Iterator[Interval]:
    start, end = trace.intervals[row]
    recorded = _recorded(trace, row, wait_ms)
    places = merge(recorded)
    # Only the longest waits have a place; the others are presumed where the span begins.
    rest = int(wait_ms * 1e6) - total_ns(recorded)
    presumed, at = list[Interval](), start
    for begin, until in [*places, (end, end)]:
        if rest > 0 and begin > at:
            presumed.append((at, min(begin, at + rest)))
            rest -= presumed[-1][1] - at
        at = until
    yield from merge([*places, *presumed])


def _recorded(trace: SpanTable, row: int, wait_ms: float) -> Sequence[Interval]:
    """The places that a span records; none where they do not fit it."""
    offsets = trace.read(witness.wait_offsets_ms, row)
    if not offsets:
        return ()
    start, end = trace.intervals[row]
    if offsets[-1][1] * 1e6 > end - start + _ROUNDING_MS * 1e6:
        return ()
    places = [(start + int(a * 1e6), min(start + int(b * 1e6), end)) for a, b in offsets if b > a]
    return places if total_ns(merge(places)) <= (wait_ms + _ROUNDING_MS) * 1e6 else ()


@once_per_trace
def own_waits(trace: SpanTable) -> Mapping[int, tuple[Interval, ...]]:
    """The waits of each span that no span below it records as well.

    A wait of a task is one of every span that is open in it; the deepest is where it was.
    """
    found = waits(trace)
    if witness.WAIT_OFFSETS_MS not in trace.keys:
        return found
    below: dict[int, list[Interval]] = defaultdict(list)
    parents = trace.parents
    for row, places in found.items():
        above = parents[row]
        while above >= 0:
            if above in found:
                below[above] += places
            above = parents[above]
    own = {row: tuple(without(places, merge(below.get(row, ())))) for row, places in found.items()}
    return {row: places for row, places in own.items() if places}
