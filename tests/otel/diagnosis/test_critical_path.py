import time
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from tests.otel.diagnosis.traces import BEGIN, MS, Drawn, drawn, random_traces, row
from trading_graph.graph.gate_loader import own_gate
from trading_graph.otel.diagnosis import (
    Diagnosis,
    FindingKind,
    Schedule,
    by_class,
    call_tree,
    critical_path,
    diagnose,
)
from trading_graph.otel.sources import read
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
@settings(max_examples=examples(400))
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
@settings(max_examples=examples(50))
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


def named(root: Drawn, unit: int = 1) -> dict[str, int]:
    """Time on the path by name, in the unit of the drawing times `unit`."""

    def scaled(span: Drawn) -> Drawn:
        name, start, end, below = span
        return name, start * unit, end * unit, [scaled(each) for each in below]

    trace = drawn(scaled(root))
    path = critical_path(call_tree(trace, trace.roots[0]))
    return {name: took // unit for name, took in path.by_name.items()}


@pytest.mark.parametrize("unit", [1, 1000, 10**6])
def test_siblings_that_overlap_by_one_in_a_thousand_all_lie_on_the_path(unit: int) -> None:
    overlapping: list[Drawn] = [
        (f"call {n}", 1000 * n, 1000 * (n + 1) + (n < 9), []) for n in range(10)
    ]
    found = named(("run", 0, 10_000, overlapping), unit)
    assert found == {f"call {n}": 1000 * MS for n in range(10)}


def test_what_overlaps_by_more_than_a_twentieth_ran_beside_it() -> None:
    def run(overlap: int) -> Drawn:
        return ("run", 0, 2000, [("a", 0, 1000 + overlap, []), ("b", 1000, 2000, [])])

    assert named(run(50)) == {"b": 1000 * MS, "a": 1000 * MS}
    assert named(run(60)) == {"b": 1000 * MS, "run": 1000 * MS}


def test_a_short_sibling_does_not_follow_what_it_overlaps_as_a_whole() -> None:
    """In the last 5 % of `long` starts a short call, and then what did follow `long`."""
    run: Drawn = (
        "run",
        0,
        2000,
        [("long", 0, 1010, []), ("short", 970, 980, []), ("next", 1000, 2000, [])],
    )
    assert named(run) == {"long": 1000 * MS, "next": 1000 * MS}


def test_what_is_below_a_span_that_is_cut_off_is_cut_off_with_it() -> None:
    run: Drawn = (
        "run",
        0,
        200,
        [("a", 0, 101, [("inner", 10, 101, [])]), ("b", 100, 200, [])],
    )
    assert named(run) == {"a": 10 * MS, "inner": 90 * MS, "b": 100 * MS}


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        (
            "C_crisp_case10",
            {"[S1] O1": 402_000, "[S2] O2": 199_000, "[S3] O3": 99_000, "[S4] O4": 300_000},
        ),
        ("B_jaeger_test6_x1000", {"span-A": 14 * MS, "span-B": 5 * MS, "span-C": 10 * MS}),
        (
            "false_overflow_gap_no_time_left",
            {"A": 14_000 * MS, "B": 5_000 * MS, "C": 10_000 * MS},
        ),
        ("false_stream_outlives_root", {"chat m": 2950 * MS, "POST /chat": 50 * MS}),
    ],
)
def test_published_and_reported_paths(case: str, expected: dict[str, int]) -> None:
    trace = recorded(case)
    assert critical_path(call_tree(trace, trace.roots[0])).by_name == expected


def recorded(case: str) -> SpanTable:
    (trace,) = read(Path(__file__).parents[2] / "recorded" / "cases" / f"{case}.json")
    return trace


def test_serial_agents_that_overlap_by_a_microsecond_are_all_on_the_path() -> None:
    trace = recorded("f06c_us_overlap_agents")
    path = critical_path(call_tree(trace, trace.roots[0]))
    in_agents = [path.total_ns[row(trace, f"agent{n}")] for n in range(4)]
    assert in_agents == [1000 * MS] * 4


def test_time_before_a_tool_that_starts_while_its_model_streams_is_the_models() -> None:
    trace = recorded("f09_streaming_tool_overlap")
    path = critical_path(call_tree(trace, trace.roots[0]))
    assert path.by_name["chat"] == (780 + 975) * MS
    assert path.by_name["execute_tool lookup"] == 1200 * MS
    assert sum(path.by_name.values()) == trace.duration[0]


def sentences(case: str) -> list[str]:
    found = diagnose(recorded(case), own_gate())
    assert isinstance(found, Diagnosis)
    return [finding.evidence for finding in found.findings]


def test_nothing_ran_is_said_only_where_nothing_ran() -> None:
    assert not sentences("f09_streaming_tool_overlap")
    assert "Nothing that was recorded ran for 1.380 s between publish job and process job." in (
        sentences("f03b_consumer_child_of_producer")
    )
    assert "ran for 29" not in " ".join(sentences("false_overflow_gap_no_time_left"))


def test_a_pause_during_which_a_detached_task_ran_is_no_gap() -> None:
    """The task hangs below another call, and is off the path: yet it ran."""

    def gaps(task: Drawn) -> list[str]:
        trace = drawn(("run", 0, 1000, [("a", 0, 100, [task]), ("b", 900, 1000, [])]))
        found = diagnose(trace, own_gate())
        assert isinstance(found, Diagnosis)
        return [each.evidence for each in found.findings]

    assert gaps(("task", 1, 5000, [])) == []
    assert gaps(("task", 1, 99, [("late", 2, 5000, [])])) == []
    (whole,) = gaps(("task", 1, 99, []))
    assert whole == "Nothing that was recorded ran for 0.800 s between a and b."


def test_only_the_idle_part_of_a_pause_can_be_closed() -> None:
    """Below a task that nobody waits for, a job runs in the first half of the pause."""
    task: Drawn = ("task", -300, -1, [("job", 100, 500, [])])
    trace = drawn(("run", 0, 1000, [("call", 0, 100, [task]), ("b", 900, 1000, [])]))
    found = diagnose(trace, own_gate())
    assert isinstance(found, Diagnosis)
    gaps = [each for each in found.findings if each.kind is FindingKind.GAP]
    (gap,) = [each for each in gaps if "between call and b" in each.evidence]
    assert gap.evidence == (
        "Nothing that was recorded ran for 0.400 s of the 0.800 s between call and b."
    )
    assert gap.wall.likely_s == pytest.approx(0.6)


def test_time_to_first_token_and_generation_are_two_classes_where_recorded() -> None:
    chat = {"gen_ai.operation.name": "chat"}
    first = {**chat, "gen_ai.response.time_to_first_chunk": 0.3}
    milliseconds = {**chat, "ai.response.msToFirstChunk": 200}

    def classes(attributes: dict[str, object]) -> dict[str, int]:
        trace = drawn(("run", 0, 2000, [("chat", 500, 1500, [])]), attributes)
        schedule = Schedule(call_tree(trace, trace.roots[0]))
        return {str(kind): took // MS for kind, took in by_class(schedule).items() if took}

    assert classes({**chat}) == {"LLM": 1000, "orchestration": 1000}
    assert classes(first) == {
        "time to first token": 300,
        "generation": 700,
        "orchestration": 1000,
    }
    assert classes(milliseconds)["time to first token"] == 200
    waited = {**first, "trading.queue_wait_ms": 100.0}
    assert classes(waited) == {
        "waiting": 100,
        "time to first token": 200,
        "generation": 700,
        "orchestration": 1000,
    }
