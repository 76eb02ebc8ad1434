"""Did a group of spans really run at once, and how strong is the proof?

Span times alone never prove it: coroutines that block the loop, threads that hold the interpreter
lock and requests that queue inside their span all overlap. *Proven* requires that the work below
the spans overlaps without its waits, that the processes declare what they record, that a recorded
loop lag and CPU time rule out the rest, that no time is missing where the processes account for it,
and that one clock took the times.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple, assert_never

import msgspec
from msgspec.structs import astuple

from trading_graph.otel.trace import SpanTable
from trading_graph.otel.trace.blocks import LoopBlock
from trading_graph.otel.trace.structure import FEWEST_LIMITED, BarrierWaits, waits_at_barriers
from trading_graph.otel.verdict import causes
from trading_graph.otel.verdict.blocked import blocks_beside, is_blocking, longest_in_words
from trading_graph.otel.verdict.causes import LOOK, Cause, cause_of_wait
from trading_graph.otel.verdict.dialect import dialect
from trading_graph.otel.verdict.group_measures import Group, group
from trading_graph.otel.verdict.group_waits import LIMITS, held_back_by, limiting
from trading_graph.otel.verdict.unaccounted import unaccounted
from trading_graph.otel.verdict.work import calls_beside
from trading_graph.otel.vocabularies import witness

OVERLAP = 0.5
"""The least overlap ratio of work that counts as running at once."""

BLOCKED_MS = 100.0
"""A loop that was blocked for longer casts doubt on everything that ran meanwhile."""

HOLD_SHARE = 0.2
"""The share of the group's time for which one branch may wait at barriers."""

BUSY = 0.8
"""The CPU time over wall time from which the CPU itself may have been the shared limit."""


class Strength(StrEnum):
    """How strong a statement about a group is."""

    PROVEN = "proven"
    OVERLAPPING = "overlapping, not proven"
    SUSPICIOUS = "suspicious"
    SERIAL = "serial"
    NOT_APPLICABLE = "not applicable"


# Named once: they are asked of every group, and to find a member of an enum takes long in 3.11.
_STANDING = (Strength.PROVEN, Strength.OVERLAPPING)


class _Judged(NamedTuple):
    """What is said of a group; the fields are as in `Parallelism`."""

    strength: Strength
    causes: tuple[Cause, ...]
    at_once: int = 0
    idle_ns: int = 0
    inside: bool = False


class Parallelism(msgspec.Struct, frozen=True):
    """The verdict on one group: its strength, the causes that fit, and the measures behind it.

    There is no cause where it is proven, and more than one where what is known does not tell them
    apart; the likeliest comes first. `at_once` is how many a limit lets in, and `idle_ns` how long
    branches waited at barriers in total, where that is a cause. `inside` says that the limit is one
    on calls below the members, which are open meanwhile.
    """

    strength: Strength
    causes: tuple[Cause, ...]
    group: Group
    at_once: int = 0
    idle_ns: int = 0
    inside: bool = False

    @property
    def cause(self) -> Cause | None:
        """The likeliest cause; None where it is proven."""
        return self.causes[0] if self.causes else None

    @property
    def stands(self) -> bool:
        """Whether the group ran at once, as far as the trace shows."""
        return self.strength in _STANDING

    @property
    def blocks(self) -> Sequence[LoopBlock]:
        """The recorded blocks of the members' loops that a cause speaks of, the longest first."""
        if LATE.isdisjoint(self.causes):
            return ()
        return blocks_beside(self.group.trace, self.group.rows)

    @property
    def advice(self) -> str:
        """What to do about the causes; of several, how to tell them apart."""
        spoken = dialect(self.group.trace, self.group.rows[0])
        if len(self.causes) < 2:
            return self.cause.advice_in(spoken) if self.cause else LOOK
        ways = " ".join(
            f"If {_words(self, each)}: {_lower(each.advice_in(spoken))}" for each in self.causes
        )
        return f"{ways} {TELL_APART}"

    def __str__(self) -> str:
        return f"{self.strength}: {reason(self)}" if self.causes else str(self.strength)


LATE = frozenset(
    {Cause.BLOCKED_LOOP, Cause.COLD_IMPORT, Cause.INTERPRETER_LOCK, Cause.BUSY_MACHINE}
)
"""The causes that make a loop late."""

TELL_APART = "A recorded loop lag tells them apart (docs/proven.md)."


def reason(judgement: Parallelism) -> str:
    """The causes in words, with the measured values; empty where there is none."""
    return ", or ".join(_words(judgement, each) for each in judgement.causes)


def _lower(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:]


def _words(judgement: Parallelism, cause: Cause) -> str:
    group, lag_ms = judgement.group, judgement.group.lag_ms or 0.0
    match cause:
        case Cause.BLOCKED_LOOP if judgement.blocks:
            return f"the event loop was {longest_in_words(judgement.blocks)}"
        case Cause.BLOCKED_LOOP if group.lag_ms is None:
            return "a function that blocks the event loop made them take turns"
        case Cause.BLOCKED_LOOP if judgement.strength is Strength.SUSPICIOUS:
            return f"the event loop was blocked for {lag_ms:.0f} ms"
        case Cause.BLOCKED_LOOP:
            return "the event loop was blocked"
        case Cause.COLD_IMPORT:
            while_it = f", {longest_in_words(judgement.blocks)}" if judgement.blocks else ""
            return f"modules were imported while it ran{while_it}"
        case Cause.INTERPRETER_LOCK:
            return "threads that hold the interpreter lock take turns"
        case Cause.CONNECTION_LIMIT if limiting(group).kind == witness.Wait.RATE_LIMIT:
            return "requests waited for a rate limit"
        case Cause.CONNECTION_LIMIT:
            return "requests waited for a free connection"
        case Cause.SEMAPHORE:
            width = f" ({judgement.at_once} at a time)" if judgement.at_once else ""
            return f"{_limit_in_words(group)} lets them in one after the other{width}"
        case Cause.SERVER:
            return "the server answers the requests one after the other"
        case Cause.EXECUTOR:
            width = f" ({judgement.at_once} at once)" if judgement.at_once else ""
            return f"an executor has too few threads{width}"
        case Cause.WORKERS:
            return "a worker takes their items out of a queue in turn"
        case Cause.TASK:
            return "they wait for each other, as at a lock or a limit of the program's own"
        case Cause.CALLBACK:
            return (
                "the instrumentor's own callbacks waited for a thread, so the spans are late and "
                "say nothing about the program"
            )
        case Cause.MAX_CONCURRENCY:
            width = f" ({judgement.at_once} at once)" if judgement.at_once else ""
            return f"a limit on concurrency lets only some start{width}"
        case Cause.BATCHES:
            return f"they run in batches or stages of {judgement.at_once}"
        case Cause.DISPATCH:
            return "they were dispatched one after the other"
        case Cause.BARRIER:
            idle_s = judgement.idle_ns / 1e9
            return f"branches waited for each other at superstep barriers ({idle_s:.3f} s in all)"
        case Cause.DEPENDENCY:
            return "an LLM turn stands between them"
        case Cause.BUSY_CPU:
            return f"one CPU was {group.cpu_over_wall or 0.0:.0%} busy"
        case Cause.BUSY_MACHINE if judgement.blocks and not is_blocking(judgement.blocks[0]):
            return f"the event loop was {longest_in_words(judgement.blocks)}"
        case Cause.BUSY_MACHINE:
            return (
                f"the event loop was late by {lag_ms:.0f} ms, and the least work took "
                f"{group.shortest_work_ns / 1e6:.0f} ms: too short to tell on a machine this busy"
            )
        case Cause.CLOCKS:
            return group.clock_doubt or "they ran in processes whose clocks may differ"
        case Cause.JOINED:
            return "they are in trees that were put together, and no span shows that they belong so"
        case Cause.NOT_RECORDED:
            return _unrecorded(group)
        case Cause.UNACCOUNTED:
            return _missing_time(group)
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
            assert_never(cause)


def _limit_in_words(group: Group) -> str:
    kind = limiting(group).kind
    if kind is None or cause_of_wait(kind) is not Cause.SEMAPHORE:
        return "a semaphore, a lock or a limit"
    return LIMITS.get(kind, f"a limit ({kind})")


def _missing_time(group: Group) -> str:
    found = unaccounted(group.trace, group.rows)
    if found is None:
        return "time of them is not accounted for"
    return (
        f"{found.time_ms:.0f} ms of {group.trace.names[found.row]!r} ({found.share * 100:.0f} % of "
        "it) are not accounted for"
    )


def _unrecorded(group: Group) -> str:
    """What is missing for a proof, and what can therefore look the same."""
    missing = [
        what
        for what, is_known in (
            ("event-loop lag", group.lag_ms is not None),
            ("CPU time", group.cpu_over_wall is not None),
            ("waits", group.records_waits),
        )
        if not is_known
    ]
    *others, last = missing
    listed = f"{', '.join(others)} or {last}" if others else last
    sentence = f"no {listed} {'is' if listed == missing[0] and last != 'waits' else 'are'} recorded"
    if group.may_block:
        sentence += "; functions that block the event loop in turn can look like this too"
    return sentence


def parallelism(trace: SpanTable, rows: Sequence[int]) -> Parallelism:
    """Judge a group of spans that should have run at once; cached by group."""
    key = parallelism, tuple(rows)
    if kept := trace.memo.get(key):
        judged, figures = kept
        measured = Group(trace, *figures)
    else:
        measured = group(trace, rows)
        judged = _judge(trace, measured)
        # A trace that keeps what holds it is a circle, which only a garbage collection frees.
        trace.memo[key] = judged, astuple(measured)[1:]
    strength, causes, *more = judged
    return Parallelism(strength, causes, measured, *more)


def _judge(trace: SpanTable, group: Group) -> _Judged:
    if len(group.rows) < 2:
        return _Judged(Strength.NOT_APPLICABLE, (Cause.TOO_FEW,))
    if group.working < 2:
        return _Judged(Strength.NOT_APPLICABLE, (Cause.NO_WORK,))
    if calls_beside(trace, group.rows):
        return _Judged(Strength.NOT_APPLICABLE, (Cause.BROKEN_TREE,))
    if group.work_overlap is None or group.work_overlap < OVERLAP:
        suspects = causes.serial_causes(trace, group)
        return _Judged(_serial(suspects[0]), suspects)
    cause = causes.interpreter_cause(group)
    late = False
    if cause:
        late = cause is Cause.BUSY_MACHINE or (
            cause is Cause.BLOCKED_LOOP and not causes.lag_explains_work(group)
        )
        if not late:
            return _Judged(Strength.SERIAL, (cause,))
    stop = waits_at_barriers(trace, group.rows)
    if stop.longest_ns and stop.longest_ns > HOLD_SHARE * group.wrappers.busy_ns:
        return _Judged(Strength.SUSPICIOUS, (Cause.BARRIER,), idle_ns=stop.idle_ns)
    if len(group.rows) >= FEWEST_LIMITED and (limited := _limited(trace, group, stop)):
        return limited
    if group.lag_ms is None and causes.is_held_back(trace, group):
        return _Judged(Strength.SUSPICIOUS, (Cause.BLOCKED_LOOP, Cause.SEMAPHORE))
    strength, cause = _proof(group, late)
    if strength is Strength.PROVEN and (kind := held_back_by(group)):
        # A rate or another's work holds back without limiting how many run at once.
        limits = kind not in (witness.Wait.RATE_LIMIT, witness.Wait.TASK, witness.Wait.CALLBACK)
        strength = Strength.SUSPICIOUS if limits else Strength.OVERLAPPING
        cause = cause_of_wait(kind)
    if cause is Cause.BUSY_CPU and not group.threads:  # threads may have taken turns
        return _Judged(strength, (Cause.INTERPRETER_LOCK, cause))
    return _Judged(strength, (cause,) if cause else ())


def _limited(trace: SpanTable, group: Group, stop: BarrierWaits) -> _Judged | None:
    """The verdict on a group that met a limit, outside or inside; None where it met none."""
    if not stop.waiting and (met := causes.group_limit(trace, group)):
        limit, cause = met
        certain = limit.is_certain or cause is not Cause.SEMAPHORE
        suspects = (cause,) if certain else (cause, Cause.BATCHES)
        strength = _serial(cause) if certain else Strength.OVERLAPPING
        return _Judged(strength, suspects, at_once=limit.at_once)
    if calls_at_once := causes.calls_limit(trace, group):
        likely = causes.cause_of_limit(group)
        return _Judged(Strength.SUSPICIOUS, (likely,), at_once=calls_at_once, inside=True)
    if width_inside := causes.group_staircase(trace, group):
        likely = causes.cause_of_limit(group)
        suspects = (likely, *((Cause.BLOCKED_LOOP,) if group.may_block else ()))
        return _Judged(Strength.SUSPICIOUS, suspects, at_once=width_inside)
    return None


def _serial(cause: Cause) -> Strength:
    """How strong a statement is that spans took turns: late callbacks say little about it."""
    return Strength.SUSPICIOUS if cause is Cause.CALLBACK else Strength.SERIAL


def _proof(group: Group, late: bool) -> tuple[Strength, Cause | None]:
    """How strong the overlap is; `late` says that the loop was late for most of the least work."""
    if group.is_joined:
        return Strength.OVERLAPPING, Cause.JOINED
    if not group.has_one_clock:
        return Strength.OVERLAPPING, Cause.CLOCKS
    if group.lag_ms is None or group.cpu_over_wall is None:
        return Strength.OVERLAPPING, Cause.NOT_RECORDED
    if group.lag_ms > BLOCKED_MS:
        cause = causes.cause_of_lag(group)
        is_starved = cause is Cause.BUSY_MACHINE
        return Strength.OVERLAPPING if is_starved else Strength.SUSPICIOUS, cause
    if group.cpu_over_wall >= BUSY and group.threads <= 1:
        return Strength.OVERLAPPING, Cause.BUSY_CPU
    if late:
        return Strength.OVERLAPPING, Cause.BUSY_MACHINE
    if not group.records_waits:
        return Strength.OVERLAPPING, Cause.NOT_RECORDED
    if unaccounted(group.trace, group.rows):
        if group.imports >= causes.MANY_IMPORTS:  # the others wait for who imports
            return Strength.SUSPICIOUS, Cause.COLD_IMPORT
        return Strength.OVERLAPPING, Cause.UNACCOUNTED
    return Strength.PROVEN, None
