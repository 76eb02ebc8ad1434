"""Predictions held against reality, for real programs of many shapes.

A program whose parts need each other gets no sure gain. Of all others the likely prediction has to
come true, and the mended program must not be accused of what was mended.
"""

from collections.abc import Sequence
from functools import cache
from statistics import median

import pytest

from tests.otel.diagnosis.shapes import SHAPES, Shape, run_of
from trading_graph.otel.diagnosis import FindingKind, Prediction, Ranking, rank, simulate
from trading_graph.otel.diagnosis.ranking import replay
from trading_graph.otel.trace import SpanTable

pytestmark = pytest.mark.idle

RUNS = 3
THROWN_AWAY = 6
AGAIN = 3
LAG_MS = 15.0
WORST = 0.03
MEDIAN = 0.01

QUICK = (
    "debate_in_rounds",
    "late_branch",
    "semaphore_of_two_inside_agents",
    "two_loops_in_threads",
)


def parameters(shapes: Sequence[Shape]) -> list[object]:
    return [
        pytest.param(each, id=each.name, marks=[] if each.name in QUICK else pytest.mark.full)
        for each in shapes
    ]


def ranked(trace: SpanTable) -> Ranking:
    return rank(trace, trace.roots[0])


def middle(shape: Shape, *, mended: bool) -> SpanTable:
    """The trace of the middle one of three runs that the machine left alone."""

    def quiet() -> SpanTable:
        for _ in range(THROWN_AWAY):
            trace, lag_ms = run_of(shape, mended=mended)
            if lag_ms <= LAG_MS:
                break
        return trace

    traces = [quiet() for _ in range(RUNS)]
    return sorted(traces, key=lambda trace: ranked(trace).wall_ns)[RUNS // 2]


def prediction(shape: Shape, ranking: Ranking) -> Prediction:
    """The time of the mended program as predicted from the slow one."""
    if shape.fixes is not None:
        likely = simulate(ranking.schedule, shape.fixes(ranking.trace)).wall_ns
        return Prediction(likely, likely, likely)
    found = [each.candidate for each in ranking.candidates if each.candidate.kind is shape.kind]
    return replay(ranking.schedule, found).wall


@cache
def error_of(shape: Shape) -> float:
    """How far the likely prediction was off, as a share of what was measured; measured once."""
    error = 1.0
    for _ in range(AGAIN):
        slow, mended = ranked(middle(shape, mended=False)), ranked(middle(shape, mended=True))
        predicted = prediction(shape, slow)
        error = predicted.likely_ns / mended.wall_ns - 1
        inside = predicted.low_ns <= mended.wall_ns <= predicted.high_ns
        if abs(error) <= WORST and (inside or shape.fixes is not None):
            assert mended.wall_ns < 0.97 * slow.wall_ns, "the fix has to be worth predicting"
            break
    return error


@pytest.mark.parametrize("shape", parameters([each for each in SHAPES if each.is_mendable]))
def test_what_was_predicted_comes_true(shape: Shape) -> None:
    assert abs(error_of(shape)) <= WORST


@pytest.mark.full
def test_the_predictions_are_seldom_off() -> None:
    errors = {each.name: error_of(each) for each in SHAPES if each.is_mendable}
    listed = ", ".join(f"{name} {error:+.2%}" for name, error in errors.items())
    print(listed)
    assert median(map(abs, errors.values())) <= MEDIAN, listed


@pytest.mark.parametrize("shape", parameters([each for each in SHAPES if not each.is_sure]))
def test_nothing_sure_is_promised(shape: Shape) -> None:
    trace, _ = run_of(shape, mended=False)
    ranking = ranked(trace)
    assert [c.candidate.kind for c in ranking.candidates if c.wall.high_ns < ranking.wall_ns] == []
    if shape.kind is None:
        assert [c for c in ranking.candidates if not c.candidate.only_if] == []
    else:
        assert shape.kind in [each.candidate.kind for each in ranking.candidates]


@pytest.mark.parametrize("shape", parameters([each for each in SHAPES if each.is_mendable]))
def test_a_mended_program_is_not_accused(shape: Shape) -> None:
    trace, _ = run_of(shape, mended=True)
    kinds = [each.candidate.kind for each in ranked(trace).candidates]
    assert shape.kind not in kinds
    assert set(kinds).isdisjoint((FindingKind.LIMIT, FindingKind.LATE_BRANCH, FindingKind.BARRIER))
