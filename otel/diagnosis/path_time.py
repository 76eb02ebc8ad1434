"""What the time on the critical path was spent on, by class."""

from collections.abc import Mapping
from enum import StrEnum

from otel.diagnosis.call_tree import CallTree
from otel.diagnosis.schedule import Schedule
from otel.trace import semconv
from otel.trace.kinds import Role, agent_name
from otel.verdict.barrier import barrier


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
    tree = schedule.tree
    class_of = _classes(tree)
    held = _held(schedule)
    spent = dict.fromkeys(PathClass, 0)
    for row, start, end in schedule.path.segments:
        standing = [(max(low, start), min(high, end)) for low, high in held]
        at_barrier = sum(high - low for low, high in standing if high > low)
        waiting = min(_waited(tree, row, start, end), end - start - at_barrier)
        spent[PathClass.BARRIER] += at_barrier
        spent[PathClass.WAITING] += waiting
        spent[class_of[row]] += end - start - at_barrier - waiting
    return spent


def _classes(tree: CallTree) -> dict[int, PathClass]:
    """The class of each span: its own role's, else that of the call that it is a part of."""
    found = {tree.run: PathClass.ORCHESTRATION}
    for row in tree.rows[1:]:
        role = tree.trace.roles[row]
        inherited = found[int(tree.trace.parent[row])] if role is Role.OTHER else None
        found[row] = _CLASS.get(role, inherited or PathClass.ORCHESTRATION)
    return found


def _waited(tree: CallTree, row: int, start: int, end: int) -> int:
    """How much of a segment its span waited for a connection, as it does when it begins."""
    wait_ms = tree.trace.number(row, semconv.QUEUE_WAIT_MS)
    if not wait_ms or wait_ms < 0:
        return 0
    return max(0, min(tree.start[row] + int(wait_ms * 1e6), end) - start)


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
