import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.otel.diagnosis.traces import BEGIN, MS, Drawn, drawn, random_traces, row
from trading_graph.otel.diagnosis import Schedule, by_class, call_tree, critical_path
from trading_graph.otel.trace import Link, SpanTable, SpanValues, TraceBuilder


def spent(root: Drawn) -> dict[str, int]:
    """Milliseconds on the path by name."""
    trace = drawn(root)
    path = critical_path(call_tree(trace, trace.roots[0]))
    return {name: took // MS for name, took in path.by_name.items()}


def test_the_last_to_end_is_what_was_waited_for() -> None:
    found = spent(("run", 0, 100, [("fast", 10, 40, []), ("slow", 10, 80, [])]))
    assert found == {"slow": 70, "run": 30}


def test_siblings_that_touch_are_all_on_the_path() -> None:
    """Jaeger's own critical path asks for a gap between them, and drops every other one."""
    touching: list[Drawn] = [(f"call {n}", n, n + 1, []) for n in range(1000)]
    found = spent(("run", 0, 1000, touching))
    assert len(found) == 1000
    assert "run" not in found


def test_a_child_that_ends_late_is_cut_off_at_its_parent() -> None:
    trace = drawn(("run", 0, 100, [("child", 10, 101, [])]))
    tree = call_tree(trace, trace.roots[0])
    assert critical_path(tree).by_name == {"child": 90 * MS, "run": 10 * MS}
    assert tree.clipped == (row(trace, "child"),)


def test_a_detached_task_is_not_what_its_parent_waited_for() -> None:
    found = spent(("run", 0, 100, [("job", 0, 50, [("task", 10, 400, [])]), ("b", 50, 90, [])]))
    assert found == {"job": 50, "b": 40, "run": 10}


def test_a_child_outside_its_parent_is_off_the_path() -> None:
    assert spent(("run", 0, 100, [("late", 150, 200, [])])) == {"run": 100}


def test_a_link_to_a_sibling_says_what_was_waited_for() -> None:
    """Flat siblings of gather(first then third, second): by times alone second is blamed."""
    builder = TraceBuilder("0" * 32)

    def add(number: int, name: str, start: int, end: int, after: int = 0) -> None:
        links = [Link("0" * 32, f"{after:016x}", {})] if after else []
        builder.add(
            SpanValues(
                f"{number:016x}",
                "" if number == 1 else f"{1:016x}",
                name,
                1,
                BEGIN + start * MS,
                BEGIN + end * MS,
                0,
                dict,
                links=lambda: links,
            )
        )

    add(1, "run", 0, 100)
    add(2, "first", 0, 48)
    add(3, "second", 0, 50)
    add(4, "third", 50, 100, after=2)
    trace = builder.build()
    tree = call_tree(trace, 0)
    assert critical_path(tree).by_name == {"second": 50 * MS, "third": 50 * MS}
    path = Schedule(tree).path
    assert path.by_name == {"third": 50 * MS, "first": 48 * MS, "run": 2 * MS}


@given(random_traces())
@settings(max_examples=400, deadline=None)
def test_the_path_partitions_the_run(trace: SpanTable) -> None:
    (run,) = trace.roots
    schedule = Schedule(call_tree(trace, run))
    segments = schedule.path.segments
    assert segments[0].start_ns == trace.start[run]
    assert segments[-1].end_ns == trace.end[run]
    for before, after in pairwise(segments):
        assert before.end_ns == after.start_ns
    assert all(segment.duration_ns > 0 for segment in segments)
    assert sum(schedule.path.self_ns.values()) == schedule.tree.wall_ns
    assert schedule.path.total_ns[run] == schedule.tree.wall_ns
    assert sum(by_class(schedule).values()) == schedule.tree.wall_ns


@given(random_traces(), st.integers(-(10**9), 10**9))
@settings(max_examples=50, deadline=None)
def test_moving_a_trace_in_time_moves_its_path(trace: SpanTable, by: int) -> None:
    moved = TraceBuilder(trace.trace_id)
    for at, span_id in enumerate(trace.span_ids):
        parent = trace.parent[at]
        moved.add(
            SpanValues(
                span_id,
                "" if parent < 0 else trace.span_ids[parent],
                trace.names[at],
                int(trace.kind[at]),
                int(trace.start[at]) + by,
                int(trace.end[at]) + by,
                0,
                dict,
            )
        )
    then = moved.build()
    here, there = (critical_path(call_tree(each, each.roots[0])) for each in (trace, then))
    assert {trace.span_ids[r]: ns for r, ns in here.self_ns.items()} == {
        then.span_ids[r]: ns for r, ns in there.self_ns.items()
    }


@pytest.mark.parametrize("shape", ["deep", "wide", "touching"])
def test_size_neither_overflows_nor_goes_quadratic(shape: str) -> None:
    def took(count: int) -> float:
        builder = TraceBuilder("0" * 32)
        for n in range(count):
            start, end, parent = {
                "deep": (n, 2 * count - n, n - 1),
                "wide": (n and 1, 2 * count if n == 0 else count + n, 0 if n else -1),
                "touching": (n, count if n == 0 else n + 1, 0 if n else -1),
            }[shape]
            parent_id = "" if parent < 0 else f"{parent:016x}"
            builder.add(
                SpanValues(f"{n:016x}", parent_id, "x", 1, start + BEGIN, end + BEGIN, 0, dict)
            )
        trace = builder.build()
        begin = time.thread_time()
        path = Schedule(call_tree(trace, 0)).path
        assert sum(segment.duration_ns for segment in path.segments) == trace.duration[0]
        return time.thread_time() - begin

    small = max(took(10_000), 0.01)
    assert took(100_000) < 40 * small  # linear is 10, quadratic 100
