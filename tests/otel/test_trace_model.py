"""The columnar model and the concurrency profile."""

import gc
import random
import subprocess
import sys

import numpy as np
import pytest

from trading_graph.otel.gc_pause import MANY, pause_collection
from trading_graph.otel.trace import (
    ORPHAN,
    ROOT,
    Profile,
    SpanTable,
    SpanValues,
    TraceBuilder,
    profile,
)


def make(*spans: tuple[str, str, int, int]) -> SpanTable:
    """A trace of (id, parent id, start, end)."""
    builder = TraceBuilder("t")
    for span_id, parent, start, end in spans:
        builder.add(SpanValues(span_id, parent, span_id, 1, start, end, 0, dict))
    return builder.build()


def test_rows_are_in_order_of_start_and_parents_are_rows() -> None:
    trace = make(("c", "r", 5, 6), ("r", "", 0, 9), ("o", "gone", 7, 8), ("b", "r", 1, 4))
    assert trace.span_ids == ("r", "b", "c", "o")
    assert list(trace.parent) == [ROOT, 0, 0, ORPHAN]
    assert (trace.roots, trace.orphans) == ([0], [3])
    assert trace.children(0) == [1, 2]
    assert list(trace.subtree(0)) == [0, 1, 2]
    assert trace.leaves(0) == [1, 2]


def test_a_parent_that_starts_with_its_child_comes_first() -> None:
    """Clocks are coarse: equal starts are ordered by the longer span."""
    trace = make(("child", "parent", 3, 4), ("parent", "", 3, 9))
    assert trace.span_ids == ("parent", "child")


def test_a_span_that_comes_twice_counts_once() -> None:
    assert len(make(("a", "", 0, 1), ("a", "", 0, 1))) == 1


@pytest.mark.parametrize(
    ("intervals", "expected"),
    [
        ([], Profile(0, 0, 0, 0, 0)),
        ([(0, 10)], Profile(1, 1, 10, 10, 10)),
        ([(0, 10), (10, 20)], Profile(2, 1, 20, 20, 20)),
        ([(0, 10), (0, 10)], Profile(2, 2, 10, 20, 0)),
        ([(0, 10), (5, 15)], Profile(2, 2, 15, 20, 10)),
        ([(0, 10), (20, 30)], Profile(2, 1, 20, 20, 20)),
        ([(5, 5)], Profile(1, 0, 0, 0, 0)),
    ],
)
def test_profile(intervals: list[tuple[int, int]], expected: Profile) -> None:
    trace = make(*((f"s{i}", "", start, end) for i, (start, end) in enumerate(intervals)))
    assert profile(trace, range(len(trace))) == expected


def test_the_profile_agrees_with_counting_instant_by_instant() -> None:
    generator = random.Random(7)
    for _ in range(50):
        intervals = []
        for _ in range(generator.randint(1, 12)):
            start = generator.randint(0, 40)
            intervals.append((start, start + generator.randint(0, 15)))
        trace = make(*((f"s{i}", "", *interval) for i, interval in enumerate(intervals)))
        levels = [sum(start <= at < end for start, end in intervals) for at in range(60)]
        found = profile(trace, range(len(trace)))
        assert found.peak == max(levels)
        assert found.busy_ns == sum(level > 0 for level in levels)
        assert found.work_ns == sum(levels) == sum(end - start for start, end in intervals)
        assert found.serial_ns == sum(level == 1 for level in levels)


def test_a_deep_chain_does_not_overflow_the_stack() -> None:
    deep = 50_000
    trace = make(*((f"s{i}", f"s{i - 1}" if i else "", i, 10**9) for i in range(deep)))
    assert len(list(trace.subtree(0))) == deep
    assert trace.leaves(0) == [deep - 1]


def test_collection_goes_on_after_a_pause_also_where_it_was_left_by_an_error() -> None:
    def pause() -> None:
        with pause_collection():
            with pause_collection():
                pass
            assert not gc.isenabled(), "the inner pause does not end the outer one"
            raise ValueError("left")

    assert gc.isenabled()
    with pytest.raises(ValueError, match="left"):
        pause()
    assert gc.isenabled()


@pytest.mark.parametrize(("count", "is_walked"), [(MANY + 10_000, False), (MANY // 10, True)])
def test_many_objects_made_in_a_pause_are_not_walked_after_it(count: int, is_walked: bool) -> None:
    program = f"""
import gc
from trading_graph.otel.gc_pause import MANY, pause_collection
gc.collect()
seen = []
gc.callbacks.append(lambda phase, info: seen.append(phase))
with pause_collection():
    made = [[] for _ in range({count})]
more = [[] for _ in range(gc.get_threshold()[0] // 2)]
print("start" in seen, gc.isenabled())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [str(is_walked), "True"]


def test_idle_time_is_that_in_which_nothing_ran() -> None:
    generator = random.Random(11)
    for _ in range(60):
        spans = []
        for number in range(generator.randint(1, 10)):
            start = generator.randint(0, 40)
            spans.append((f"s{number}", "", start, start + generator.randint(-2, 12)))
        trace = make(*spans)
        low = generator.randint(0, 40)
        high = low + generator.randint(0, 20)
        besides = [row for row in range(len(trace)) if generator.random() < 0.3]
        expected = sum(
            all(
                row in besides or not start <= at < end
                for row, (start, end) in enumerate(trace.intervals)
            )
            for at in range(low, high)
        )
        assert trace.idle_ns(low, high, besides) == expected


def test_other_times_put_spans_into_another_order() -> None:
    trace = make(("r", "", 0, 9), ("b", "r", 1, 4), ("c", "r", 5, 6))
    by = np.array([0, 6, 0])
    moved = trace.with_times(trace.start + by, trace.end + by)
    assert moved.span_ids == ("r", "c", "b")
    assert moved.intervals == [(0, 9), (5, 6), (7, 10)]
    assert list(moved.parent) == [ROOT, 0, 0]
    assert moved.children(0) == [1, 2]
