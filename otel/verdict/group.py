"""Measures of a group of spans that should have run at once."""

from collections.abc import Sequence
from dataclasses import dataclass

from otel.trace import Profile, Trace, profile, semconv
from otel.verdict.work import Work, union_ns, work_below


@dataclass(frozen=True, slots=True)
class Group:
    """A group of spans: how it overlaps as wrappers and in the work below, and what was recorded.

    Overlap ratios: 0 when one follows the other, 1 when all are hidden below the longest; None for
    fewer than two. `lag_ms` and `cpu_over_wall` are None where not every member recorded them.
    """

    rows: tuple[int, ...]
    works: tuple[Work, ...]
    wrappers: Profile
    wrapper_overlap: float | None
    work_overlap: float | None
    spread_ns: int
    queue_wait_ns: int
    lag_ms: float | None
    cpu_over_wall: float | None
    imports: int
    threads: int

    @property
    def working(self) -> int:
        """How many members did work of their own."""
        return sum(work.total_ns > 0 for work in self.works)

    @property
    def shortest_work_ns(self) -> int:
        """The least work of a member that did any."""
        return min((work.total_ns for work in self.works if work.total_ns > 0), default=0)


def group(trace: Trace, rows: Sequence[int]) -> Group:
    """Measure a group."""
    works = tuple([work_below(trace, row) for row in rows])
    intervals = [trace.intervals[row] for row in rows]
    starts = [start for start, _ in intervals]
    wrappers = profile(trace, rows)
    longest = max([end - start for start, end in intervals], default=0)
    return Group(
        rows=tuple(rows),
        works=works,
        wrappers=wrappers,
        wrapper_overlap=overlap_ratio(wrappers.work_ns, wrappers.busy_ns, longest),
        work_overlap=_work_overlap([work for work in works if work.total_ns > 0]),
        spread_ns=max(starts, default=0) - min(starts, default=0),
        queue_wait_ns=sum([work.waited_ns for work in works]),
        lag_ms=_most(trace, rows, semconv.LOOP_LAG_MAX_MS),
        cpu_over_wall=_most(trace, rows, semconv.CPU_OVER_WALL),
        imports=int(max([trace.number(row, semconv.IMPORTS) or 0 for row in rows], default=0)),
        threads=len({trace.number(row, semconv.THREAD_ID) for row in rows} - {None}),
    )


def _most(trace: Trace, rows: Sequence[int], key: str) -> float | None:
    """The highest value of an attribute; None where a span does not have it."""
    values = [value for row in rows if (value := trace.number(row, key)) is not None]
    return max(values, default=0.0) if len(values) == len(rows) else None


def overlap_ratio(sum_ns: int, union_ns: int, longest_ns: int) -> float | None:
    """(sum - union) / (sum - longest) of branches' times; None where nothing could be hidden."""
    hideable = sum_ns - longest_ns
    return (sum_ns - union_ns) / hideable if hideable > 0 else None


def _work_overlap(works: Sequence[Work]) -> float | None:
    totals = [work.total_ns for work in works]
    return overlap_ratio(sum(totals), union_ns(works), max(totals, default=0))
