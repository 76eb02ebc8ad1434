"""The clocks behind a trace: which spans share one, and how far two of them may be apart.

Spans of one process share a clock. Between two processes only causality says something: a child
cannot start before its parent, and as a rule it does not end after it. So each pair of parent and
child bounds the offset of two clocks. What is said across clocks must hold for every offset that
the bounds allow.
"""

import math
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum

import msgspec
import numpy as np

from trading_graph.otel.trace.intervals import Interval
from trading_graph.otel.trace.memo import once_per_trace
from trading_graph.otel.trace.table import Attributes, SpanTable
from trading_graph.otel.trace.trace import Span

LATE_SHARE = 0.05
"""A child that ends after its parent by no more than this share of itself just ended late."""

CLIENT_SIDE = 3, 4
"""OTLP's kinds of the near end of a call or a message: CLIENT, PRODUCER."""

_SERVER, _CONSUMER = 2, 5
_SERVING = frozenset({_SERVER, _CONSUMER})
_CLOCK = "witness.clock"
_INSTANCES = frozenset({"service.instance.id", "client-uuid"})
_HOSTS = frozenset({"host.id", "host.name", "hostname"})
_PID = "process.pid"


class Bounds(msgspec.Struct, frozen=True):
    """The offset of a clock against another: between low and high, in nanoseconds.

    Positive means ahead. The upper bound is hard, because a child cannot start before its parent.
    The lower one is soft, because a child may end after it.
    """

    low_ns: float
    high_ns: float

    @property
    def reverse(self) -> "Bounds":
        """The offset of the other clock against this one."""
        return Bounds(-self.high_ns, -self.low_ns)

    def __add__(self, other: "Bounds") -> "Bounds":
        return Bounds(self.low_ns + other.low_ns, self.high_ns + other.high_ns)

    def __and__(self, other: "Bounds") -> "Bounds":
        """What both allow; the narrower one where they contradict each other."""
        low, high = max(self.low_ns, other.low_ns), min(self.high_ns, other.high_ns)
        if low <= high:
            return Bounds(low, high)
        return min(self, other, key=lambda each: each.high_ns - each.low_ns)


SAME = Bounds(0, 0)
UNKNOWN = Bounds(-math.inf, math.inf)


class SkewKind(StrEnum):
    """How a difference between two clocks shows."""

    BEHIND = "the child's clock is behind"
    LATE_OR_AHEAD = "the child ended late, or its clock is ahead"


class Skew(msgspec.Struct, frozen=True):
    """A difference between two clocks, and the parent and child that show it; times in seconds.

    The child's clock is ahead of its parent's by `low_s` to `high_s`; negative means behind.
    """

    kind: SkewKind
    low_s: float
    high_s: float
    parent: Span
    child: Span

    @property
    def sentence(self) -> str:
        """The difference in words."""
        child = repr(self.child.name)
        parent = f"its parent {self.parent.name!r}, which another process recorded"
        if self.kind is SkewKind.BEHIND:
            before_s = (self.parent.start_ns - self.child.start_ns) / 1e9
            return (
                f"{child} starts {_seconds(before_s)} before {parent}: its clock is behind by "
                f"{_range(-self.high_s, -self.low_s)}, and is taken to be behind by "
                f"{_seconds(-self.high_s)}."
            )
        after_s = (self.child.end_ns - self.parent.end_ns) / 1e9
        return (
            f"{child} ends {_seconds(after_s)} after {parent}: it is late, or its clock is ahead "
            f"by {_range(self.low_s, self.high_s)}."
        )


class Clocks(msgspec.Struct, frozen=True):
    """The clock of each span by row, and the bounds between clocks.

    `beside` has the offset of each clock against those with which it has a parent and a child in
    common, `offsets` that against the clock of the run. `moves` is what is added to the times of a
    clock so that no child starts before its parent, in nanoseconds. `intervals` are the times of
    the spans.
    """

    intervals: Sequence[Interval]
    clock: Sequence[int]
    beside: Mapping[int, Mapping[int, Bounds]]
    offsets: Sequence[Bounds]
    skews: tuple[Skew, ...]
    moves: Mapping[int, int]

    @property
    def are_one(self) -> bool:
        """Whether all spans share a clock."""
        return len(self.offsets) == 1

    def bounds(self, first: int, second: int) -> Bounds:
        """The offset of the second span's clock against the first span's, by row."""
        one, other = self.clock[first], self.clock[second]
        if one == other:
            return SAME
        around = self.offsets[other] + self.offsets[one].reverse
        return self.beside[one].get(other, UNKNOWN) & around

    def overlap_is_certain(self, rows: Sequence[int]) -> bool:
        """Whether all these spans run at one moment, or share a clock, whatever the offsets are."""
        if self.are_one:
            return True
        last_start: dict[int, int] = {}
        first_end: dict[int, int] = {}
        for row in rows:
            clock, (start, end) = self.clock[row], self.intervals[row]
            if clock not in last_start or start > self.intervals[last_start[clock]][0]:
                last_start[clock] = row
            if clock not in first_end or end < self.intervals[first_end[clock]][1]:
                first_end[clock] = row
        return all(
            # The later span's clock may be behind by as much as the bounds allow.
            self.intervals[late][0] - self.bounds(early, late).low_ns < self.intervals[early][1]
            for one, late in last_start.items()
            for other, early in first_end.items()
            if one != other
        )

    def doubt(self, rows: Sequence[int]) -> str:
        """Why it is not certain that these spans overlap, in words; empty where it is."""
        if self.overlap_is_certain(rows):
            return ""
        first = {self.clock[row]: row for row in rows}
        one, *others = first.values()
        bounds = [self.bounds(one, other) for other in others]
        apart = max(max(abs(each.low_ns), abs(each.high_ns)) for each in bounds)
        known = "by an unknown amount" if math.isinf(apart) else f"by up to {_seconds(apart / 1e9)}"
        return f"they ran on {len(first)} clocks, which may differ {known}"

    def corrected(self, trace: SpanTable) -> SpanTable:
        """Their trace on one clock: each other clock is moved as little as the bounds require."""
        if not any(self.moves.values()):
            return trace
        moves = np.array([self.moves.get(each, 0) for each in self.clock], np.int64)
        return trace.with_times(trace.start + moves, trace.end + moves)


@once_per_trace
def clocks(trace: SpanTable, run: int) -> Clocks:
    """The clocks of a trace, with offsets against the clock of the run; cached by row."""
    clock = _clock_of_each(trace)
    if clock is None:
        return Clocks(trace.intervals, [0] * len(trace), {}, (SAME,), (), {})
    above = trace.parent
    across = np.flatnonzero(above >= 0)
    across = across[clock[across] != clock[above[across]]]
    across = across[
        (trace.end[across] >= trace.start[across])
        & (trace.end[above[across]] >= trace.start[above[across]])
    ]
    pairs: dict[tuple[int, int], Bounds] = {}
    behind: dict[tuple[int, int], int] = {}
    skews: list[Skew] = []
    granule = _granule(trace)
    for (one, other), rows in _by_pair(trace, clock, across):
        bounds, first, last = _bounds(trace, rows)
        pairs[one, other] = bounds
        if bounds.high_ns < -granule:
            behind[one, other] = -int(bounds.high_ns)
            skews.append(_skew(trace, SkewKind.BEHIND, bounds, first))
        elif bounds.low_ns > granule:
            skews.append(_skew(trace, SkewKind.LATE_OR_AHEAD, bounds, last))
    beside: dict[int, dict[int, Bounds]] = defaultdict(dict)
    for (one, other), bounds in pairs.items():
        for here, there, each in ((one, other, bounds), (other, one, bounds.reverse)):
            known = beside[here].get(there)
            beside[here][there] = each if known is None else known & each
    offsets, moves = _offsets(beside, behind, int(clock[run]), int(clock.max()) + 1)
    return Clocks(trace.intervals, clock.tolist(), beside, offsets, tuple(skews), moves)


def _clock_of_each(trace: SpanTable) -> "np.ndarray[tuple[int], np.dtype[np.int64]] | None":
    """The number of each span's clock, or None where there is only one."""
    resources = trace.resources
    ids = list(map(id, resources))
    objects = {id: resources[ids.index(id)] for id in set(ids)}
    keys = {each: _process(resource) for each, resource in objects.items()}
    hops = _hops(trace, objects)
    if hops is None and len(set(keys.values())) == 1:
        return None
    each_process: Iterable[object] = map(keys.__getitem__, ids)
    if hops is not None:
        each_process = zip(each_process, hops, strict=True)
    numbers: dict[object, int] = {}
    return np.array([numbers.setdefault(each, len(numbers)) for each in each_process], np.int64)


def _process(resource: Attributes) -> frozenset[tuple[str, str]]:
    """What distinguishes one process from others."""
    return frozenset(
        [(key, repr(value)) for key, value in resource.items() if not key.startswith("telemetry.")]
    )


def _is_identified(resource: Attributes) -> bool:
    """Whether equal resources are one process: a service's replicas may have equal ones."""
    return not _INSTANCES.isdisjoint(resource) or (
        _PID in resource and not _HOSTS.isdisjoint(resource)
    )


def is_elsewhere(trace: SpanTable, row: int) -> bool | None:
    """Whether a span is in another process than its parent; None where nothing tells them apart."""
    parent = trace.parents[row]
    if parent < 0:
        return True
    here, above = trace.resources[row], trace.resources[parent]
    if here is not above and _process(here) != _process(above):
        return True
    return False if _is_identified(here) else None


def _hops(trace: SpanTable, resources: Mapping[int, Attributes]) -> list[int] | None:
    """How often the way down to each span left a process for one with an equal resource.

    None where that never happened.
    """
    parents, kinds = trace.parents, trace.kind
    if _SERVING.isdisjoint(kinds):
        return None
    served = [
        row
        for row, kind in enumerate(kinds)
        if kind in _SERVING and parents[row] >= 0 and kinds[parents[row]] in CLIENT_SIDE
    ]
    if not served:
        return None
    identified = {each for each, resource in resources.items() if _is_identified(resource)}
    other = set()
    processes = {each: _process(resource) for each, resource in resources.items()}
    for row in served:
        parent = parents[row]
        here, there = id(trace.resources[row]), id(trace.resources[parent])
        if processes[here] != processes[there]:
            continue
        clock = trace.attributes(row).get(_CLOCK)
        known = here in identified or (
            clock is not None and clock == trace.attributes(parent).get(_CLOCK)
        )
        if not known or trace.start[row] < trace.start[parent]:
            other.add(row)
    if not other:
        return None
    hops = [0] * len(trace)
    for root in trace.roots:
        for row in trace.subtree(root)[1:]:
            hops[row] = hops[parents[row]] + (row in other)
    return hops


def _granule(trace: SpanTable) -> int:
    """The unit in which the coarsest clock counts, in nanoseconds: a difference by it is rounding.

    Starts and ends may be rounded differently, so the coarser column counts.
    """
    for unit in (1_000_000, 1_000):
        if any(not np.any(column % unit) for column in (trace.start, trace.end)):
            return unit
    return 1


def _by_pair(
    trace: SpanTable,
    clock: "np.ndarray[tuple[int], np.dtype[np.int64]]",
    across: "np.ndarray[tuple[int], np.dtype[np.int64]]",
) -> Iterator[tuple[tuple[int, int], "np.ndarray[tuple[int], np.dtype[np.int64]]"]]:
    """The children on another clock than their parents', by the clocks of parent and child."""
    one, other = clock[trace.parent[across]], clock[across]
    pair = one * (int(clock.max()) + 1) + other
    order = np.argsort(pair, kind="stable")
    for part in np.split(order, np.flatnonzero(np.diff(pair[order])) + 1):
        if len(part):
            yield (int(one[part[0]]), int(other[part[0]])), across[part]


def _bounds(
    trace: SpanTable, rows: "np.ndarray[tuple[int], np.dtype[np.int64]]"
) -> tuple[Bounds, int, int]:
    """The bounds that children on one clock give, and the children that set the two bounds."""
    above = trace.parent[rows]
    after_start = trace.start[rows] - trace.start[above]
    first = int(rows[after_start.argmin()])
    high = int(after_start.min())
    # A message's consumer and a task that follows are not waited for: they say nothing of the end.
    waited = [
        at
        for at, row in enumerate(rows.tolist())
        if trace.kind[row] != _CONSUMER and row not in trace.followers
    ]
    after_end = (trace.end[rows] - trace.end[above])[waited]
    least = after_end - (LATE_SHARE * (trace.end[rows] - trace.start[rows])[waited]).astype(
        np.int64
    )
    # A task that goes on is no proof of a clock that is ahead by more than its start allows.
    likely = np.flatnonzero(least <= high)
    if not len(likely):
        return Bounds(-math.inf, high), first, first
    number = int(likely[least[likely].argmax()])
    return Bounds(int(least[number]), high), first, int(rows[waited[number]])


def _skew(trace: SpanTable, kind: SkewKind, bounds: Bounds, child: int) -> Skew:
    parent = Span(trace, int(trace.parent[child]))
    return Skew(kind, bounds.low_ns / 1e9, bounds.high_ns / 1e9, parent, Span(trace, child))


def _offsets(
    beside: Mapping[int, Mapping[int, Bounds]],
    behind: Mapping[tuple[int, int], int],
    base: int,
    count: int,
) -> tuple[list[Bounds], dict[int, int]]:
    """The offset of each clock against the base, and how far it is moved, in nanoseconds."""
    offsets = [UNKNOWN] * count
    offsets[base] = SAME
    moves = {base: 0}
    pending = deque([base])
    while pending:
        here = pending.popleft()
        for there, bounds in beside.get(here, {}).items():
            if there not in moves:
                offsets[there] = offsets[here] + bounds
                # Only a child's start moves its clock: its end is no proof.
                moves[there] = (
                    moves[here] + behind.get((here, there), 0) - behind.get((there, here), 0)
                )
                pending.append(there)
    return offsets, moves


def _range(low_s: float, high_s: float) -> str:
    """A range of seconds; the upper end may be unknown."""
    if math.isinf(high_s):
        return f"at least {_seconds(low_s)}"
    return f"{_seconds(low_s)} to {_seconds(high_s)}"


def _seconds(seconds: float) -> str:
    return f"{seconds:.6f}".rstrip("0").rstrip(".") + " s"
