"""For what the spans of a group waited, inside of them or before they started."""

from collections import Counter
from collections.abc import Iterable

import msgspec

from trading_graph.otel.trace import semconv
from trading_graph.otel.trace.intervals import Interval, merge, total_ns
from trading_graph.otel.trace.waits import own_waits, waits
from trading_graph.otel.verdict.group_measures import Group, branches_of
from trading_graph.otel.verdict.work import at_or_above_waits
from trading_graph.otel.vocabularies import witness

LIMITS: dict[str, str] = {
    witness.Wait.SEMAPHORE: "a semaphore",
    witness.Wait.LOCK: "a lock",
    witness.Wait.LIMITER: "a limiter",
}
"""The kinds of waits for a limit on concurrency, in words."""

INSIDE_SHARE = 0.3
"""Waits explain why members take turns if they are more than this share of the members' time."""

LIMITED_SHARE = 0.1
"""The same where a limit shows in times already, and only its kind is asked for."""

OUTSIDE_SHARE = 0.5
"""Waits around the members explain it from this share of the time between their starts."""


LEAST_HELD_NS = 20_000_000
"""Shorter waits do not hold back a group that overlaps otherwise."""


class Waited(msgspec.Struct, frozen=True):
    """How long spans waited, and what most of that was for; None where that is not recorded."""

    time_ns: int
    kind: str | None


_NOTHING = Waited(0, None)


def waited_inside(group: Group) -> Waited:
    """What was waited for at and below the members."""
    trace, above = group.trace, at_or_above_waits(group.trace)
    if above.isdisjoint(group.rows):
        # A fetch that they share with others may have waited.
        return Waited(group.queue_wait_ns, None)
    found = waits(trace)
    time_ns, spans = 0, list[int]()
    for row in group.rows:
        if row in above:
            inside = [each for each in trace.subtree(row) if each in found]
            spans += inside
            places = [place for each in inside for place in found[each]]
            time_ns += total_ns(_within(places, *trace.intervals[row]))
    return Waited(max(time_ns, group.queue_wait_ns), _kind(group, spans))


def waited_outside(group: Group) -> Waited:
    """What was waited for around the members, up to the span above all, before the last started."""
    trace, above = group.trace, at_or_above_waits(group.trace)
    if not above or len(group.rows) < 2:
        return _NOTHING
    top = trace.parents[branches_of(trace, group.rows)[0]]
    found = own_waits(trace)
    around = dict.fromkeys(
        row for each in group.rows for row in _between(trace.parents, each, top) if row in above
    )
    spans = [row for row in around if row in found]
    if not spans:
        return _NOTHING
    starts = [trace.intervals[row][0] for row in group.rows]
    window = min(starts), max(starts)
    places = _within([place for row in spans for place in found[row]], *window)
    least_ns = max(OUTSIDE_SHARE * (window[1] - window[0]), LEAST_HELD_NS)
    if total_ns(places) < least_ns:
        return _NOTHING
    return Waited(total_ns(places), _kind(group, spans))


def limiting(group: Group) -> Waited:
    """What held the members of a limited group up, where that is recorded."""
    inside = waited_inside(group)
    if inside.time_ns > LIMITED_SHARE * group.wrappers.work_ns:
        return inside
    return waited_outside(group)


def held_back_by(group: Group) -> str | None:
    """What the members waited for, for a share of their time that their overlap hides.

    Spans that share what another fetches wait for it, and for no turn: they say how they used
    their cache.
    """
    trace, above = group.trace, at_or_above_waits(group.trace)
    if above.isdisjoint(group.rows):
        return None
    found, caches = own_waits(trace), trace.values(semconv.CACHE)
    waited: Counter[str | None] = Counter()
    for row in group.rows:
        for each in trace.subtree(row) if row in above else ():
            kind = trace.read(witness.wait_kind, each) if each in found else None
            if each in found and not (kind == witness.Wait.TASK and caches[each] is not None):
                waited[kind] += total_ns(_within(found[each], *trace.intervals[row]))
    length = sum([trace.lengths[row] for row in group.rows])
    if sum(waited.values()) <= max(LEAST_HELD_NS, LIMITED_SHARE * length):
        return None
    return waited.most_common(1)[0][0]


def _between(parents: list[int], row: int, top: int) -> Iterable[int]:
    while row != top and (row := parents[row]) >= 0:
        yield row


def _within(places: Iterable[Interval], start: int, end: int) -> tuple[Interval, ...]:
    cut = [(max(begin, start), min(until, end)) for begin, until in places]
    return merge([each for each in cut if each[1] > each[0]])


def _kind(group: Group, spans: Iterable[int]) -> str | None:
    """The kind of which most was waited for."""
    trace, found = group.trace, own_waits(group.trace)
    time_ns: Counter[str | None] = Counter()
    for row in spans:
        time_ns[trace.read(witness.wait_kind, row)] += total_ns(found.get(row, ()))
    return time_ns.most_common(1)[0][0] if time_ns else None
