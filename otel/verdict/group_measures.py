"""The measures of a group of spans that should have run at once."""

from collections import Counter
from collections.abc import Hashable, Sequence

import msgspec

from trading_graph.otel.trace import Profile, SpanTable, profile
from trading_graph.otel.trace.clocks import clocks
from trading_graph.otel.trace.loops import loops
from trading_graph.otel.verdict.dialect import dialect
from trading_graph.otel.verdict.work import SERVER, Work, add_shared, union_ns, works_below
from trading_graph.otel.vocabularies import Reader, witness

_Reader = Reader[float | None]


class Group(msgspec.Struct, frozen=True):
    """A group of spans: how the wrappers and the work below them overlap, and what was recorded.

    An overlap ratio is 0 when one follows the other, 1 when all are hidden below the longest, and
    None for fewer than two. `lag_ms` and `cpu_over_wall` are None where a member did not record
    them, and `working` is how many members did work of their own, or waited for shared work of
    others. The properties, which most verdicts do not need, are computed at each use.
    """

    trace: SpanTable
    rows: tuple[int, ...]
    works: tuple[Work, ...]
    working: int
    work_overlap: float | None
    lag_ms: float | None
    cpu_over_wall: float | None

    @property
    def shortest_work_ns(self) -> int:
        """The least work of a member that did any, in nanoseconds."""
        return min(_work_times(self.works), default=0)

    @property
    def wrappers(self) -> Profile:
        """The concurrency of the spans themselves."""
        return profile(self.trace, self.rows)

    @property
    def wrapper_overlap(self) -> float | None:
        """The overlap ratio of the spans themselves."""
        longest = max([self.trace.lengths[row] for row in self.rows], default=0)
        wrappers = self.wrappers
        return overlap_ratio(wrappers.work_ns, wrappers.busy_ns, longest)

    @property
    def spread_ns(self) -> int:
        """The time from the first start to the last, in nanoseconds."""
        starts = [self.trace.intervals[row][0] for row in self.rows]
        return max(starts, default=0) - min(starts, default=0)

    @property
    def queue_wait_ns(self) -> int:
        """The total time that the members waited for a connection, in nanoseconds."""
        return sum([work.waited_ns for work in self.works])

    @property
    def opened_together(self) -> bool:
        """Whether the branches overlap, so that no loop of awaits can have started them in turn.

        The branches are the spans themselves, or those around them below the nearest span above
        all: a task for each tool call, for example.
        """
        if (self.wrapper_overlap or 0.0) >= 0.5:
            return True
        branches = branches_of(self.trace, self.rows)
        if branches == self.rows:
            return False
        longest = max([self.trace.lengths[row] for row in branches])
        around = profile(self.trace, branches)
        return (overlap_ratio(around.work_ns, around.busy_ns, longest) or 0.0) >= 0.5

    @property
    def is_served(self) -> bool:
        """Whether every member is a call to a server whose own span is below it."""
        trace = self.trace
        return all(
            any(trace.kind[child] == SERVER for child in trace.children(row)) for row in self.rows
        )

    @property
    def may_block(self) -> bool:
        """Whether a blocked loop is possible: no lag excludes it, and the language has a loop."""
        return self.lag_ms is None and dialect(self.trace, self.rows[0]).has_loop

    @property
    def records_waits(self) -> bool:
        """Whether the process of each member declares which kinds of waits it records."""
        return all(declares_waits(self.trace, row) for row in self.rows)

    @property
    def is_joined(self) -> bool:
        """Whether the members are in trees that were put together on request."""
        trace = self.trace
        return bool(trace.joints) and len({trace.tree_of(row) for row in self.rows}) > 1

    @property
    def has_one_clock(self) -> bool:
        """Whether one clock took the times of all members."""
        seen = clocks(self.trace, self.trace.top(self.rows[0]))
        return seen.are_one or len({seen.clock[row] for row in self.rows}) == 1

    @property
    def clock_doubt(self) -> str:
        """Why clocks leave the overlap uncertain, in words; empty where they do not."""
        return clocks(self.trace, self.trace.top(self.rows[0])).doubt(self.rows)

    @property
    def imports(self) -> int:
        """The highest number of modules that were imported during one member."""
        return int(max(_numbers(self.trace, self.rows, witness.imports), default=0))

    @property
    def threads(self) -> int:
        """The number of threads on which the members ran."""
        return len(set(_numbers(self.trace, self.rows, witness.thread_id)))


def group(trace: SpanTable, rows: Sequence[int]) -> Group:
    """Measure the group of spans at these rows."""
    process, loop = _in_company(trace, rows)
    works = works_below(trace, rows)
    times_ns = _work_times(works)
    if len(times_ns) < 2:
        works = add_shared(trace, rows, works)
        times_ns = _work_times(works)
    return Group(
        trace,
        tuple(rows),
        works,
        len(times_ns),
        overlap_ratio(sum(times_ns), union_ns(works), max(times_ns, default=0)),
        _most(trace, loop, witness.loop_lag_ms),
        _most(trace, process, witness.cpu_over_wall),
    )


def _in_company(trace: SpanTable, rows: Sequence[int]) -> tuple[Sequence[int], Sequence[int]]:
    """The members that share a process with another, and those that share an event loop.

    Only those can hold each other up in it.
    """
    loop_of = loops(trace, trace.top(rows[0])) if rows else None
    if loop_of is None:  # one process, and no sign of two loops in it
        return rows, rows
    seen = clocks(trace, trace.top(rows[0]))
    process = rows if seen.are_one else _with_peers(rows, seen.clock)
    lags = trace.column_of(witness.loop_lag_ms)
    if all(lags[row] is None for row in rows):
        return process, process
    return process, _with_peers(rows, loop_of)


def _with_peers(rows: Sequence[int], place: Sequence[Hashable]) -> Sequence[int]:
    """The members whose place is also that of another."""
    count = Counter(place[row] for row in rows)
    return [row for row in rows if count[place[row]] > 1]


def declares_waits(trace: SpanTable, row: int) -> bool:
    """Whether the process of a span declares, on it or above it, which waits it records."""
    if witness.WAITS not in trace.keys:
        return False
    known: dict[int, bool] = trace.memo.setdefault(declares_waits, {})
    way = []
    while row >= 0 and row not in known:
        way.append(row)
        if trace.read(witness.recorded_waits, row):
            known[row] = True
            break
        row = trace.parents[row]
    is_declared = known.get(row, False)
    known.update(dict.fromkeys(way, is_declared))
    return is_declared


def branches_of(trace: SpanTable, rows: Sequence[int]) -> tuple[int, ...]:
    """The branches of some spans below their nearest common ancestor, in order of start."""
    parents = trace.parents
    if len({parents[row] for row in rows}) == 1:  # as usual
        return tuple(sorted(set(rows)))
    depth = {row: trace.depth(row) for row in rows}
    branches = list(dict.fromkeys(rows))
    while len({parents[row] for row in branches}) > 1:
        deepest = max(depth[row] for row in branches)
        above = []
        for row in branches:
            if depth[row] == deepest and parents[row] >= 0:
                depth.setdefault(parents[row], deepest - 1)
                row = parents[row]
            above.append(row)
        if above == branches:
            break
        branches = list(dict.fromkeys(above))
    return tuple(sorted(branches))


def _work_times(works: Sequence[Work]) -> list[int]:
    """The work of each member that did any, in nanoseconds."""
    return [work.total_ns for work in works if work.total_ns > 0]


def _numbers(trace: SpanTable, rows: Sequence[int], read: _Reader) -> list[float]:
    """The numbers that a function finds on spans."""
    values = trace.column_of(read)
    return [number for row in rows if (number := values[row]) is not None]


def _most(trace: SpanTable, rows: Sequence[int], read: _Reader) -> float | None:
    """The highest number that a function finds; None where a span has none."""
    column = trace.column_of(read)
    numbers = [number for row in rows if (number := column[row]) is not None]
    return max(numbers, default=0.0) if len(numbers) == len(rows) else None


def overlap_ratio(sum_ns: int, union_ns: int, longest_ns: int) -> float | None:
    """(sum - union) / (sum - longest) of the branches' times; None where nothing can be hidden."""
    hideable = sum_ns - longest_ns
    return (sum_ns - union_ns) / hideable if hideable > 0 else None
