"""The critical path: the span that a run was waiting for at every instant.

The path is walked backwards from the end of the run. At each instant, the run waited for the child
that ended last before it, and between children for the parent itself. The segments partition the
run's time exactly. An end and a start may touch: a child that ends when the next one starts is on
the path too.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from trading_graph.otel.diagnosis.call_tree import CallTree
from trading_graph.otel.trace.structure import locksteps, pairings
from trading_graph.otel.vocabularies import Role, witness

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from trading_graph.otel.diagnosis.schedule import Schedule


class PathRow(NamedTuple):
    """A stretch of a run's time, in nanoseconds since the epoch, and the span that it is in."""

    row: int
    start_ns: int
    end_ns: int

    @property
    def duration_ns(self) -> int:
        """The length of the stretch."""
        return self.end_ns - self.start_ns


@dataclass(frozen=True)
class PathTable:
    """The critical path of a run in segments, in order of time; they sum to the run's duration.

    Segment i is in the span `rows[i]` and runs from `bounds[i]` to `bounds[i + 1]`.
    """

    tree: CallTree
    rows: Sequence[int]
    bounds: Sequence[int]

    def segment(self, number: int) -> PathRow:
        """The segment with this number."""
        return PathRow(self.rows[number], self.bounds[number], self.bounds[number + 1])

    @cached_property
    def segments(self) -> tuple[PathRow, ...]:
        """The segments."""
        return tuple(map(PathRow, self.rows, self.bounds, self.bounds[1:]))

    @cached_property
    def self_ns(self) -> Mapping[int, int]:
        """The time on the path in each span itself, in nanoseconds by row."""
        time_ns: dict[int, int] = defaultdict(int)
        for row, (start, end) in zip(self.rows, pairwise(self.bounds), strict=True):
            time_ns[row] += end - start
        return dict(time_ns)

    @cached_property
    def total_ns(self) -> Mapping[int, int]:
        """The time on the path in and below each span on it, in nanoseconds by row."""
        run, parents = self.tree.run, self.tree.parents
        above: set[int] = set()
        for row in self.self_ns:
            while row not in above:
                above.add(row)
                if row == run:
                    break
                row = parents[row]
        time_ns = {row: self.self_ns.get(row, 0) for row in above}
        for row in reversed(self.tree.rows):  # children before parents
            if row in time_ns and row != run:
                time_ns[parents[row]] += time_ns[row]
        return time_ns

    @cached_property
    def by_name(self) -> Mapping[str, int]:
        """The time on the path by name of the span, in nanoseconds, the greatest first."""
        names = self.tree.trace.names
        time_ns: dict[str, int] = defaultdict(int)
        for row, self_ns in self.self_ns.items():
            time_ns[names[row]] += self_ns
        return dict(sorted(time_ns.items(), key=lambda item: -item[1]))


def critical_path(
    tree: CallTree, predecessors: Mapping[int, tuple[int, ...]] | None = None
) -> PathTable:
    """The critical path of a run; O(n log n), without recursion.

    If a span declares which siblings it waited for (`declared_predecessors`), the path goes to the
    one of them that ended last, and the rest of the gap is the parent's own time; otherwise times
    decide.
    """
    of_row = predecessors or {}
    start, end, waited_for = tree.start, tree.end, tree.waited_for
    rows: list[int] = []
    starts: list[int] = []
    # The state of the walk: in the span `row`, which begins at `low`, now at `cursor`, with these
    # children left; the span after `cursor` waited for none but `candidates`, if that is not None.
    row, low, cursor = tree.run, start[tree.run], end[tree.run]
    children, candidates = _by_end(tree, row), None
    above: list[tuple[int, int, int, list[int], tuple[int, ...] | None]] = []
    while True:
        while children:
            child = children.pop()
            stop = end[child]
            if stop > cursor or not waited_for[child]:
                continue  # it ran beside a later one
            if candidates is not None and child not in candidates:
                continue
            begin = max(start[child], low)
            if stop <= begin:
                continue
            if cursor > stop:
                rows.append(row)
                starts.append(stop)
            cursor, candidates = begin, of_row.get(child)
            below = _by_end(tree, child)
            if below:
                above.append((row, low, cursor, children, candidates))
                row, low, cursor, children, candidates = child, begin, stop, below, None
            else:
                rows.append(child)
                starts.append(begin)
        if cursor > low:
            rows.append(row)
            starts.append(low)
        if not above:
            break
        row, low, cursor, children, candidates = above.pop()
    return PathTable(tree, rows[::-1], [*starts[::-1], end[tree.run]])


def _by_end(tree: CallTree, row: int) -> list[int]:
    """The children of a span by end; of equal ends, the one that starts last comes last."""
    children = tree.children(row)
    if len(children) < 2:
        return list(children)
    start, end = tree.start, tree.end
    return sorted(children, key=lambda child: (end[child], start[child]))


class PathClass(StrEnum):
    """What an instant of the critical path was used for.

    WAITING is for a free connection or slot, where that is recorded. BARRIER is time in which the
    branch on the path had ended its step, and another branch had not.
    """

    LLM = "LLM"
    TOOL = "tool"
    HTTP = "HTTP"
    WAITING = "waiting"
    BARRIER = "barrier"
    ORCHESTRATION = "orchestration"


_CLASS = {
    Role.LLM: PathClass.LLM,
    Role.TOOL: PathClass.TOOL,
    Role.RETRIEVAL: PathClass.TOOL,
    Role.FETCH: PathClass.HTTP,
    Role.HTTP: PathClass.HTTP,
}


# What these do belongs to the call that they are part of.
_UNCLASSED = (Role.OTHER, Role.CHAIN, Role.RPC, Role.DATABASE, Role.MESSAGING)


def by_class(schedule: "Schedule") -> Mapping[PathClass, int]:
    """Nanoseconds on the critical path by class; they sum to the run's duration."""
    path = schedule.path
    bounds = np.array(path.bounds, np.int64)
    at_barrier = np.diff(_time_within(_barrier_waits(schedule), bounds))
    rest = np.diff(bounds) - at_barrier
    waiting = np.minimum(_wait_ns(schedule, bounds), rest)
    classes = list(PathClass)
    class_of = np.array([classes.index(c) for c in _classes(schedule.tree)], np.int8)[path.rows]
    time_ns = {
        each: int((rest - waiting)[class_of == number].sum()) for number, each in enumerate(classes)
    }
    time_ns[PathClass.BARRIER] += int(at_barrier.sum())
    time_ns[PathClass.WAITING] += int(waiting.sum())
    return time_ns


def _classes(tree: CallTree) -> list[PathClass]:
    """The class of each span: by its own role, or else that of the call to which it belongs."""
    classes = [PathClass.ORCHESTRATION] * len(tree.trace)
    roles, parents = tree.trace.roles, tree.parents
    for row in tree.rows[1:]:
        role = roles[row]
        inherited = classes[parents[row]] if role in _UNCLASSED else PathClass.ORCHESTRATION
        classes[row] = _CLASS.get(role, inherited)
    return classes


def _wait_ns(schedule: "Schedule", bounds: "NDArray[np.int64]") -> "NDArray[np.int64]":
    """How long the span of each segment waited for a connection; a span waits when it begins."""
    rows = np.array(schedule.path.rows, np.int64)
    until = np.full(len(schedule.tree.trace), bounds[0])
    for row, wait_ms in schedule.tree.trace.numbers_of(witness.wait_ms):
        if wait_ms > 0:
            until[row] = schedule.tree.start[row] + int(wait_ms * 1e6)
    waits: NDArray[np.int64] = np.minimum(until[rows], bounds[1:]) - bounds[:-1]
    return np.maximum(waits, 0)


def _time_within(
    periods: Sequence[tuple[int, int]], at: "NDArray[np.int64]"
) -> "NDArray[np.int64]":
    """How much of these periods lies before each instant, in nanoseconds."""
    total = np.zeros(len(at), np.int64)
    begin = at[0]  # sums of times since the epoch would overflow
    lows, highs = zip(*periods, strict=True) if periods else ((), ())
    for edges, sign in ((lows, 1), (highs, -1)):
        since = np.sort(np.array(edges, np.int64)) - begin
        count = np.searchsorted(since, at - begin, side="right")
        sums = np.concatenate(([0], np.cumsum(since)))
        total += sign * (count * (at - begin) - sums[count])
    return total


def _barrier_waits(schedule: "Schedule") -> list[tuple[int, int]]:
    """When the branch on the path had surely ended its step, and another branch had not."""
    trace, on_path, waits = schedule.tree.trace, schedule.path.total_ns, []
    for lockstep in locksteps(trace):
        after = [row for row in lockstep.waiting if row in on_path]
        played = pairings(trace, lockstep) if after and lockstep.is_declared else None
        ready_ns = played.ready_ns if played else {}
        for barrier in lockstep.barriers:
            end = barrier.before.end_ns
            for row in [visit.rows[0] for visit in barrier.after.visits]:
                if row in on_path and ready_ns.get(row, end) < end:
                    waits.append((ready_ns[row], end))
    return waits
