"""The critical path: the span that a run was waiting for at every instant.

The path is walked backwards from the end of the run. At each instant, the run waited for the child
that ended last before it, and between children for the parent itself. The segments partition the
run's time exactly. An end and a start may touch: a child that ends when the next one starts is on
the path too.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from trading_graph.otel.diagnosis.call_tree import CallTree
from trading_graph.otel.trace.structure import locksteps, pairings
from trading_graph.otel.trace.waits import own_waits
from trading_graph.otel.vocabularies import Role, first_token
from trading_graph.otel.vocabularies.limits import LINKED_LLM_CALLS

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


class PathTable(msgspec.Struct, frozen=True, dict=True):
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
    def lengths(self) -> "NDArray[np.int64]":
        """The length of each segment."""
        bounds = np.array(self.bounds, np.int64)
        return bounds[1:] - bounds[:-1]

    @cached_property
    def self_ns(self) -> Mapping[int, int]:
        """The time on the path in each span itself, in nanoseconds by row."""
        if not self.rows:
            return {}
        rows = np.array(self.rows, np.int64)
        order = np.argsort(rows, kind="stable")
        first = np.flatnonzero(np.diff(rows[order], prepend=-1))
        time_ns = np.add.reduceat(self.lengths[order], first)
        # In the order in which the run came to the spans.
        by_time = np.argsort(order[first])
        return dict(
            zip(rows[order[first]][by_time].tolist(), time_ns[by_time].tolist(), strict=True)
        )

    @cached_property
    def total_ns(self) -> Mapping[int, int]:
        """The time on the path in and below each span on it, in nanoseconds by row."""
        run, parents = self.tree.run, self.tree.parents
        time_ns = [0] * len(self.tree.trace)
        for row, self_ns in self.self_ns.items():
            time_ns[row] = self_ns
        for row in reversed(self.tree.rows):  # children before parents
            if (total := time_ns[row]) and row != run:
                time_ns[parents[row]] += total
        return {row: total for row, total in enumerate(time_ns) if total}

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
    child_rows, roles, end_of = tree.child_rows, tree.trace.roles, tree.end.__getitem__
    rows: list[int] = []
    starts: list[int] = []
    # The state of the walk: in the span `row`, which begins at `low`, now at `cursor`, with these
    # children left, by end; of equal ends, the one that starts last comes last. The span after
    # `cursor` is `after`. It waited for none but `candidates`, if that is not None. `model` is an
    # LLM call during which it started.
    row, low, cursor = tree.run, start[tree.run], end[tree.run]
    children, candidates = sorted(child_rows[row], key=end_of), None
    after = model = _NOTHING
    above: list[tuple[int, int, int, list[int], tuple[int, ...] | None, int]] = []
    while True:
        while children:
            child = children.pop()
            stop = end[child]
            if stop > cursor or not waited_for[child]:
                # It ran beside a later one, or is an LLM call that asked for it while it streamed.
                if (
                    after >= 0
                    and roles[child] is Role.LLM
                    and roles[after] is Role.TOOL
                    and waited_for[child]
                    and start[child] < cursor
                    and (model < 0 or start[child] > start[model])
                ):
                    model = child
                continue
            if candidates is not None and child not in candidates:
                continue
            begin = start[child]
            if begin < low:
                begin = low
            if stop <= begin:
                if candidates is not None:  # what was waited for took no time: what came before it?
                    if cursor > stop:
                        rows.append(row)
                        starts.append(stop)
                    cursor, candidates = stop, of_row.get(child)
                continue
            if cursor > stop:
                if model >= 0:
                    cursor = max(start[model], stop)
                    rows.append(model)
                    starts.append(cursor)
                if cursor > stop:
                    rows.append(row)
                    starts.append(stop)
            cursor, candidates, after, model = begin, of_row.get(child), child, _NOTHING
            below = child_rows[child]
            if below:
                above.append((row, low, cursor, children, candidates, child))
                row, low, cursor, candidates, after = child, begin, stop, None, _NOTHING
                children = sorted(below, key=end_of) if len(below) > 1 else below.copy()
            else:
                rows.append(child)
                starts.append(begin)
        if cursor > low:
            if model >= 0:
                cursor = max(start[model], low)
                rows.append(model)
                starts.append(cursor)
            if cursor > low:
                rows.append(row)
                starts.append(low)
        if not above:
            break
        row, low, cursor, children, candidates, after = above.pop()
        model = _NOTHING
    return PathTable(tree, rows[::-1], [*starts[::-1], end[tree.run]])


_NOTHING = -1


class PathClass(StrEnum):
    """What an instant of the critical path was used for.

    The time of an LLM call is FIRST_TOKEN and GENERATION where the time to its first token is
    recorded, else LLM. WAITING is for a free connection or slot, where that is recorded. BARRIER is
    time in which the branch on the path had ended its step, and another branch had not.
    """

    LLM = "LLM"
    FIRST_TOKEN = "time to first token"
    GENERATION = "generation"
    TOOL = "tool"
    HTTP = "HTTP"
    WAITING = "waiting"
    BARRIER = "barrier"
    LINKED = "linked traces"
    """Work that is recorded in the traces to which spans link."""
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
    rest = path.lengths - at_barrier
    waiting = np.minimum(_wait_ns(schedule, bounds), rest)
    class_of = np.array(_classes(schedule.tree), np.int8)[path.rows]
    rest = rest - waiting
    time_ns = {each: int(rest[class_of == number].sum()) for each, number in _NUMBER.items()}
    for number, until in _first_tokens(schedule):
        first = min(max(until - path.bounds[number] - int(waiting[number]), 0), int(rest[number]))
        time_ns[PathClass.LLM] -= int(rest[number])
        time_ns[PathClass.FIRST_TOKEN] += first
        time_ns[PathClass.GENERATION] += int(rest[number]) - first
    time_ns[PathClass.BARRIER] += int(at_barrier.sum())
    time_ns[PathClass.WAITING] += int(waiting.sum())
    return time_ns


_NUMBER = {each: number for number, each in enumerate(PathClass)}
_NUMBER_OF_ROLE = {role: _NUMBER[each] for role, each in _CLASS.items()}


def _classes(tree: CallTree) -> list[int]:
    """The number of each span's class: by its own role, or that of the call it belongs to."""
    orchestration = _NUMBER[PathClass.ORCHESTRATION]
    classes = [orchestration] * len(tree.trace)
    roles, parents, number_of = tree.trace.roles, tree.parents, _NUMBER_OF_ROLE
    linked = frozenset[int]()
    if LINKED_LLM_CALLS in tree.trace.keys:
        calls = tree.trace.values(LINKED_LLM_CALLS)
        linked = frozenset([row for row in tree.rows if calls[row] is not None])
    for row in tree.rows[1:]:
        role = roles[row]
        if row in linked:
            classes[row] = _NUMBER[PathClass.LINKED]
        elif role in _UNCLASSED:
            classes[row] = classes[parents[row]]
        else:
            classes[row] = number_of.get(role, orchestration)
    return classes


def _first_tokens(schedule: "Schedule") -> Iterator[tuple[int, int]]:
    """The number of each segment in an LLM call whose first token is known, and when that came."""
    tree, path = schedule.tree, schedule.path
    roles, llm = tree.trace.roles, Role.LLM
    calls = [row for row in path.self_ns if roles[row] is llm]
    nothing = None, None
    first = {row: each for row in calls if (each := tree.trace.read(first_token, row)) != nothing}
    for number, row in enumerate(path.rows if first else ()):
        after_s, at_ns = first.get(row, nothing)
        if after_s is not None and after_s >= 0:
            yield number, tree.start[row] + int(after_s * 1e9)
        elif at_ns is not None:
            yield number, at_ns


def _wait_ns(schedule: "Schedule", bounds: "NDArray[np.int64]") -> "NDArray[np.int64]":
    """How long the span of each segment waited for its turn meanwhile."""
    path, found = schedule.path, own_waits(schedule.tree.trace)
    waiting = np.zeros(len(bounds) - 1, np.int64)
    for number, row in enumerate(path.rows if found else ()):
        if places := found.get(row):
            low, high = path.bounds[number], path.bounds[number + 1]
            waiting[number] = sum(max(min(b, high) - max(a, low), 0) for a, b in places)
    return waiting


def _time_within(
    periods: Sequence[tuple[int, int]], at: "NDArray[np.int64]"
) -> "NDArray[np.int64]":
    """How much of these periods lies before each instant, in nanoseconds."""
    total = np.zeros(len(at), np.int64)
    if not periods:
        return total
    begin = at[0]  # sums of times since the epoch would overflow
    lows, highs = zip(*periods, strict=True)
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
