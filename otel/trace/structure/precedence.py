"""What other runs of a program show about the order of two calls.

An order that one run breaks is no dependency. An order that all runs keep is none either for sure:
it is only broken in a bounded share of runs.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise

import msgspec

from trading_graph.otel.trace.table import SpanTable

CallPath = tuple[str, ...]
"""The names from below the run down to a span."""


class SeenRun(msgspec.Struct, frozen=True):
    """Another run of the program: its trace, and the row of its span."""

    trace: SpanTable
    run: int


class Precedence(msgspec.Struct, frozen=True):
    """How often two siblings occurred together: in sequence, reversed, or overlapping."""

    together: int
    reversed: int
    overlapping: int

    @property
    def is_refuted(self) -> bool:
        """Whether the second was once seen not to have waited for the first."""
        return bool(self.reversed or self.overlapping)

    @property
    def bound(self) -> float:
        """At 95 % confidence, the order is broken in at most this share of runs (rule of three)."""
        if self.is_refuted or not self.together:
            return 1.0
        return min(1.0, 3 / self.together)


def precedence(seen: Iterable[SeenRun], first: CallPath, second: CallPath) -> Precedence:
    """What runs say about two call paths below one parent, `first` before `second`.

    Only families with exactly one span of each path count, because it is unknown which of several
    belong together.
    """
    together = backwards = overlapping = 0
    for each in seen:
        intervals = each.trace.intervals
        for a, b in _families(each, first, second):
            together += 1
            (start_a, end_a), (start_b, end_b) = intervals[a], intervals[b]
            if start_a < end_b and start_b < end_a:
                overlapping += 1
            elif end_b <= start_a:
                backwards += 1
    return Precedence(together, backwards, overlapping)


def are_independent(seen: Sequence[SeenRun], here: SeenRun, rows: Sequence[int]) -> bool:
    """Whether other runs show that none of some spans in a row needs the one before it."""
    paths = [call_path(here, row) for row in rows]
    return bool(seen) and all(
        before != after and precedence(seen, before, after).is_refuted
        for before, after in pairwise(paths)
    )


def call_path(here: SeenRun, row: int) -> CallPath:
    """The names from below the run down to a span."""
    names = []
    while row != here.run and row >= 0:
        names.append(here.trace.names[row])
        row = here.trace.parents[row]
    return tuple(reversed(names))


def _families(each: SeenRun, first: CallPath, second: CallPath) -> list[tuple[int, int]]:
    """The pairs of siblings of the two paths, below parents that have exactly one of each."""
    families: dict[int, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    trace = each.trace
    for row in trace.tree_rows(each.run):
        for place, path in enumerate((first, second)):
            if row != each.run and trace.names[row] == path[-1] and call_path(each, row) == path:
                families[trace.parents[row]][place].append(row)
    return [(a[0], b[0]) for a, b in families.values() if len(a) == len(b) == 1]
