"""The critical path: which span every instant of a run was waiting for.

From the run's end backwards: the child that ended last before the instant is what was waited for,
and between children it is the parent itself. The segments partition the run's time exactly. Ends
and starts may touch: a child that ends when the next one starts is on the path too.
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
from trading_graph.otel.trace import semconv
from trading_graph.otel.trace.kinds import Role, agent_name
from trading_graph.otel.verdict.barrier import barrier

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from trading_graph.otel.diagnosis.schedule import Schedule


class PathRow(NamedTuple):
    """A stretch of a run's time, in nanoseconds since the epoch, and the span it was spent in."""

    row: int
    start_ns: int
    end_ns: int

    @property
    def duration_ns(self) -> int:
        """How long it is."""
        return self.end_ns - self.start_ns


@dataclass(frozen=True)
class PathTable:
    """The critical path of a run in segments, in order of time; they sum to the run's time.

    Columns: `rows` is the span of each segment, and it takes from one of `bounds` to the next.
    """

    tree: CallTree
    rows: Sequence[int]
    bounds: Sequence[int]

    def segment(self, number: int) -> PathRow:
        """One segment."""
        return PathRow(self.rows[number], self.bounds[number], self.bounds[number + 1])

    @cached_property
    def segments(self) -> tuple[PathRow, ...]:
        """The segments."""
        return tuple(map(PathRow, self.rows, self.bounds, self.bounds[1:]))

    @cached_property
    def self_ns(self) -> Mapping[int, int]:
        """Time on the path spent in each span itself, by row."""
        spent: dict[int, int] = defaultdict(int)
        for row, (start, end) in zip(self.rows, pairwise(self.bounds), strict=True):
            spent[row] += end - start
        return dict(spent)

    @cached_property
    def total_ns(self) -> Mapping[int, int]:
        """Time on the path spent in each span and below it, by row; only of spans on it."""
        run, parents = self.tree.run, self.tree.parents
        above: set[int] = set()
        for row in self.self_ns:
            while row not in above:
                above.add(row)
                if row == run:
                    break
                row = parents[row]
        spent = {row: self.self_ns.get(row, 0) for row in above}
        for row in reversed(self.tree.rows):  # children before parents
            if row in spent and row != run:
                spent[parents[row]] += spent[row]
        return spent

    @cached_property
    def by_name(self) -> Mapping[str, int]:
        """Time on the path by the span's name, most first."""
        names = self.tree.trace.names
        spent: dict[str, int] = defaultdict(int)
        for row, took in self.self_ns.items():
            spent[names[row]] += took
        return dict(sorted(spent.items(), key=lambda item: -item[1]))


def critical_path(
    tree: CallTree, declared: Mapping[int, tuple[int, ...]] | None = None
) -> PathTable:
    """The critical path of a run; O(n log n), without recursion.

    Where a span declares which siblings it waited for (`declared_predecessors`), the latest to end
    of those is taken, and the rest of the gap is its parent's own time; elsewhere times decide.
    """
    known = declared or {}
    start, end, waited_for = tree.start, tree.end, tree.waited_for
    rows: list[int] = []
    starts: list[int] = []
    # Where the walk is: in a span, down to `low`, now at `cursor`, these children to look at, of
    # which the last one declares to have waited for those `allowed`.
    row, low, cursor = tree.run, start[tree.run], end[tree.run]
    children, allowed = _by_end(tree, row), None
    above: list[tuple[int, int, int, list[int], tuple[int, ...] | None]] = []
    while True:
        while children:
            child = children.pop()
            ended = end[child]
            if ended > cursor or not waited_for[child]:
                continue  # ran beside a later one
            if allowed is not None and child not in allowed:
                continue
            began = max(start[child], low)
            if ended <= began:
                continue
            if cursor > ended:
                rows.append(row)
                starts.append(ended)
            cursor, allowed = began, known.get(child)
            below = _by_end(tree, child)
            if below:
                above.append((row, low, cursor, children, allowed))
                row, low, cursor, children, allowed = child, began, ended, below, None
            else:
                rows.append(child)
                starts.append(began)
        if cursor > low:
            rows.append(row)
            starts.append(low)
        if not above:
            break
        row, low, cursor, children, allowed = above.pop()
    return PathTable(tree, rows[::-1], [*starts[::-1], end[tree.run]])


def _by_end(tree: CallTree, row: int) -> list[int]:
    """The children of a span, the last to end (of equal ends the last to start) at the end."""
    children = tree.children(row)
    if len(children) < 2:
        return list(children)
    start, end = tree.start, tree.end
    return sorted(children, key=lambda child: (end[child], start[child]))


class PathClass(StrEnum):
    """What an instant of the critical path went into.

    WAITING is for a free connection or slot, where that is recorded; BARRIER is time in which the
    branch that goes on had ended its step, and another one had not.
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


def by_class(schedule: "Schedule") -> Mapping[PathClass, int]:
    """Nanoseconds on the critical path by class; they sum to the run's time."""
    path = schedule.path
    bounds = np.array(path.bounds, np.int64)
    at_barrier = np.diff(_held_until(_held(schedule), bounds))
    rest = np.diff(bounds) - at_barrier
    waiting = np.minimum(_waited(schedule, bounds), rest)
    classes = list(PathClass)
    class_of = np.array([classes.index(c) for c in _classes(schedule.tree)], np.int8)[path.rows]
    spent = {
        each: int((rest - waiting)[class_of == number].sum()) for number, each in enumerate(classes)
    }
    spent[PathClass.BARRIER] += int(at_barrier.sum())
    spent[PathClass.WAITING] += int(waiting.sum())
    return spent


def _classes(tree: CallTree) -> list[PathClass]:
    """The class of each span: its own role's, else that of the call that it is a part of."""
    found = [PathClass.ORCHESTRATION] * len(tree.trace)
    roles, parents = tree.trace.roles, tree.parents
    for row in tree.rows[1:]:
        role = roles[row]
        inherited = found[parents[row]] if role is Role.OTHER else PathClass.ORCHESTRATION
        found[row] = _CLASS.get(role, inherited)
    return found


def _waited(schedule: "Schedule", bounds: "NDArray[np.int64]") -> "NDArray[np.int64]":
    """How much of each segment its span waited for a connection, as it does when it begins."""
    rows = np.array(schedule.path.rows, np.int64)
    until = np.full(len(schedule.tree.trace), bounds[0])
    for row, wait_ms in schedule.tree.trace.numbers(semconv.QUEUE_WAIT_MS):
        if wait_ms > 0:
            until[row] = schedule.tree.start[row] + int(wait_ms * 1e6)
    waited: NDArray[np.int64] = np.minimum(until[rows], bounds[1:]) - bounds[:-1]
    return np.maximum(waited, 0)


def _held_until(held: Sequence[tuple[int, int]], at: "NDArray[np.int64]") -> "NDArray[np.int64]":
    """For how long in all these stretches of time had lasted at each instant."""
    lasted = np.zeros(len(at), np.int64)
    begin = at[0]  # sums of times since the epoch would not fit
    lows, highs = zip(*held, strict=True) if held else ((), ())
    for edges, sign in ((lows, 1), (highs, -1)):
        since = np.sort(np.array(edges, np.int64)) - begin
        passed = np.searchsorted(since, at - begin, side="right")
        sums = np.concatenate(([0], np.cumsum(since)))
        lasted += sign * (passed * (at - begin) - sums[passed])
    return lasted


def _held(schedule: "Schedule") -> list[tuple[int, int]]:
    """When the branch that the path goes on with had ended its step, and another one had not."""
    tree, trace = schedule.tree, schedule.tree.trace
    waiting = {row for row in barrier(trace, tree.rows).waiting if row in schedule.path.total_ns}
    held = []
    ended: dict[tuple[int, str | None], int] = {}
    for row in sorted(tree.rows) if waiting else ():
        branch = int(trace.parent[row]), agent_name(trace.attributes(row))
        if row in waiting and branch in ended:
            held.append((ended[branch], tree.start[row]))
        ended[branch] = tree.end[row]
    return held
