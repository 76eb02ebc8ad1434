"""Did a group of spans really run at once, and how strong is the proof?

Span times alone never prove it: coroutines that block the loop, threads that hold the interpreter
lock and requests that queue inside their span all overlap. *Proven* needs overlap of the work
below the spans, net of waits, and a recorded loop lag and CPU time that rule those out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from trading_graph.otel.trace import Trace
from trading_graph.otel.verdict import causes
from trading_graph.otel.verdict.barrier import barrier
from trading_graph.otel.verdict.group import Group, group
from trading_graph.otel.verdict.work import beside

OVERLAP = 0.5
"""The least overlap ratio of work that counts as running at once."""

BLOCKED_MS = 100.0
"""From here on a blocked loop throws doubt on everything that ran meanwhile."""

BROKEN_TREE = (
    "nothing is below these spans while LLM or tool calls run beside them; the instrumentation "
    "does not pass the context on"
)

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
    """The verdict on one group: its strength, the reason or cause, and the measures behind it."""

    strength: Strength
    reason: str
    group: Group

    def __str__(self) -> str:
        return f"{self.strength}: {self.reason}" if self.reason else str(self.strength)


def parallelism(trace: Trace, rows: Sequence[int]) -> Parallelism:
    """Judge a group of spans that should have run at once; each group of a trace once."""
    key = parallelism, tuple(rows)
    found: Parallelism | None = trace.kept.get(key)
    if found is None:
        measured = group(trace, rows)
        found = trace.kept[key] = Parallelism(*_judge(trace, measured), measured)
    return found


def _judge(trace: Trace, measured: Group) -> tuple[Strength, str]:
    if len(measured.rows) < 2:
        return Strength.NOT_APPLICABLE, "there are fewer than two"
    if measured.working < 2:
        return Strength.NOT_APPLICABLE, "fewer than two did work of their own"
    if beside(trace, measured.rows):
        return Strength.NOT_APPLICABLE, BROKEN_TREE
    if measured.work_overlap is None or measured.work_overlap < OVERLAP:
        return Strength.SERIAL, causes.serial_cause(trace, measured)
    cause = causes.held_up(measured)
    late = cause == causes.BLOCKED_LOOP and not causes.in_turn(measured)
    if cause and not late:
        return Strength.SERIAL, cause
    held = barrier(trace, measured.rows)
    if held.held_ns and held.held_ns > HELD * measured.wrappers.busy_ns:
        return Strength.SUSPICIOUS, f"{causes.BARRIER} ({held.idle_ns / 1e9:.3f} s in all)"
    if not held.waiting and (limited := causes.limit(trace, measured)):
        width, cause = limited
        return Strength.SERIAL, f"{cause} ({width} at once)"
    if width_inside := causes.staircase(trace, measured):
        return Strength.SUSPICIOUS, f"{causes.SEMAPHORE} ({width_inside} at a time)"
    return _proof(measured, late)


def _proof(measured: Group, late: bool) -> tuple[Strength, str]:
    """How strong the overlap is; `late`: the loop was, for most of the least work."""
    missing = [
        name
        for name, value in (
            ("event-loop lag", measured.lag_ms),
            ("CPU time", measured.cpu_over_wall),
        )
        if value is None
    ]
    if missing:
        return Strength.OVERLAPPING, f"no {' and no '.join(missing)} was recorded"
    assert measured.lag_ms is not None
    assert measured.cpu_over_wall is not None
    if measured.lag_ms > BLOCKED_MS:
        return Strength.SUSPICIOUS, f"the event loop was blocked for {measured.lag_ms:.0f} ms"
    if measured.cpu_over_wall >= BUSY and measured.threads <= 1:
        return Strength.SUSPICIOUS, f"one CPU was {measured.cpu_over_wall:.0%} busy"
    if late:
        return Strength.OVERLAPPING, (
            f"the event loop was late by {measured.lag_ms:.0f} ms, and the least work took "
            f"{measured.shortest_work_ns / 1e6:.0f} ms: too short to tell on a machine this busy"
        )
    return Strength.PROVEN, ""
