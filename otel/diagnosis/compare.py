"""What changed between two runs, or between two sets of runs of one program.

The difference of the durations is divided among places without a remainder, because the critical
path partitions each run. It is a regression if it exceeds the tolerance; for sets of runs, if the
lower end of its bootstrap interval does.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Self

import numpy as np

from trading_graph.otel.diagnosis.call_path import (
    RUN,
    CallPaths,
    PathMeasures,
    RunMeasures,
    measure_run,
)
from trading_graph.otel.diagnosis.structural_losses import Improvement, Regression, gains, losses
from trading_graph.otel.diagnosis.subjects import subject_notes
from trading_graph.otel.diagnosis.token_use import UseChange, agent_changes, use_change
from trading_graph.otel.gc_pause import pause_collection
from trading_graph.otel.trace import Span, SpanTable, Trace, finite, row_of, semconv, table_of
from trading_graph.otel.trace.dependencies import Dependencies
from trading_graph.otel.verdict import completeness, run_view

if TYPE_CHECKING:
    from numpy.typing import NDArray

TOLERANCE = 0.05
"""The share of the baseline by which a run may take longer, where no tolerance is set."""

DEVIATIONS = 3
"""The tolerance in multiples of the baseline's own median deviation, where that is greater."""

NOTHING_SHARED = "The two sides share no call path: these are runs of different programs."

RUNS_A_SIDE = 5
"""The least number of runs in a set for a reliable interval."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run of one side: its trace, and its span."""

    trace: Trace
    span: Span

    @classmethod
    def at(cls, table: SpanTable, row: int) -> Self:
        """The run at a row of a table."""
        return cls(Trace(table), Span(table, row))


@dataclass(frozen=True, slots=True)
class Change:
    """How the duration of the runs changed, in nanoseconds; medians for sets.

    `low_ns` to `high_ns` is the interval of the difference; for single runs both equal it.
    """

    base_ns: float
    new_ns: float
    low_ns: float
    high_ns: float
    tolerance_ns: float

    @property
    def delta_ns(self) -> float:
        """How much longer the new runs take."""
        return self.new_ns - self.base_ns

    @property
    def regressed(self) -> bool:
        """Whether the new runs certainly take longer by more than the tolerance."""
        return self.low_ns > self.tolerance_ns


@dataclass(frozen=True, slots=True)
class Moved:
    """The time of the critical path at one place, in nanoseconds."""

    place: str
    base_ns: float
    new_ns: float

    @property
    def delta_ns(self) -> float:
        """The part of the runs' difference that is at this place."""
        return self.new_ns - self.base_ns


@dataclass(frozen=True, slots=True)
class PathSide:
    """A call path on one side: medians over the runs, but maxima for duplicates and errors.

    Times are nanoseconds; None where no run has the path, or where nothing could overlap.
    """

    count: float
    duration_ns: float | None
    on_path_ns: float
    overlap: float | None
    duplicates: int
    errors: int


@dataclass(frozen=True, slots=True)
class PathChange:
    """A call path on both sides."""

    path: str
    base: PathSide
    new: PathSide

    @property
    def changed(self) -> bool:
        """Whether anything differs."""
        return self.base != self.new


@dataclass(frozen=True, repr=False)
class Comparison:
    """What changed between a baseline and new runs.

    `moved` are the places whose time on the critical path differs, the greatest difference first.
    For sets they belong to the middle run of each side, so that they always sum to the change.
    `use` are the LLM calls and tokens of all agents, and `agents` those of each agent and node
    where they differ. `regressions` are losses of structure, and `improvements` are their
    opposites.
    """

    base: tuple[Run, ...]
    new: tuple[Run, ...]
    change: Change
    moved: tuple[Moved, ...]
    paths: tuple[PathChange, ...]
    use: UseChange
    agents: tuple[UseChange, ...]
    regressions: tuple[Regression, ...]
    improvements: tuple[Improvement, ...]
    notes: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing got worse."""
        return not self.change.regressed and not self.regressions

    def __repr__(self) -> str:
        outcome = "passed" if self.passed else "failed"
        change = f"{self.change.base_ns / 1e9:.3f} s to {self.change.new_ns / 1e9:.3f} s"
        return f"<Comparison {outcome}: {change}, {len(self.regressions)} regressions>"


def set_flaw(base: int, new: int) -> str | None:
    """Why this number of runs cannot be compared with that one; None where it can."""
    if not base or not new:
        return "Name a run, or a set of runs, on both sides."
    if (base == 1) != (new == 1):
        return (
            f"A set of {max(base, new)} runs against one run says nothing; name two or more on "
            "both sides (five are better), or one on each."
        )
    return None


def repetition(side: Sequence[Run]) -> str | None:
    """A sentence that names a run which is twice in a set; None where there is none."""
    runs = Counter(run.span for run in side)
    twice = [span for span, times in runs.items() if times > 1]
    return f"The trace {twice[0].trace_id} is twice in one set." if twice else None


@pause_collection()
def compare(
    base: Sequence[Run],
    new: Sequence[Run],
    tolerance: float | None = None,
    dependencies: Dependencies | None = None,
) -> Comparison | None:
    """Compare complete runs; None where the two sides share no call path.

    `tolerance` is a share of the baseline's duration. Without one it is the greater of `TOLERANCE`
    and `DEVIATIONS` times the baseline's median deviation. `dependencies` are who waits for whom,
    as `probe` found out: the critical path of each run then follows them.
    """
    paths = CallPaths(base[0].span.name)
    before, after = (
        [measure_run(table_of(run.trace), row_of(run.span), paths, dependencies) for run in side]
        for side in (base, new)
    )
    old_paths, new_paths = (
        {path for run in side for path in run.by_path} for side in (before, after)
    )
    if old_paths & new_paths == {RUN} != old_paths | new_paths:
        return None
    return Comparison(
        base=tuple(base),
        new=tuple(new),
        change=_change(before, after, tolerance),
        moved=tuple(_moves(before, after, paths)),
        paths=tuple(_paths(before, after, paths)),
        use=use_change(before, after),
        agents=agent_changes(before, after),
        regressions=losses(before, after, paths),
        improvements=gains(before, after, paths),
        notes=tuple(_notes(base, new)),
    )


def complete_runs(
    side: Sequence[tuple[str, SpanTable, str | None]],
) -> tuple[list[Run], list[str]]:
    """The runs of one side, and what is missing from them, in one sentence each.

    Each input is a name for these sentences, a trace, and an id where the trace holds several runs.
    """
    runs, missing = [], []
    for name, table, run_id in side:
        whole = completeness(table, run_id)
        missing += [f"{name}: {sentence}" for sentence in whole.missing]
        if whole.run is not None:
            view = run_view(table, whole.run)
            runs.append(Run.at(view.trace, view.run))
    return runs, missing


def _change(
    base: Sequence[RunMeasures], new: Sequence[RunMeasures], tolerance: float | None
) -> Change:
    before, after = [run.wall_ns for run in base], [run.wall_ns for run in new]
    usual = median(before)
    low = high = median(after) - usual
    if len(before) > 1 or len(after) > 1:
        low, high = median_difference(before, after)
    tolerance_ns = usual * (TOLERANCE if tolerance is None else tolerance)
    if tolerance is None:
        tolerance_ns = max(tolerance_ns, DEVIATIONS * median_deviation(before))
    return Change(usual, median(after), low, high, tolerance_ns)


def _moves(
    base: Sequence[RunMeasures], new: Sequence[RunMeasures], paths: CallPaths
) -> list[Moved]:
    before, after = _middle(base), _middle(new)
    moves = [
        (place, before.get(place, 0.0), after.get(place, 0.0))
        for place in sorted({*before, *after})
        if before.get(place) != after.get(place)
    ]
    moves.sort(key=lambda each: -abs(each[2] - each[1]))
    return [Moved(paths.place_text(place), was, now) for place, was, now in moves]


def _middle(runs: Sequence[RunMeasures]) -> Mapping[int, float]:
    """The time at each place of the middle run, or the mean of the two middle runs.

    It sums to the median duration exactly, because a double holds half nanoseconds up to 52 days.
    """
    sequence = sorted(runs, key=lambda run: run.wall_ns)
    one, other = sequence[(len(sequence) - 1) // 2], sequence[len(sequence) // 2]
    places = {*one.on_path_ns, *other.on_path_ns}
    return {
        place: (one.on_path_ns.get(place, 0) + other.on_path_ns.get(place, 0)) / 2
        for place in places
    }


def _paths(
    base: Sequence[RunMeasures], new: Sequence[RunMeasures], paths: CallPaths
) -> list[PathChange]:
    every = sorted({path for run in (*base, *new) for path in run.by_path})
    changes = [
        PathChange(paths.path_text(path), _side(base, path), _side(new, path)) for path in every
    ]
    changes.sort(key=lambda each: -abs(each.new.on_path_ns - each.base.on_path_ns))
    return changes


def _side(runs: Sequence[RunMeasures], path: int) -> PathSide:
    here: list[PathMeasures] = [run.by_path[path] for run in runs if path in run.by_path]
    if not here:
        return _ABSENT
    if len(runs) == 1:
        return _of_one(here[0])
    missing = [0] * (len(runs) - len(here))
    overlaps = [overlap for each in here if (overlap := each.overlap) is not None]
    return PathSide(
        count=median([each.count for each in here] + missing),
        duration_ns=median(each.duration_ns for each in here),
        on_path_ns=median([each.on_path_ns for each in here] + missing),
        overlap=median(overlaps) if overlaps else None,
        duplicates=max(len(each.again) for each in here),
        errors=max(len(each.failures) for each in here),
    )


_ABSENT = PathSide(0, None, 0, None, 0, 0)


def _of_one(here: PathMeasures) -> PathSide:
    """One run without medians, which take long for the many paths of a deep trace."""
    return PathSide(
        here.count,
        here.duration_ns,
        here.on_path_ns,
        here.overlap,
        len(here.again),
        len(here.failures),
    )


def _notes(base: Sequence[Run], new: Sequence[Run]) -> list[str]:
    """What a reader has to know to interpret the numbers."""
    notes = []
    fewest = min(len(base), len(new))
    if 1 < fewest < RUNS_A_SIDE:
        notes.append(f"With fewer than {RUNS_A_SIDE} runs a side the interval says little.")
    latencies = {
        finite(run.span.attributes.get(semconv.LATENCY_CHAT_S))
        for run in (*base, *new)
        if run.span.attributes.get(semconv.LATENCY_SIMULATED)
    }
    if len(latencies) > 1:
        notes.append("The runs were made with different simulated latencies.")
    sides = [[(table_of(run.trace), row_of(run.span)) for run in side] for side in (base, new)]
    return [*notes, *subject_notes(*sides)]


CONFIDENCE = 0.95
"""The share of cases in which the interval contains the true difference."""

RESAMPLES = 500
"""Number of medians per side; each is compared with each of the other side."""

SEED = 20251114


def median_difference(base: Sequence[int], new: Sequence[int]) -> tuple[float, float]:
    """The bootstrap interval of median(new) - median(base).

    Equal inputs give equal intervals, and swapping the sides changes only the sign.
    """
    differences = np.subtract.outer(_medians(new), _medians(base))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(differences, [tail, 1 - tail])
    return float(low), float(high)


def median_deviation(values: Sequence[int]) -> float:
    """The median distance from the median (MAD)."""
    middle = median(values)
    return median(abs(value - middle) for value in values)


def _medians(values: Sequence[int]) -> "NDArray[np.float64]":
    """Medians of resamples; sorted values make the result independent of the order of runs."""
    draw = np.random.default_rng(SEED)
    sample = np.sort(np.array(values, np.float64))
    picks = draw.integers(len(sample), size=(RESAMPLES, len(sample)))
    medians: NDArray[np.float64] = np.median(sample[picks], axis=1)
    return medians
