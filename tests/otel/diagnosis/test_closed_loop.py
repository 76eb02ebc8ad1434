"""Predictions held against reality: slow programs are run, mended as predicted, and run again.

Each program runs in a process of its own kind of worker, so that several can sleep at once; a run
during which the event loop was late for reasons of the machine is thrown away.
"""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from statistics import median

import pytest

from tests.otel.diagnosis.programs import KINDS, Defect, Defects, Program, draw, trace_of
from trading_graph.otel.diagnosis import Candidate, Prediction, predict, rank
from trading_graph.otel.trace import SpanTable, semconv

pytestmark = pytest.mark.alone

SEEDS = range(42)
A_PROGRAM_OF_EACH_KIND = range(len(KINDS))
LEAST_FIXES = 70
RUNS = 3
THROWN_AWAY = 6
AGAIN = 2
LAG_MS = 20.0
WORST = 0.03
MEDIAN = 0.01


@dataclass(frozen=True)
class Checked:
    """One fix of one program: what was predicted, and what the mended program took."""

    seed: int
    fix: str
    slow_ns: int
    predicted: Prediction
    measured_ns: int

    @property
    def error(self) -> float:
        """How far the prediction was off, as a share of what was measured."""
        return self.predicted.likely_ns / self.measured_ns - 1

    @property
    def inside(self) -> bool:
        """Whether what was measured lies in the interval that was predicted."""
        return self.predicted.low_ns <= self.measured_ns <= self.predicted.high_ns

    def __str__(self) -> str:
        ms = [ns / 1e6 for ns in (self.slow_ns, self.predicted.likely_ns, self.measured_ns)]
        return f"seed {self.seed}, {self.fix}: {ms[0]:.0f} ms, predicted {ms[1]:.0f}, " + (
            f"measured {ms[2]:.0f} ({self.error:+.2%})"
        )


def checked(seed: int) -> list[Checked]:
    """Run a program slow, each defect mended alone, and all of them; in a worker."""
    program = draw(seed)
    trace_of(program, frozenset())  # imports and first uses
    trace = _middle(program, program.defects)
    diagnosis = rank(trace, trace.roots[0])
    found = [each.candidate for each in diagnosis.candidates]
    fixes: dict[str, Defects] = {defect: frozenset({defect}) for defect in program.defects}
    if len(fixes) > 1:
        fixes["all of them"] = program.defects
    return [
        Checked(
            seed=seed,
            fix=fix,
            slow_ns=diagnosis.wall_ns,
            # What nothing was reported of is predicted to gain nothing.
            predicted=predict(diagnosis.schedule, _of(found, mended)),
            measured_ns=_wall(_middle(program, program.defects - mended)),
        )
        for fix, mended in fixes.items()
    ]


def _of(found: list[Candidate], mended: Defects) -> list[Candidate]:
    return [each for each in found if each.kind in {str(defect) for defect in mended}]


def _wall(trace: SpanTable) -> int:
    return int(trace.duration[trace.roots[0]])


def _middle(program: Program, defects: Defects) -> SpanTable:
    """The trace of the middle one of three runs by duration."""
    traces = [_quiet(program, defects) for _ in range(RUNS)]
    return sorted(traces, key=_wall)[RUNS // 2]


def _holds(each: Checked) -> bool:
    return each.inside and abs(each.error) <= WORST


def _quiet(program: Program, defects: Defects) -> SpanTable:
    """The trace of a run during which the machine left the event loop alone, or of the last try."""
    for _ in range(THROWN_AWAY):
        trace = trace_of(program, defects)
        lag = trace.number(trace.roots[0], semconv.LOOP_LAG_MAX_MS)
        if Defect.BLOCKING in defects or (lag is not None and lag <= LAG_MS):
            break
    return trace


@pytest.fixture(scope="module")
def workers() -> Iterator[ProcessPoolExecutor]:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([checked.__module__])  # imported once, not in each of them
    with ProcessPoolExecutor(8, mp_context=context) as pool:
        yield pool


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    "seeds", [A_PROGRAM_OF_EACH_KIND, pytest.param(SEEDS, marks=pytest.mark.full)]
)
def test_what_was_predicted_comes_true(workers: ProcessPoolExecutor, seeds: range) -> None:
    found = dict(zip(seeds, workers.map(checked, seeds), strict=True))
    # A busy machine disturbs now and then: a program that missed is run again, alone.
    for seed in seeds:
        for _ in range(AGAIN):
            if not all(map(_holds, found[seed])):
                found[seed] = workers.submit(checked, seed).result()
    every = [each for made in found.values() for each in made]
    off = sorted(abs(each.error) for each in every)
    listed = "\n".join(str(each) for each in sorted(every, key=lambda each: -abs(each.error))[:8])
    gained = [each for each in every if each.measured_ns < 0.98 * each.slow_ns]
    print(f"{len(every)} fixes: median error {median(off):.2%}, worst {off[-1]:.2%}\n{listed}")
    assert len(every) >= LEAST_FIXES * len(seeds) // len(SEEDS)
    assert len(gained) > len(every) / 2, "the fixes have to be worth predicting"
    assert median(off) <= MEDIAN, listed
    assert off[-1] <= WORST, listed
    assert all(each.inside for each in every), listed


def test_a_program_that_is_not_mended_contradicts_its_prediction() -> None:
    """The same comparison, of a fix that was not made: it has to fail."""
    program = draw(1)
    trace = trace_of(program, program.defects)
    diagnosis = rank(trace, trace.roots[0])
    found = [each.candidate for each in diagnosis.candidates]
    again = trace_of(program, program.defects)
    missed = Checked(
        1,
        "none",
        diagnosis.wall_ns,
        predict(diagnosis.schedule, _of(found, program.defects)),
        _wall(again),
    )
    assert missed.error < -0.05
