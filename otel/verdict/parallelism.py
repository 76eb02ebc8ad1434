"""Did a group of spans really run at once, and how strong is the proof?

Span times alone never prove it: coroutines that block the loop, threads that hold the interpreter
lock and requests that queue inside their span all overlap. *Proven* needs overlap of the work
below the spans, net of waits, and a recorded loop lag and CPU time that rule those out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from trading_graph.otel.trace import SpanTable
from trading_graph.otel.verdict import causes
from trading_graph.otel.verdict.barrier import barrier
from trading_graph.otel.verdict.causes import LOOK, Cause
from trading_graph.otel.verdict.group import Group, group
from trading_graph.otel.verdict.work import beside

OVERLAP = 0.5
"""The least overlap ratio of work that counts as running at once."""

BLOCKED_MS = 100.0
"""From here on a blocked loop throws doubt on everything that ran meanwhile."""

HELD = 0.2
"""The share of the group's time that one branch may stand at barriers."""

BUSY = 0.8
"""CPU time over wall time from which on the CPU itself may have been what they shared."""


class Strength(StrEnum):
    """How strong a statement about a group is."""

    PROVEN = "proven"
    OVERLAPPING = "overlapping, not proven"
    SUSPICIOUS = "suspicious"
    SERIAL = "serial"
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True, slots=True)
class Parallelism:
    """The verdict on one group: its strength, the cause, and the measures behind it.

    There is no cause where it is proven. `at_once` is how many a limit lets in, and `idle_ns` how
    long branches stood at barriers in all, where that is the cause.
    """

    strength: Strength
    cause: Cause | None
    group: Group
    at_once: int = 0
    idle_ns: int = 0

    @property
    def advice(self) -> str:
        """What to do about the cause."""
        return self.cause.advice if self.cause else LOOK

    def __str__(self) -> str:
        return f"{self.strength}: {reason(self)}" if self.cause else str(self.strength)


def reason(judged: Parallelism) -> str:
    """The cause in words, with what was measured; empty where there is none."""
    group, lag_ms = judged.group, judged.group.lag_ms or 0.0
    match judged.cause:
        case None:
            return ""
        case Cause.BLOCKED_LOOP if judged.strength is Strength.SUSPICIOUS:
            return f"the event loop was blocked for {lag_ms:.0f} ms"
        case Cause.BLOCKED_LOOP:
            return "the event loop was blocked"
        case Cause.COLD_IMPORT:
            return "modules were imported while it ran"
        case Cause.INTERPRETER_LOCK:
            return "threads that hold the interpreter lock take turns"
        case Cause.CONNECTION_LIMIT:
            return "requests waited for a free connection"
        case Cause.SEMAPHORE:
            width = f" ({judged.at_once} at a time)" if judged.at_once else ""
            return f"a semaphore or a limit lets them in one after the other{width}"
        case Cause.EXECUTOR:
            return f"an executor has too few threads ({judged.at_once} at once)"
        case Cause.MAX_CONCURRENCY:
            width = f" ({judged.at_once} at once)" if judged.at_once else ""
            return f"a limit on concurrency lets only some start{width}"
        case Cause.DISPATCH:
            return "they were dispatched one after the other"
        case Cause.BARRIER:
            idle_s = judged.idle_ns / 1e9
            return f"branches waited for each other at superstep barriers ({idle_s:.3f} s in all)"
        case Cause.DEPENDENCY:
            return "an LLM turn stands between them"
        case Cause.BUSY_CPU:
            return f"one CPU was {group.cpu_over_wall or 0.0:.0%} busy"
        case Cause.BUSY_MACHINE:
            return (
                f"the event loop was late by {lag_ms:.0f} ms, and the least work took "
                f"{group.shortest_work_ns / 1e6:.0f} ms: too short to tell on a machine this busy"
            )
        case Cause.NOT_RECORDED:
            lag = [] if group.lag_ms is not None else ["no event-loop lag"]
            cpu = [] if group.cpu_over_wall is not None else ["no CPU time"]
            return f"{' and '.join(lag + cpu)} was recorded"
        case Cause.TOO_FEW:
            return "there are fewer than two"
        case Cause.NO_WORK:
            return "fewer than two did work of their own"
        case Cause.BROKEN_TREE:
            return (
                "nothing is below these spans while LLM or tool calls run beside them; the "
                "instrumentation does not pass the context on"
            )
        case _:
            assert_never(judged.cause)


def parallelism(trace: SpanTable, rows: Sequence[int]) -> Parallelism:
    """Judge a group of spans that should have run at once; each group of a trace once."""
    key = parallelism, tuple(rows)
    found: Parallelism | None = trace.kept.get(key)
    if found is None:
        found = trace.kept[key] = _judge(trace, group(trace, rows))
    return found


def _judge(trace: SpanTable, measured: Group) -> Parallelism:
    if len(measured.rows) < 2:
        return Parallelism(Strength.NOT_APPLICABLE, Cause.TOO_FEW, measured)
    if measured.working < 2:
        return Parallelism(Strength.NOT_APPLICABLE, Cause.NO_WORK, measured)
    if beside(trace, measured.rows):
        return Parallelism(Strength.NOT_APPLICABLE, Cause.BROKEN_TREE, measured)
    if measured.work_overlap is None or measured.work_overlap < OVERLAP:
        return Parallelism(Strength.SERIAL, causes.serial_cause(trace, measured), measured)
    cause = causes.held_up(measured)
    late = cause is Cause.BLOCKED_LOOP and not causes.in_turn(measured)
    if cause and not late:
        return Parallelism(Strength.SERIAL, cause, measured)
    held = barrier(trace, measured.rows)
    if held.held_ns and held.held_ns > HELD * measured.wrappers.busy_ns:
        return Parallelism(Strength.SUSPICIOUS, Cause.BARRIER, measured, idle_ns=held.idle_ns)
    if not held.waiting and (limited := causes.limit(trace, measured)):
        width, cause = limited
        return Parallelism(Strength.SERIAL, cause, measured, at_once=width)
    if width_inside := causes.staircase(trace, measured):
        return Parallelism(Strength.SUSPICIOUS, Cause.SEMAPHORE, measured, at_once=width_inside)
    return Parallelism(*_proof(measured, late), measured)


def _proof(measured: Group, late: bool) -> tuple[Strength, Cause | None]:
    """How strong the overlap is; `late`: the loop was, for most of the least work."""
    if measured.lag_ms is None or measured.cpu_over_wall is None:
        return Strength.OVERLAPPING, Cause.NOT_RECORDED
    if measured.lag_ms > BLOCKED_MS:
        return Strength.SUSPICIOUS, Cause.BLOCKED_LOOP
    if measured.cpu_over_wall >= BUSY and measured.threads <= 1:
        return Strength.SUSPICIOUS, Cause.BUSY_CPU
    if late:
        return Strength.OVERLAPPING, Cause.BUSY_MACHINE
    return Strength.PROVEN, None
