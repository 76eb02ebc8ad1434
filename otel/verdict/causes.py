"""Why work was serial, or only seems to have been parallel, read from the shape of a group.

Each cause is first looked for in what the program recorded (loop lag, queue waits, imports,
threads, LangGraph's step), and only then in the times of the spans.
"""

import itertools
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from enum import StrEnum
from typing import Self

import numpy as np

from trading_graph.otel.trace import SpanTable, profile, semconv
from trading_graph.otel.trace.profile import serial_chain
from trading_graph.otel.verdict.group import Group
from trading_graph.otel.verdict.work import working_spans
from trading_graph.otel.vocabularies import Role

LOOK = "Look at the listed spans on one time axis."


class Cause(StrEnum):
    """Why a group of spans is serial, in doubt, or impossible to judge; each has its advice."""

    advice: str

    BLOCKED_LOOP = (
        "blocked_loop",
        "Find the call that blocks (a synchronous client, CPU work) and await it or move it to a "
        "thread.",
    )
    COLD_IMPORT = "cold_import", "Import it before the run starts."
    INTERPRETER_LOCK = (
        "interpreter_lock",
        "Move the CPU work to processes, or to code that releases the lock.",
    )
    CONNECTION_LIMIT = (
        "connection_limit",
        "Raise the connection limit, or ask the source for less.",
    )
    SEMAPHORE = "semaphore", "Raise the limit, or open the span after it was passed."
    EXECUTOR = (
        "executor",
        "Give the executor as many threads as there are branches, or go async.",
    )
    MAX_CONCURRENCY = "max_concurrency", "Raise max_concurrency."
    DISPATCH = "dispatch", "Start them at once: Send for branches, gather for calls."
    BARRIER = (
        "barrier",
        "Give each branch one node (or one subgraph) with a loop of its own.",
    )
    DEPENDENCY = "dependency", "Ask for independent tool calls in one turn."
    BUSY_CPU = "busy_cpu", LOOK
    BUSY_MACHINE = "busy_machine", LOOK
    NOT_RECORDED = "not_recorded", LOOK
    TOO_FEW = "too_few", LOOK
    NO_WORK = "no_work", LOOK
    BROKEN_TREE = (
        "broken_tree",
        "Pass the context on, so that the calls are below the spans that make them.",
    )

    def __new__(cls, code: str, advice: str) -> Self:
        """Make a member that equals the string `code`."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.advice = advice
        return member


COINCIDENT_NS = 10_000_000
"""How close a start must be to the end of another span to count as released by it."""

TICK_NS = 20_000_000
"""The period of the loop monitor: a stall can be up to one tick longer than recorded."""

MANY_IMPORTS = 20


def serial_cause(trace: SpanTable, group: Group) -> Cause:
    """The cause for a group whose work hardly overlaps."""
    if cause := interpreter_cause(group):
        return cause
    if group.queue_wait_ns > 0.3 * group.wrappers.work_ns:
        return Cause.CONNECTION_LIMIT
    if (group.wrapper_overlap or 0.0) < 0.5:
        return _between(trace, group)
    return Cause.SEMAPHORE


def interpreter_cause(group: Group) -> Cause | None:
    """The cause, if the interpreter let only one work at a time although the spans overlap.

    Threads come first, because threads that hold the interpreter lock delay the loop as well.
    """
    cpu = group.cpu_over_wall
    if cpu is not None and 0.8 <= cpu <= 1.25 and group.threads > 1:
        return Cause.INTERPRETER_LOCK
    return _blocked_loop_cause(group)


def _blocked_loop_cause(group: Group) -> Cause | None:
    """The cause, if the loop was blocked for most of the time of the member with least work."""
    if group.lag_ms is None or group.lag_ms < 20:
        return None
    if group.lag_ms * 1e6 < 0.5 * group.shortest_work_ns:
        return None
    return Cause.COLD_IMPORT if group.imports >= MANY_IMPORTS else Cause.BLOCKED_LOOP


def lag_explains_work(group: Group) -> bool:
    """Whether the lag of the loop can be why overlapping works took their time.

    Works that block the loop in turn end one block after the other. So either no step from one end
    to the next is longer than the lag, or all steps but the first are about as long as it.
    Otherwise something else took the time, such as a machine that is busy with other programs. If
    threads delay the loop, the steps show nothing.
    """
    assert group.lag_ms is not None
    if group.threads > 1:
        return True
    lag_ns = group.lag_ms * 1e6
    first_start = min([work.intervals[0][0] for work in group.works if work.intervals])
    ends = sorted([work.intervals[-1][1] for work in group.works if work.intervals])
    steps = [after - before for before, after in itertools.pairwise([first_start, *ends])]
    # A block can begin up to one tick before the lag that is recorded for it.
    return max(steps) <= lag_ns + TICK_NS or (len(ends) > 2 and min(steps[1:]) >= 0.5 * lag_ns)


def limit(trace: SpanTable, group: Group) -> tuple[int, Cause] | None:
    """How many ran at once and the cause, where each of the others started as one of them ended."""
    if len(group.rows) < 3:
        return None
    rows = _most_at_one_step(trace, group.rows)
    width = profile(trace, rows).peak
    if not 1 < width < len(rows):
        return None
    ends = np.sort(trace.end[rows])
    late = np.sort(trace.start[rows])[width:]
    earliest = np.searchsorted(ends, late - COINCIDENT_NS)
    is_release = ends[np.minimum(earliest, len(ends) - 1)] <= late + COINCIDENT_NS // 10
    if not is_release.all():
        return None
    return width, Cause.EXECUTOR if group.threads > 1 else Cause.MAX_CONCURRENCY


def _most_at_one_step(trace: SpanTable, rows: Sequence[int]) -> list[int]:
    """The rows of the LangGraph step that has most; a later step starts late on purpose."""
    by_step: dict[int | None, list[int]] = defaultdict(list)
    for row in rows:
        by_step[trace.steps[row]].append(row)
    return max(by_step.values(), key=len)


def staircase(trace: SpanTable, group: Group) -> int | None:
    """How many end at a time, where all start together and end in equal steps: a limit inside.

    Two kinds of members do not count: those that worked more often in sequence than the first to
    end, since that is why they are late, and those without work of their own.
    """
    if _steps(trace, group.rows) is None:
        return None
    chain_length = {row: len(serial_chain(trace, working_spans(trace, row))) for row in group.rows}
    workers = [row for row in group.rows if chain_length[row]] or list(group.rows)
    first_to_end = min(workers, key=lambda row: trace.intervals[row][1])
    as_often = [row for row in workers if chain_length[row] <= chain_length[first_to_end]]
    return _steps(trace, as_often)


def _steps(trace: SpanTable, rows: Sequence[int]) -> int | None:
    """How many end at a time, in equal steps; None where there are no such steps.

    It takes three steps, each as long as the first: unequal amounts of work seldom look like that.
    """
    if len(rows) < 3:
        return None
    rows = list(rows)
    ends = np.sort(trace.end[rows] - trace.start[rows].min()).tolist()
    if np.ptp(trace.start[rows]) > 0.2 * ends[0]:
        return None
    steps: list[list[int]] = [[ends[0]]]
    for end in ends[1:]:
        if end - steps[-1][0] <= 0.25 * ends[0]:
            steps[-1].append(end)
        else:
            steps.append([end])
    if len(steps) < 3 and not (len(steps) == 2 and len(rows) >= 4):
        return None
    heights = [step[0] for step in steps]
    first = heights[0]
    gaps = [later - earlier for earlier, later in itertools.pairwise(heights)]
    regular = all(0.7 * first <= gap <= 1.3 * first for gap in gaps)
    equal = all(len(step) == len(steps[0]) for step in steps[:-1])
    return len(steps[0]) if regular and equal else None


def _between(trace: SpanTable, group: Group) -> Cause:
    """Why spans follow each other without overlap."""
    sequence = sorted(group.rows, key=lambda row: int(trace.start[row]))
    turns = {trace.number(row, semconv.TURN_INDEX) for row in sequence}
    if len(turns) > 1 or _llm_call_between(trace, sequence):
        return Cause.DEPENDENCY
    steps = {trace.steps[row] for row in sequence}
    if len(steps) == 1 and None not in steps:
        return Cause.MAX_CONCURRENCY
    return Cause.DISPATCH


def _llm_call_between(trace: SpanTable, sequence: Sequence[int]) -> bool:
    parent = int(trace.parent[sequence[0]])
    siblings = trace.children(parent) if parent >= 0 else []
    calls = [row for row in siblings if trace.roles[row] is Role.LLM]
    starts = [int(trace.start[call]) for call in calls]
    # Of the calls that start after a span, only the first to end can stand before the next span.
    ends = [int(trace.end[call]) for call in calls]
    first_end = list(itertools.accumulate(reversed(ends), min))[::-1]
    for before, after in itertools.pairwise(sequence):
        call = bisect_left(starts, int(trace.end[before]))
        if call < len(calls) and first_end[call] <= trace.start[after]:
            return True
    return False
