"""Intervals of time, in nanoseconds: half-open, from the first number to the second."""

from collections.abc import Iterable, Sequence

Interval = tuple[int, int]


def merge(intervals: Sequence[Interval]) -> tuple[Interval, ...]:
    """Join overlapping or touching intervals; in order."""
    if not intervals:
        return ()
    disjoint: list[Interval] = []
    (begin, last), *others = sorted(intervals)
    for start, end in others:
        if start > last:
            disjoint.append((begin, last))
            begin, last = start, end
        elif end > last:
            last = end
    disjoint.append((begin, last))
    return tuple(disjoint)


def without(intervals: Sequence[Interval], others: Sequence[Interval]) -> list[Interval]:
    """The parts of some intervals outside of others; both are disjoint and in order."""
    pieces: list[Interval] = []
    first = 0
    for start, end in intervals:
        while first < len(others) and others[first][1] <= start:
            first += 1
        at = first
        while at < len(others) and others[at][0] < end:
            if others[at][0] > start:
                pieces.append((start, others[at][0]))
            start = max(start, others[at][1])
            at += 1
        if start < end:
            pieces.append((start, end))
    return pieces


def total_ns(intervals: Iterable[Interval]) -> int:
    """The sum of the lengths of some intervals."""
    return sum([end - start for start, end in intervals])


def cover_ns(intervals: Iterable[Interval]) -> int:
    """How long at least one of some intervals lasts."""
    covered, last = 0, -(2**63)
    for start, end in sorted(intervals):
        if start >= last:
            covered += end - start
            last = end
        elif end > last:
            covered += end - last
            last = end
    return covered
