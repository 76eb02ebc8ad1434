"""Measures of a group of spans that should have run at once."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from trading_graph.otel.trace import Profile, SpanTable, profile, semconv
from trading_graph.otel.verdict.work import Work, union_ns, with_shared, works_below


@dataclass(frozen=True, slots=True)
class Group:
    """A group of spans: how it overlaps as wrappers and in the work below, and what was recorded.

    Overlap ratios: 0 when one follows the other, 1 when all are hidden below the longest; None for
    fewer than two. `lag_ms` and `cpu_over_wall` are None where not every member recorded them.
    What most verdicts do not ask for is measured at every use.
    """

    trace: SpanTable = field(repr=False)
    rows: tuple[int, ...]
    works: tuple[Work, ...]
    work_overlap: float | None
    lag_ms: float | None
    cpu_over_wall: float | None

    @property
    def working(self) -> int:
        """How many members did work of their own, or waited for work of others that they share."""
        return len(_worked(self.works))

    @property
    def shortest_work_ns(self) -> int:
        """The least work of a member that did any."""
        return min(_worked(self.works), default=0)

    @property
    def wrappers(self) -> Profile:
        """How many of the spans themselves ran at once."""
        return profile(self.trace, self.rows)

    @property
    def wrapper_overlap(self) -> float | None:
        """The overlap ratio of the spans themselves."""
        longest = max(self.trace.duration[list(self.rows)].tolist(), default=0)
        found = self.wrappers
        return overlap_ratio(found.work_ns, found.busy_ns, longest)

    @property
    def spread_ns(self) -> int:
        """From the first start to the last."""
        starts = [self.trace.intervals[row][0] for row in self.rows]
        return max(starts, default=0) - min(starts, default=0)

    @property
    def queue_wait_ns(self) -> int:
        """How long the members waited for a connection, in all."""
        return sum([work.waited_ns for work in self.works])

    @property
    def imports(self) -> int:
        """The most modules that were imported during a member."""
        return int(max(_numbers(self.trace, self.rows, semconv.IMPORTS), default=0))

    @property
    def threads(self) -> int:
        """How many threads the members ran on."""
        return len(set(_numbers(self.trace, self.rows, semconv.THREAD_ID)))


def group(trace: SpanTable, rows: Sequence[int]) -> Group:
    """Measure a group."""
    works = works_below(trace, rows)
    worked = _worked(works)
    if len(worked) < 2:
        works = with_shared(trace, rows, works)
        worked = _worked(works)
    return Group(
        trace,
        tuple(rows),
        works,
        overlap_ratio(sum(worked), union_ns(works), max(worked, default=0)),
        _most(trace, rows, semconv.LOOP_LAG_MAX_MS),
        _most(trace, rows, semconv.CPU_OVER_WALL),
    )


def _worked(works: Sequence[Work]) -> list[int]:
    """How long each worked that worked at all, in nanoseconds."""
    return [work.total_ns for work in works if work.total_ns > 0]


def _numbers(trace: SpanTable, rows: Sequence[int], key: str) -> list[float]:
    """The values of an attribute that are numbers."""
    values = trace.figures(key)
    return [number for row in rows if (number := values[row]) is not None]


def _most(trace: SpanTable, rows: Sequence[int], key: str) -> float | None:
    """The highest value of an attribute; None where a span does not have it."""
    values = _numbers(trace, rows, key)
    return max(values, default=0.0) if len(values) == len(rows) else None


def overlap_ratio(sum_ns: int, union_ns: int, longest_ns: int) -> float | None:
    """(sum - union) / (sum - longest) of branches' times; None where nothing could be hidden."""
    hideable = sum_ns - longest_ns
    return (sum_ns - union_ns) / hideable if hideable > 0 else None
