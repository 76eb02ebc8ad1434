"""Children that stick out of their parents: late, detached, hung elsewhere; in any unit of time."""

import json
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from tests.otel.diagnosis.traces import Drawn, drawn, random_traces, row
from trading_graph.graph.gate_loader import own_gate
from trading_graph.otel.diagnosis import Diagnosis, call_tree, critical_path, diagnose
from trading_graph.otel.sources.trace_files import parse
from trading_graph.otel.trace import SpanTable

UNITS = {"us": 1, "ms": 1_000, "s": 1_000_000}

Jaegers = tuple[str, str, int, int]
"""Name, reference to the parent (empty for the root), start and duration."""

CHILD, FOLLOWS = "CHILD_OF", "FOLLOWS_FROM"

PUBLISHED: dict[int, tuple[Sequence[Jaegers], dict[str, int]]] = {
    1: (
        [("C", "", 1, 100), ("D", "CHILD_OF C", 20, 20), ("E", "CHILD_OF C", 50, 10)],
        {"C": 70, "D": 20, "E": 10},
    ),
    2: (
        [("X", "", 1, 100), ("A", "CHILD_OF X", 10, 40), ("C", "CHILD_OF X", 20, 40)],
        {"X": 60, "C": 40},
    ),
    3: ([("A", "", 100, 40), ("B", "CHILD_OF A", 150, 60)], {"A": 40}),
    4: (
        [("A", "", 1, 30), ("B", "CHILD_OF A", 40, 40), ("C", "CHILD_OF B", 50, 10)],
        {"A": 30},
    ),
    5: ([("A", "", 1, 30), ("B", "FOLLOWS_FROM A", 10, 10)], {"A": 30}),
    6: (
        [("A", "", 1, 29), ("B", "CHILD_OF A", 15, 20), ("C", "CHILD_OF B", 10, 15)],
        {"A": 14, "C": 10, "B": 5},
    ),
    7: (
        [("A", "", 1, 29), ("B", "CHILD_OF A", 15, 20), ("C", "CHILD_OF B", 20, 20)],
        {"A": 14, "B": 5, "C": 10},
    ),
    8: ([("A", "", 10, 20), ("B", "CHILD_OF A", 5, 30)], {"B": 20}),
    9: ([("A", "", 10, 20), ("B", "CHILD_OF A", 1, 4)], {"A": 20}),
}
"""The nine tests of the critical path in Jaeger's user interface, and what they publish."""


def jaegers(spans: Sequence[Jaegers], unit_us: int) -> SpanTable:
    """A trace as Jaeger's page downloads it."""
    trace_id = "5" * 32
    written = []
    for name, reference, start, duration in spans:
        kind, _, parent = reference.partition(" ")
        references = [{"refType": kind, "traceID": trace_id, "spanID": parent}] if parent else []
        written.append(
            {
                "traceID": trace_id,
                "spanID": name,
                "operationName": name,
                "references": references,
                "startTime": 1_700_000_000_000_000 + start * unit_us,
                "duration": duration * unit_us,
                "processID": "p1",
            }
        )
    trace = {"spans": written, "processes": {"p1": {"serviceName": "one"}}}
    (table,) = parse(json.dumps({"data": [trace]}).encode(), "Jaeger")
    return table


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("number", PUBLISHED)
def test_jaegers_published_paths_come_out_in_any_unit(number: int, unit: str) -> None:
    spans, published = PUBLISHED[number]
    trace = jaegers(spans, UNITS[unit])
    found = critical_path(call_tree(trace, trace.roots[0])).by_name
    assert found == {name: took * UNITS[unit] * 1000 for name, took in published.items()}


def on_path(root: Drawn) -> dict[str, int]:
    """Milliseconds on the path by name."""
    trace = drawn(root)
    path = critical_path(call_tree(trace, trace.roots[0]))
    return {name: took // 10**6 for name, took in path.by_name.items()}


def test_a_task_hangs_on_the_nearest_ancestor_that_contains_it() -> None:
    task: Drawn = ("task", 15, 90, [])
    run: Drawn = ("run", 0, 100, [("agent", 5, 95, [("call", 10, 20, [task])])])
    assert on_path(run) == {"task": 75, "run": 10, "agent": 15}


def test_a_task_that_outlives_the_run_by_more_than_half_is_off_the_path() -> None:
    assert on_path(("run", 0, 100, [("call", 10, 20, [("task", 15, 300, [])])])) == {
        "run": 90,
        "call": 10,
    }


def test_what_is_below_a_task_that_hangs_elsewhere_goes_with_it() -> None:
    below: Drawn = ("fetch", 30, 80, [])
    found = on_path(("run", 0, 100, [("call", 10, 20, [("task", 15, 90, [below])])]))
    assert found == {"fetch": 50, "task": 25, "run": 25}


def test_a_child_that_began_before_its_parent_was_not_left_behind() -> None:
    found = on_path(("run", 0, 100, [("call", 50, 60, [("inner", 0, 58, [])])]))
    assert found == {"run": 90, "inner": 8, "call": 2}


@pytest.mark.parametrize("unit", [1, 1000, 10**6])
def test_no_unit_changes_what_is_late(unit: int) -> None:
    run: Drawn = ("run", 0, 100, [("stream", 10, 130, [])])

    def scaled(span: Drawn) -> Drawn:
        name, start, end, below = span
        return name, start * unit, end * unit, [scaled(each) for each in below]

    assert on_path(scaled(run)) == {"stream": 90 * unit, "run": 10 * unit}


def test_near_the_limit_both_readings_are_said() -> None:
    def notes(end: int) -> tuple[str, ...]:
        trace = drawn(("run", 0, 200, [("call", 0, 100, [("task", 0, end, [])])]))
        found = diagnose(trace, own_gate())
        assert isinstance(found, Diagnosis)
        return found.notes

    (note,) = notes(190)  # 53 % inside
    assert "'task'" in note
    assert "0.100 s" in note, "as a late child it is cut off at its parent"
    assert "0.190 s" in note, "as a task it runs on"
    assert notes(130) == ()


def test_branches_that_a_limit_holds_may_have_calls_that_they_did_not_wait_for() -> None:
    """Such a call hangs above its branch: what is said of the limit is about the other calls."""
    detached: list[Drawn] = [("call", 14, 21, []), ("call", 16, 16, [])]
    branches: list[Drawn] = [
        ("branch", 18, 20, detached),
        ("branch", 18, 23, [("call", 18, 18, [])]),
        ("branch", 18, 20, [("call", 16, 20, [])]),
    ]
    trace = drawn(("run", 0, 40, branches))
    assert 0 in [call_tree(trace, 0).parents[at] for at in trace.rows("call")]
    assert isinstance(diagnose(trace, own_gate(), 1.0), Diagnosis)


@given(random_traces(), st.sampled_from([0.4, 0.5, 0.6]))
@settings(max_examples=examples(300))
def test_what_was_waited_for_lies_inside_its_parent(trace: SpanTable, share: float) -> None:
    tree = call_tree(trace, trace.roots[0], share)
    for at in tree.rows[1:]:
        parent = tree.parents[at]
        assert at in tree.children(parent)
        if tree.waited_for[at]:
            assert tree.start[parent] <= tree.start[at] <= tree.end[at] <= tree.end[parent]
        else:
            assert (tree.start[at], tree.end[at]) == trace.intervals[at]
    assert sorted(tree.rows) == sorted(
        [tree.run, *(child for at in tree.rows for child in tree.children(at))]
    )


def test_a_late_child_is_named_as_cut() -> None:
    trace = drawn(("run", 0, 100, [("stream", 10, 130, [])]))
    assert call_tree(trace, 0).clipped == (row(trace, "stream"),)


@given(random_traces(), st.sampled_from([1000, 10**6]))
@settings(max_examples=examples(100))
def test_other_units_scale_the_path_and_nothing_else(trace: SpanTable, unit: int) -> None:
    start = (trace.start - trace.start[0]) * unit + trace.start[0]
    scaled = trace.with_times(start, (trace.end - trace.start[0]) * unit + trace.start[0])
    here, there = (critical_path(call_tree(each, each.roots[0])) for each in (trace, scaled))
    assert {trace.span_ids[at]: took * unit for at, took in here.self_ns.items()} == {
        scaled.span_ids[at]: took for at, took in there.self_ns.items()
    }
