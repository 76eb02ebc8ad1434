"""What the time on the critical path was spent on, by class."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from trading_graph.otel.diagnosis.call_tree import CallTree
from trading_graph.otel.diagnosis.schedule import Schedule
from trading_graph.otel.trace import semconv
from trading_graph.otel.trace.kinds import Role, agent_name
from trading_graph.otel.verdict.barrier import barrier

if TYPE_CHECKING:
    from numpy.typing import NDArray


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


def by_class(schedule: Schedule) -> Mapping[PathClass, int]:
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


def _waited(schedule: Schedule, bounds: "NDArray[np.int64]") -> "NDArray[np.int64]":
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


def _held(schedule: Schedule) -> list[tuple[int, int]]:
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
