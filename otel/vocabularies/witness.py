"""What any process can declare that it records, and what the times of a span cannot show.

These attributes belong to no framework and no vendor. docs/spans.md explains each.
"""

from enum import StrEnum

from trading_graph.otel.vocabularies.values import Attributes, finite, sequence, whole
from trading_graph.otel.vocabularies.vocabulary import Figure, Reader

LOOP_LAG_MAX_MS = "witness.loop.lag_max_ms"
"""The longest time for which the event loop was blocked while the span was open."""
LOOP_ID = "witness.loop.id"
"""An id of the event loop that the span ran on, unique on its host."""
CPU_OVER_WALL = "witness.cpu.over_wall"
"""The CPU time of the whole process over the duration of the span."""
WAIT_MS = "witness.wait_ms"
"""How long the span waited for its turn: for a connection of a pool, a limit, a queue."""
WAIT_KIND = "witness.wait.kind"
"""What the longest part of that wait was for, in the words of `witness.waits`."""
WAIT_OFFSETS_MS = "witness.wait.offsets_ms"
"""Where these waits lie: start, end, start, end, ... in milliseconds from the start of the span."""
IMPORTS = "witness.imports"
"""The number of modules that the whole process imported while the span was open."""
GC_MS = "witness.gc_ms"
"""How long garbage collection stopped the process while the span was open."""
RUNNING_MS = "witness.running_ms"
"""How long the span's task ran on its loop, or its thread had a CPU."""
READY_MS = "witness.ready_ms"
"""How long it could have run, and its loop or the machine was busy with others."""
SOCKET_MS = "witness.socket_ms"
"""How long it waited for input or output."""
TIMER_MS = "witness.timer_ms"
"""How long it slept."""
CHILDREN_MS = "witness.children_ms"
"""How long it waited for tasks and jobs that it had started."""
IDLE_MS = "witness.idle_ms"
"""How long it waited at an empty queue for something to do: no turn is lost."""
UNACCOUNTED_MS = "witness.unaccounted_ms"
"""How long it was suspended and nothing says why."""
THREAD_ID = "thread.id"

# In a run that `trading-graph probe` disturbs
DELAY_MS = "witness.delay_ms"
"""How long the span was held on purpose."""
ACTIVITY = "witness.activity"
"""The task, job or thread of the span: the numbers in which activities created each other."""
ACTIVITY_MADE_WITH = "witness.activity.made_with"
"""The first of the tasks that were created at one moment with its activity: a path, as above."""
ACTIVITY_AGE_MS = "witness.activity.age_ms"
"""How long before the span its activity was created."""
ACTIVITY_HELD_MS = "witness.activity.held_ms"
"""How long the activity was held on purpose before the step in which the span started."""
ACTIVITY_BORN_LATE_MS = "witness.activity.born_late_ms"
"""By how much the activity was created later, because others were held that way."""
ACTIVITY_AWAITED = "witness.activity.awaited"
"""The tasks that its activity, or one that created it, had awaited before: paths of activities."""
ACTIVITY_WAITED_FOR = "witness.activity.waited_for"
"""What the activity had waited for before the step in which the span started."""

# On the first span of a run or a process
RECORDS = "witness.records"
"""What the process records, a list of the values of `Recorded`."""
WAITS = "witness.waits"
"""The kinds of waits that it records, a list such as `connection_pool`, `rate_limit`,
`semaphore`, `executor`."""
CLOCK = "witness.clock"
"""An id that is equal for spans whose times come from one clock."""
SPANS_STARTED = "witness.spans_started"
"""The number of spans that started before the end of this one, its own included."""

# The event of a block of the event loop, on the spans of that loop; its time is the block's start
BLOCKED = "witness.blocked"
BLOCKED_DURATION_MS = "witness.blocked.duration_ms"
BLOCKED_LIBRARY = "witness.blocked.library"
"""The line of library code that blocked, such as `requests/sessions.py:589`."""
BLOCKED_TASK = "witness.blocked.task"
BLOCKED_STATE = "witness.blocked.state"
"""What the loop's thread did meanwhile, a value of `BlockState`."""
BLOCKED_GC = "witness.blocked.gc"
"""Whether that was in a garbage collection."""
BLOCKED_STARVED_MS = "witness.blocked.starved_ms"
"""How long the thread waited for a CPU that other programs had."""
BLOCKED_CPU_SHARE = "witness.blocked.cpu_share"
"""The share of one CPU that the process got."""
CODE_FILE = "code.file.path"
CODE_LINE = "code.line.number"
CODE_FUNCTION = "code.function.name"


class Wait(StrEnum):
    """What a span can wait for until it is its turn.

    A queue makes it wait when it is full, or while what it has put there lies untaken. It waits for
    a task where a task of another branch resolves its future, as a lock of the program's own does;
    a callback is an instrumentor's, which waited for a thread.
    """

    SEMAPHORE = "semaphore"
    LOCK = "lock"
    LIMITER = "limiter"
    CONNECTION_POOL = "connection_pool"
    RATE_LIMIT = "rate_limit"
    EXECUTOR = "executor"
    QUEUE = "queue"
    INTERPRETER_LOCK = "interpreter_lock"
    TASK = "task"
    CALLBACK = "callback"


_OLDER = {
    LOOP_LAG_MAX_MS: "trading.loop_lag_max_ms",
    CPU_OVER_WALL: "trading.cpu_over_wall",
    WAIT_MS: "trading.queue_wait_ms",
    IMPORTS: "trading.imports",
    SPANS_STARTED: "trading.spans_started",
}


class Recorded(StrEnum):
    """Something that a process may record beside the times of its spans."""

    LOOP_LAG = "loop_lag"
    CPU = "cpu"
    WAITS = "waits"
    SPANS = "spans"
    TIME = "time"


class BlockState(StrEnum):
    """What the thread of a blocked event loop did meanwhile."""

    SLEEPING = "sleeping"
    COMPUTING = "computing"
    INTERPRETER_LOCK = "interpreter_lock"
    STARVED = "starved"
    UNKNOWN = "unknown"


_RECORDED = frozenset(Recorded)
_SIGNS = {
    Recorded.LOOP_LAG: LOOP_LAG_MAX_MS,
    Recorded.CPU: CPU_OVER_WALL,
    Recorded.SPANS: SPANS_STARTED,
}


def value(attributes: Attributes, key: str) -> object:
    """The value of one of these attributes under its name, or the one of older files; or None."""
    if key in attributes:
        return attributes[key]
    older = _OLDER.get(key)
    return attributes.get(older) if older else None


def _figure(key: str) -> Figure:
    return Figure(key, _OLDER[key])


loop_lag_ms = _figure(LOOP_LAG_MAX_MS)
"""The longest block of the event loop, in milliseconds; None where it is not recorded."""
cpu_over_wall = _figure(CPU_OVER_WALL)
"""The CPU time of the process over the span's duration; None where it is not recorded."""
wait_ms = _figure(WAIT_MS)
"""How long the span waited for its turn, in milliseconds; None where it is not recorded."""
unaccounted_ms = Figure(UNACCOUNTED_MS)
"""How long the span was suspended for no known reason, in milliseconds; None without a record."""
imports = _figure(IMPORTS)
"""The number of modules that were imported meanwhile; None where it is not recorded."""
thread_id = Figure(THREAD_ID)
"""The id of the thread on which the span ended; None where it is not recorded."""


def _loop_id(attributes: Attributes) -> int | str | None:
    id = attributes.get(LOOP_ID)
    return id if isinstance(id, int | str) else None


loop_id = Reader[int | str | None](_loop_id, {LOOP_ID}, None)
"""The id of the event loop that the span ran on; None where it is not recorded."""


def spans_started(attributes: Attributes) -> int | None:
    """How many spans the process declares; None where it declares none, or no number."""
    return whole(value(attributes, SPANS_STARTED))


declared_spans = Reader[object](
    lambda attributes: value(attributes, SPANS_STARTED),
    {SPANS_STARTED, _OLDER[SPANS_STARTED]},
    None,
)
"""The number of spans that the process declares, whatever it is; None where it declares none."""


def records(attributes: Attributes) -> frozenset[Recorded]:
    """What the process declares on this span that it records.

    Where it declares nothing, what the span itself carries counts. That never includes waits: a
    span without a wait looks the same whether waits are recorded or not.
    """
    if RECORDS in attributes:
        names = [each for each in sequence(attributes[RECORDS]) if isinstance(each, str)]
        return _RECORDED.intersection(names)
    return frozenset(
        [each for each, key in _SIGNS.items() if finite(value(attributes, key)) is not None]
    )


def _recorded_waits(attributes: Attributes) -> frozenset[str]:
    return frozenset([each for each in sequence(attributes.get(WAITS)) if isinstance(each, str)])


recorded_waits = Reader(_recorded_waits, {WAITS}, frozenset[str]())
"""The kinds of waits that the process declares on a span that it records."""


def _accounts_for_time(attributes: Attributes) -> bool:
    return Recorded.TIME in sequence(attributes.get(RECORDS))


accounts_for_time = Reader(_accounts_for_time, {RECORDS}, otherwise=False)
"""Whether the process declares on a span that it accounts for the time of its spans."""


def _wait_kind(attributes: Attributes) -> str | None:
    kind = attributes.get(WAIT_KIND)
    return kind if isinstance(kind, str) and kind else None


wait_kind = Reader[str | None](_wait_kind, {WAIT_KIND}, None)
"""What the longest part of the span's wait was for; None where it is not recorded."""


def _wait_offsets_ms(attributes: Attributes) -> tuple[tuple[float, float], ...]:
    flat = sequence(attributes.get(WAIT_OFFSETS_MS))
    if len(flat) % 2:
        return ()
    if any(isinstance(each, bool) or not isinstance(each, int | float) for each in flat):
        return ()
    pairs = sorted(zip(flat[::2], flat[1::2], strict=True))
    # A comparison with NaN is false.
    return tuple(pairs) if all(0 <= start <= end for start, end in pairs) else ()


wait_offsets_ms = Reader[tuple[tuple[float, float], ...]](_wait_offsets_ms, {WAIT_OFFSETS_MS}, ())
"""Where the span's longest waits lie, in order of start; empty where that is not recorded well."""


def clock(attributes: Attributes) -> str | None:
    """The id of the clock that the process declares; None where it declares none."""
    declared = attributes.get(CLOCK)
    return declared if isinstance(declared, str) and declared else None
