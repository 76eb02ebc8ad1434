"""The run as it is judged: up to the end of its work, and said."""

from pathlib import Path

import pytest

from tests.otel.diagnosis.traces import Drawn, drawn
from trading_graph.graph.gate_loader import own_gate
from trading_graph.otel.diagnosis import Diagnosis, diagnose
from trading_graph.otel.report.documents.verdict import verdict_document
from trading_graph.otel.report.verdict import as_markdown
from trading_graph.otel.sources import read
from trading_graph.otel.verdict import judge, run_view

CASES = Path(__file__).parents[2] / "recorded" / "cases"


def test_a_root_that_ends_before_its_work_is_measured_to_the_last_end() -> None:
    (trace,) = read(CASES / "false_root_ends_before_work.json")
    verdict = judge(trace, own_gate())
    assert verdict.run is not None
    assert verdict.run.duration_s == 7.0
    assert [each.measured for each in verdict.checks if "less than" in each.title] == ["7.000 s"]
    (note,) = verdict.notes
    assert "ends after 0.002 s" in note
    assert "the last end, 7 s" in note
    assert note in as_markdown(verdict).replace("\\", "")
    assert verdict_document(verdict).notes == (note,)
    found = diagnose(trace, own_gate())
    assert isinstance(found, Diagnosis)
    assert found.wall_s == 7.0
    assert found.notes == (note,)
    assert found.by_name["llm.chat"] == pytest.approx(4.8)


@pytest.mark.parametrize("unit", [1, 1000, 10**6])
@pytest.mark.parametrize(
    ("below", "end"),
    [
        ([("work", 1, 500, [])], 500),
        ([("note", 1, 2, []), ("work", 3, 500, [])], 500),
        ([("work", 1, 15, []), ("job", 9, 500, [])], 10),
        ([("work", 1, 18, [])], 10),
    ],
)
def test_a_root_is_the_run_if_a_child_of_some_length_lies_inside_it(
    below: list[Drawn], end: int, unit: int
) -> None:
    """A job after the answer is none of the run, and a start that takes no time is none of it."""

    def scaled(span: Drawn) -> Drawn:
        name, start, stop, inner = span
        return name, start * unit, stop * unit, [scaled(each) for each in inner]

    trace = drawn(scaled(("run", 0, 10, below)))
    view = run_view(trace, trace.roots[0])
    assert view.trace.duration[view.run] == end * unit * 10**6
    assert bool(view.notes) == (end != 10)


def test_an_overlap_that_two_clocks_may_only_pretend_is_said() -> None:
    (trace,) = read(CASES / "f01e_skew_serial_looks_proven.json")
    (note,) = run_view(trace, trace.roots[0]).notes
    assert note == (
        "It is not certain that 'agent_a', 'agent_b' overlapped: they ran on 2 clocks, which may "
        "differ by up to 1.05 s."
    )


def test_a_sound_trace_is_its_own_view() -> None:
    trace = drawn(("run", 0, 10, [("work", 1, 9, [])]))
    assert run_view(trace, 0).trace is trace
