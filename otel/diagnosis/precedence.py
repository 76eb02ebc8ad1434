"""What several traces of one program say about an order: does b always wait for a?

One trace in which the two overlapped, or came the other way round, refutes that b needs a; any
number in which they did not only makes it likely. Which trace came first makes no difference.
After "The Mystery Machine" (OSDI 2014), where one counterexample refutes a hypothesis.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from trading_graph.otel.diagnosis.call_tree import CallTree

CallPath = tuple[str, ...]
"""The names from below the run down to a span."""


@dataclass(frozen=True, slots=True)
class Precedence:
    """How often two siblings were seen together: one after the other, reversed, or overlapping."""

    together: int
    reversed: int
    overlapping: int

    @property
    def refuted(self) -> bool:
        """Whether the second was once seen not to have waited for the first."""
        return bool(self.reversed or self.overlapping)

    @property
    def bound(self) -> float:
        """At 95 % confidence the order is broken in at most this share of runs (rule of 3)."""
        if self.refuted or not self.together:
            return 1.0
        return min(1.0, 3 / self.together)


def precedence(trees: Iterable[CallTree], first: CallPath, second: CallPath) -> Precedence:
    """What the traces say about two call paths of one parent, the first by name before the second.

    Only families that hold exactly one of each count: which of several belonged together is not
    known.
    """
    together = backwards = overlapping = 0
    for tree in trees:
        for a, b in _families(tree, first, second):
            together += 1
            if tree.start[a] < tree.end[b] and tree.start[b] < tree.end[a]:
                overlapping += 1
            elif tree.end[b] <= tree.start[a]:
                backwards += 1
    return Precedence(together, backwards, overlapping)


def refuted(trees: Iterable[CallTree], tree: CallTree, chain: Iterable[int]) -> bool:
    """Whether other traces show that no span of a chain needs the one before it."""
    known = list(trees)
    paths = [tree.call_path(row) for row in chain]
    return bool(known) and all(
        before != after and precedence(known, before, after).refuted
        for before, after in pairwise(paths)
    )


def _families(tree: CallTree, first: CallPath, second: CallPath) -> list[tuple[int, int]]:
    """The pairs of siblings of the two paths, of parents that have one of each."""
    found: dict[int, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    names = tree.trace.names
    for row in tree.rows:
        for place, path in enumerate((first, second)):
            if row != tree.run and names[row] == path[-1] and tree.call_path(row) == path:
                found[int(tree.trace.parent[row])][place].append(row)
    return [(a[0], b[0]) for a, b in found.values() if len(a) == len(b) == 1]
