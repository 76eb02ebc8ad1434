"""Why work was serial, or only seems to have been parallel, read from a group of spans.

Each cause is first looked for in what the program recorded (loop lag, waits, imports, threads,
LangGraph's step), and only then in times. Times alone seldom tell one cause from another: spans in
a row are what a loop of awaits leaves, and also what `gather` over blocking functions leaves. All
causes that fit are then named.
"""

import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Self

import msgspec

from trading_graph.otel.trace import SpanTable
from trading_graph.otel.trace.profile import serial_chain
from trading_graph.otel.trace.structure import (
    OVERLAP_SHARE,
    Limit,
    is_task,
    limit,
    limit_inside,
    staircase,
    turn_numbers,
)
from trading_graph.otel.verdict.blocked import blocks_beside, is_blocking
from trading_graph.otel.verdict.dialect import Dialect
from trading_graph.otel.verdict.group_measures import Group, branches_of
from trading_graph.otel.verdict.group_waits import (
    INSIDE_SHARE,
    limiting,
    waited_inside,
    waited_outside,
)
from trading_graph.otel.verdict.work import working_spans
from trading_graph.otel.vocabularies import witness
from trading_graph.otel.vocabularies.witness import BlockState

LOOK = "Look at the listed spans on one time axis."


class Cause(StrEnum):
    """Why a group of spans is serial, in doubt, or impossible to judge; each has its advice."""

    advice: str

    BLOCKED_LOOP = (
        "blocked_loop",
        "Find the call that blocks (a synchronous client, CPU work), and await it or move it off "
        "the loop.",
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
    SERVER = (
        "server",
        "Let the server answer requests at once: it may block its loop, or have one worker.",
    )
    EXECUTOR = (
        "executor",
        "Give the executor as many threads as there are branches.",
    )
    WORKERS = "workers", "Start more workers, or do the work where it is asked for."
    TASK = (
        "task",
        "Find the future that each waits for, and who resolves it: a lock or a limit of the "
        "program's own lets them in in turn.",
    )
    CALLBACK = (
        "callback",
        "Give the loop's default executor more threads (loop.set_default_executor), or judge the "
        "program with another instrumentor: its spans are late, not the work.",
    )
    MAX_CONCURRENCY = "max_concurrency", "Raise max_concurrency."
    BATCHES = "batches", "Start each as soon as it can, not batch by batch."
    DISPATCH = "dispatch", "Start them at once, and wait for all of them."
    BARRIER = (
        "barrier",
        "Give each branch one node (or one subgraph) with a loop of its own.",
    )
    DEPENDENCY = "dependency", "Ask for independent tool calls in one turn."
    BUSY_CPU = "busy_cpu", LOOK
    BUSY_MACHINE = "busy_machine", LOOK
    CLOCKS = (
        "clocks",
        "Synchronise the clocks of the processes, or compare spans of one process.",
    )
    JOINED = "joined", "Open one span around the run, and pass the context on to all its parts."
    NOT_RECORDED = (
        "not_recorded",
        "Record the loop's lag, CPU time and waits, and declare it (docs/proven.md).",
    )
    UNACCOUNTED = (
        "unaccounted",
        "Find what is waited for there; a wait that the witness cannot see is marked with "
        "trading_graph.witness.waiting(kind).",
    )
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

    def advice_in(self, dialect: Dialect) -> str:
        """The advice in the words of a dialect, or what fits any program."""
        return _SPOKEN.get(self, {}).get(dialect, self.advice)


_SPOKEN: Mapping[Cause, Mapping[Dialect, str]] = {
    Cause.DISPATCH: {
        Dialect.LANGGRAPH: "Start them at once: Send for branches, gather for calls.",
        Dialect.ASYNCIO: "Start them at once, with asyncio.gather or a TaskGroup.",
        Dialect.NODE: "Start them at once, and await Promise.all.",
        Dialect.THREADS: "Start each on a thread or a routine of its own, and wait for all.",
    },
    Cause.BLOCKED_LOOP: {
        Dialect.LANGGRAPH: "Find the call that blocks (a synchronous client, CPU work) and await "
        "it or move it to a thread.",
        Dialect.ASYNCIO: "Find the call that blocks (a synchronous client, CPU work) and await it "
        "or move it to a thread.",
        Dialect.NODE: "Find the synchronous work; use its asynchronous form, or a worker thread.",
    },
}


TICK_NS = 20_000_000
"""The period of the loop monitor: a stall can be up to one tick longer than recorded."""

MANY_IMPORTS = 20


def serial_causes(trace: SpanTable, group: Group) -> tuple[Cause, ...]:
    """The causes that fit a group whose work hardly overlaps, the likeliest first."""
    if (cause := interpreter_cause(group)) and cause is not Cause.BUSY_MACHINE:
        return (cause,)
    inside = waited_inside(group)
    if inside.time_ns and inside.time_ns > INSIDE_SHARE * group.wrappers.work_ns:
        return (cause_of_wait(inside.kind),)
    outside = waited_outside(group)
    if group.opened_together:
        if group.is_served:
            return (Cause.SERVER, *_unrecorded_block(group))
        if outside.kind:
            return (cause_of_wait(outside.kind),)
        return (Cause.SEMAPHORE, *_unrecorded_block(group))
    if _of_different_turns(trace, group.rows):
        return (Cause.DEPENDENCY,)
    if _of_one_step(trace, group.rows):
        return (Cause.MAX_CONCURRENCY, *_unrecorded_block(group))
    if _by_edges(trace, group.rows):
        return (Cause.DISPATCH,)
    if outside.kind:
        return (cause_of_wait(outside.kind),)
    limits = () if group.records_waits else (Cause.SEMAPHORE,)
    return (Cause.DISPATCH, *_unrecorded_block(group), *limits)


def cause_of_wait(kind: str | None) -> Cause:
    """Why spans take turns that wait for this; older programs recorded waits of pools alone."""
    return Cause.CONNECTION_LIMIT if kind is None else _CAUSE_OF_WAIT.get(kind, Cause.SEMAPHORE)


_CAUSE_OF_WAIT: Mapping[str, Cause] = {
    witness.Wait.CONNECTION_POOL: Cause.CONNECTION_LIMIT,
    witness.Wait.RATE_LIMIT: Cause.CONNECTION_LIMIT,
    witness.Wait.EXECUTOR: Cause.EXECUTOR,
    witness.Wait.QUEUE: Cause.WORKERS,
    witness.Wait.INTERPRETER_LOCK: Cause.INTERPRETER_LOCK,
    witness.Wait.TASK: Cause.TASK,
    witness.Wait.CALLBACK: Cause.CALLBACK,
}


def cause_of_limit(group: Group) -> Cause:
    """What limits a group, as far as its waits say; times alone say that something does."""
    kind = limiting(group).kind
    return cause_of_wait(kind) if kind else Cause.SEMAPHORE


def _unrecorded_block(group: Group) -> tuple[Cause, ...]:
    """A blocked event loop, where nothing that was recorded excludes it."""
    return (Cause.BLOCKED_LOOP,) if group.may_block else ()


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
    return cause_of_lag(group)


def cause_of_lag(group: Group) -> Cause:
    """Why the loop was late, as far as imports and its blocks were recorded."""
    if group.imports >= MANY_IMPORTS:
        return Cause.COLD_IMPORT
    blocks = blocks_beside(group.trace, group.rows)
    if not blocks:
        return Cause.BLOCKED_LOOP
    if not is_blocking(blocks[0]):
        return Cause.BUSY_MACHINE
    is_held = blocks[0].state is BlockState.INTERPRETER_LOCK
    return Cause.INTERPRETER_LOCK if is_held else Cause.BLOCKED_LOOP


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


def group_limit(trace: SpanTable, group: Group) -> tuple[Limit, Cause] | None:
    """The limit that the members of a group met before they started, and its cause."""
    rows = _most_at_one_step(trace, group.rows)
    is_step = _of_one_step(trace, rows)
    # LangGraph dispatches a step at once: there a single late start is enough.
    found = limit(trace, rows, least_later=1 if is_step else 2)
    if found is None or (not found.is_certain and _by_edges(trace, rows)):
        return None  # LangGraph's steps are stages, whatever they look like
    if not is_step and (kind := limiting(group).kind):
        return msgspec.structs.replace(found, is_certain=True), cause_of_wait(kind)
    if group.threads > 1 and not group.records_waits:
        return found, Cause.EXECUTOR  # otherwise its wait would have been recorded
    if is_step:
        return found, Cause.MAX_CONCURRENCY
    return found, Cause.SEMAPHORE


def _most_at_one_step(trace: SpanTable, rows: Sequence[int]) -> Sequence[int]:
    """The members of the LangGraph step that has most; a later step starts late on purpose."""
    if not trace.is_graph:
        return rows
    steps = trace.steps
    by_step: dict[int | None, list[int]] = defaultdict(list)
    for row in rows:
        by_step[steps[row]].append(row)
    return max(by_step.values(), key=len)


def calls_limit(trace: SpanTable, group: Group) -> int | None:
    """How many calls below the members a limit lets run at once, where all members are open."""
    first_end = min(trace.intervals[row][1] for row in group.rows)
    if max(trace.intervals[row][0] for row in group.rows) >= first_end:
        return None
    if not _begins_in_turn(trace, group, 0.05):
        return None
    branches = []
    for row in group.rows:
        branches.append(working_spans(trace, row))
        if row in branches[-1]:
            return None  # it is a call itself
    return limit_inside(trace, branches)


def is_held_back(trace: SpanTable, group: Group) -> bool:
    """Whether a member began only after another's end, though its branch was open all the time.

    The branch of a tool call is its task: opened with the others, and idle until a slot, or the
    event loop, was free.
    """
    branches = branches_of(trace, group.rows)
    if branches == group.rows or len(branches) != len(group.rows):
        return False
    first_end = min(trace.intervals[row][1] for row in group.rows)
    # Clocks, and callbacks that run late, let spans that follow each other overlap a little.
    first_end -= int(OVERLAP_SHARE * min([trace.lengths[row] for row in group.rows]))
    if max(trace.intervals[row][0] for row in branches) >= first_end:
        return False
    return any(trace.intervals[row][0] >= first_end for row in group.rows)


def group_staircase(trace: SpanTable, group: Group) -> int | None:
    """How many end at a time, where all start together and end in equal steps: a limit inside.

    Two kinds of members do not count: those that worked more often in sequence than the first to
    end, since that is why they are late, and those without work of their own.
    """
    is_one_name = len({trace.names[row] for row in group.rows}) == 1
    if staircase(trace, group.rows, is_one_name) is None:
        return None
    chain_length = {row: len(serial_chain(trace, working_spans(trace, row))) for row in group.rows}
    workers = [row for row in group.rows if chain_length[row]] or list(group.rows)
    first_to_end = min(workers, key=lambda row: trace.intervals[row][1])
    as_often = [row for row in workers if chain_length[row] <= chain_length[first_to_end]]
    width = staircase(trace, as_often, is_one_name)
    if width and _begins_in_turn(trace, group, 0.2) and _most_at_work(group) != width:
        return None  # the works show that more, or fewer, were let in
    return width


def _most_at_work(group: Group) -> int:
    """How many works ran at once at most."""
    edges = [
        edge
        for work in group.works
        if work.intervals
        for edge in ((work.intervals[0][0], 1), (work.intervals[-1][1], -1))
    ]
    return max(itertools.accumulate(change for _, change in sorted(edges)), default=0)


def _begins_in_turn(trace: SpanTable, group: Group, share: float) -> bool:
    """Whether the work of some members begins late, so that it shows who waited for whom.

    Late is after this share of the time up to the first end.
    """
    works = [work.intervals[0][0] for work in group.works if work.intervals]
    first_end = min(trace.intervals[row][1] for row in group.rows)
    return bool(works) and max(works) - min(works) > share * (first_end - min(works))


def _of_one_step(trace: SpanTable, rows: Sequence[int]) -> bool:
    """Whether LangGraph released all of these spans in one step: as tasks, not as parts of one."""
    if not trace.is_graph:
        return False
    tasks = [task for row in rows if (task := trace.graph_tasks[row]) and task.step is not None]
    if len(tasks) < len(rows) or len({(task.graph, task.step) for task in tasks}) != 1:
        return False
    namespaces = {task.namespace for task in tasks}
    if namespaces == {""}:
        return all(is_task(trace, row, task) for row, task in zip(rows, tasks, strict=True))
    return len(namespaces) == len(rows)


def _by_edges(trace: SpanTable, rows: Sequence[int]) -> bool:
    """Whether LangGraph ran these spans in different steps, which its edges order."""
    if not trace.is_graph:
        return False
    tasks = [trace.graph_tasks[row] for row in rows]
    steps = {None if task is None else task.step for task in tasks}
    return None not in steps and len(steps) > 1


def _of_different_turns(trace: SpanTable, rows: Sequence[int]) -> bool:
    """Whether LLM calls stand between these tools: each was asked for by another."""
    turn_of = turn_numbers(trace, trace.top(rows[0]))
    return len({turn_of.get(row, -1) for row in rows}) > 1 and all(row in turn_of for row in rows)
