"""What moved between runs: properties of every comparison."""

import random
import time
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from tests.otel.diagnosis.compared import compared
from tests.otel.diagnosis.traces import BEGIN, MS, Drawn, drawn, random_traces
from trading_graph.otel.diagnosis import Run, compare
from trading_graph.otel.diagnosis.compare import median_deviation, median_difference
from trading_graph.otel.trace import Attributes, SpanTable, SpanValues, TraceBuilder


@given(random_traces(), random_traces())
def test_the_difference_is_divided_without_a_remainder(base: SpanTable, new: SpanTable) -> None:
    found = compare([Run.at(base, base.roots[0])], [Run.at(new, new.roots[0])])
    if found is not None:
        walls = [int(trace.duration[trace.roots[0]]) for trace in (base, new)]
        assert sum(each.delta_ns for each in found.moved) == walls[1] - walls[0]
        assert found.change.delta_ns == walls[1] - walls[0]


@given(st.lists(random_traces(), min_size=2, max_size=6), st.integers(1, 5))
@settings(max_examples=examples(50))
def test_of_sets_too(traces: list[SpanTable], cut: int) -> None:
    runs = [Run.at(trace, trace.roots[0]) for trace in traces]
    cut = min(cut, len(runs) - 1)
    found = compare(runs[:cut], runs[cut:])
    if found is not None:
        assert sum(each.delta_ns for each in found.moved) == found.change.delta_ns


@given(random_traces())
def test_a_trace_against_itself_shows_nothing(trace: SpanTable) -> None:
    run = Run.at(trace, trace.roots[0])
    found = compare([run], [run], tolerance=0.0)
    assert found is not None
    assert found.passed
    assert not found.moved
    assert not found.improvements
    assert not any(path.changed for path in found.paths)


@given(random_traces(), random_traces())
def test_changing_sides_negates(base: SpanTable, new: SpanTable) -> None:
    there = compare([Run.at(base, base.roots[0])], [Run.at(new, new.roots[0])])
    back = compare([Run.at(new, new.roots[0])], [Run.at(base, base.roots[0])])
    if there is None or back is None:
        assert there is back
        return
    assert there.change.delta_ns == -back.change.delta_ns
    assert {each.place: each.delta_ns for each in there.moved} == {
        each.place: -each.delta_ns for each in back.moved
    }
    assert {each.place for each in there.regressions} == {each.place for each in back.improvements}
    assert {p.path: (p.base, p.new) for p in there.paths} == {
        p.path: (p.new, p.base) for p in back.paths
    }


# What the runs worked on


def of(symbol: str | None, service: str = "analyst") -> SpanTable:
    builder = TraceBuilder(f"{len(symbol or '') + 1:032x}")
    attributes: Attributes = {} if symbol is None else {"trading.symbol": symbol}
    resource: Attributes = {"service.name": service}
    times = BEGIN, BEGIN + 100 * MS
    span = SpanValues("1" * 16, "", "run", 1, *times, 0, lambda: attributes, resource=resource)
    builder.add(span)
    return builder.build()


def test_a_note_says_that_the_sides_worked_on_different_things() -> None:
    (note,) = compared([of("NVDA")], [of("AAPL")]).notes
    assert "symbol is not the same: NVDA before, AAPL now" in note
    (note,) = compared([of("NVDA")], [of("NVDA", "other\x1b[2J")]).notes
    assert "service" in note
    assert note.isprintable()
    for before, after in (("NVDA", "NVDA"), (None, "NVDA"), ("NVDA", None)):
        assert compared([of(before)], [of(after)]).notes == ()
    mixed = compared([of("NVDA"), of("AAPL")], [of("AAPL"), of("NVDA")])
    assert not any("symbol" in each for each in mixed.notes)


# Which span is which


def test_deep_traces_have_short_names() -> None:
    deep: Drawn = ("leaf", 0, 100, [])
    for n in range(300):
        deep = (f"level {n % 7}", 0, 100, [deep])
    trace = drawn(("run", 0, 100, [deep]))
    found = compared([trace], [trace])
    assert max(len(path.path) for path in found.paths) < 100
    assert any("…" in path.path for path in found.paths)


@pytest.mark.parametrize("shape", ["deep", "wide"])
def test_no_shape_takes_more_than_its_share(shape: str) -> None:
    def seconds(count: int) -> float:
        trace = shaped(shape, count)
        begin = time.thread_time()
        compared([trace], [trace])
        return time.thread_time() - begin

    seconds(100)
    small = max(seconds(2_000), 0.01)
    assert seconds(20_000) < 40 * small, "linear is 10, quadratic 100"


def shaped(shape: str, count: int) -> SpanTable:
    """A chain of spans, or siblings that all ask for what another asks for."""
    builder = TraceBuilder("0" * 31 + "3")
    for n in range(1, count + 1):
        deep = shape == "deep"
        above, start = (n - 1, n) if deep else (min(n - 1, 1), n)
        end = 2 * count + (-n if deep else n - count if n > 1 else 1)
        asked: Attributes = {"trading.fetch.key": str(n // 2), "trading.operation": "fetch"}
        builder.add(
            SpanValues(
                f"{n:016x}",
                f"{above:016x}" if above else "",
                f"fetch {n // 2}" if n > 1 else "run",
                1,
                BEGIN + start * MS,
                BEGIN + end * MS,
                0,
                partial(dict, asked if n > 1 else {}),
            )
        )
    return builder.build()


# Statistics


def walls(*milliseconds: int) -> list[SpanTable]:
    return [drawn(("run", 0, wall, [("call", 0, wall, [])])) for wall in milliseconds]


def test_a_single_run_is_measured_by_the_tolerance_alone() -> None:
    assert compared(walls(1000), walls(1049)).passed
    assert not compared(walls(1000), walls(1051)).passed
    assert compared(walls(1000), walls(1051), tolerance=0.06).passed
    assert not compared(walls(1000), walls(1001), tolerance=0.0).passed


def test_sets_need_the_whole_interval_beyond_the_tolerance() -> None:
    base = walls(1000, 1004, 998, 1002, 996, 1001, 999)
    slower = compared(base, walls(1200, 1205, 1198, 1201, 1199, 1203, 1202))
    assert slower.change.regressed
    assert slower.change.low_ns <= slower.change.delta_ns <= slower.change.high_ns
    scattered = compared(base, walls(1100, 900, 1150, 950, 1200, 1000, 1080))
    assert scattered.change.delta_ns > scattered.change.tolerance_ns
    assert not scattered.change.regressed


def test_a_restless_baseline_is_given_more_room() -> None:
    restless = compared(walls(1000, 900, 1100, 1050, 950), walls(*[1120] * 5))
    assert restless.change.tolerance_ns == pytest.approx(3 * 50 * MS)
    assert restless.passed
    assert not compared(walls(*[1000] * 5), walls(*[1120] * 5)).passed


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    """Of two samples of one distribution; medians of seven are coarse, so not to the per cent."""
    draw = random.Random(7)
    trials = 100
    held = 0
    for _ in range(trials):
        one, other = ([int(draw.gauss(1e9, 5e7)) for _ in range(7)] for _ in range(2))
        low, high = median_difference(one, other)
        held += low <= 0 <= high
        back = median_difference(other, one)
        assert back == pytest.approx((-high, -low))
        assert median_difference(sorted(one), other) == (low, high)
    assert held / trials >= 0.93


def test_median_deviation() -> None:
    assert median_deviation([1, 2, 3, 4, 100]) == 1
    assert median_deviation([5]) == 0
