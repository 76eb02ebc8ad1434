"""Where a run stands with its target, and what is said of it."""

import re
from dataclasses import replace

import msgspec
import pytest

from tests.otel.report.runs import CALL_MS, slow_diagnosis, slow_run
from trading_graph.otel.diagnosis import Diagnosis, Standing, ranking_of
from trading_graph.otel.report.documents.diagnosis import headline, outlook
from trading_graph.otel.report.durations import brief
from trading_graph.otel.report.page import diagnosis_markdown, page


def test_inside_in_reach_and_out_of_reach() -> None:
    wall_s = slow_diagnosis().wall_s
    least_s = slow_diagnosis().target.least_s
    assert least_s < wall_s
    standings = [
        slow_diagnosis(limit).target.standing
        for limit in (wall_s, wall_s - 0.01, least_s, least_s - 0.01)
    ]
    assert standings == [
        Standing.INSIDE,
        Standing.IN_REACH,
        Standing.IN_REACH,
        Standing.OUT_OF_REACH,
    ]


def test_as_many_fixes_as_are_needed_and_no_more() -> None:
    found = slow_diagnosis(slow_diagnosis().steps[0].target_s)
    assert len(found.steps) > 1, "else this test shows nothing"
    assert found.target.steps_needed == 1
    assert "The first fix brings it inside" in " ".join(outlook(found))
    assert f"All {len(found.steps)} together" in " ".join(outlook(found))


def test_out_of_reach_says_what_stands_in_the_way() -> None:
    found = slow_diagnosis(1.0)
    said = " ".join([headline(found), *outlook(found)])
    # What is left of any number of agents at once are the two calls of one of them.
    assert (found.llm_chain.calls, found.llm_chain.total_s) == (2, 2 * CALL_MS / 1000)
    assert "2 calls x 0.80 s = 1.60 s" in said
    assert "No fix that this trace shows reaches 1 s" in said
    assert "simulated" not in said


def test_simulated_latencies_are_projected_as_the_verdict_does() -> None:
    found = slow_diagnosis(120.0, slow_run(6, simulated=True))
    budget = next(each for each in found.verdict.checks if each.id == "budget")
    projected = re.search(r"at 15 s a call this run takes (\d+) s", budget.measured)
    assert projected is not None
    assert round(found.target.now_s) == int(projected[1])
    # Run at once the agents have two calls in series, not twelve; that, too, is at 15 s a call.
    assert found.llm_chain.calls == 2
    mended_s = ranking_of(found).all_fixed().wall_ns / 1e9
    assert found.target.least_s - mended_s == pytest.approx(2 * (15 - CALL_MS / 1000))
    assert "at 15 s a call" in diagnosis_markdown(found).lower()
    assert "Latencies are simulated" in " ".join(outlook(found))


def only_step(found: Diagnosis, **target: float) -> Diagnosis:
    """The diagnosis as if its first step were the only one, against another target."""
    aim = msgspec.structs.replace(found.target, standing=Standing.OUT_OF_REACH, **target)
    return replace(found, steps=found.steps[:1], target=aim)


def test_one_fix_of_several_findings_is_named() -> None:
    found = only_step(slow_diagnosis(1.0))
    assert len(found.findings) > 1, "else this test shows nothing"
    first, least = found.steps[0], brief(found.target.least_s)
    fixed = f"With one of the {len(found.findings)} findings fixed"
    assert f"{fixed} ({first.kind} in {first.place}) it takes {least}." in outlook(found)
    assert f"with one of the {len(found.findings)} findings fixed, " in page(found)

    alone = replace(found, findings=found.findings[:1])
    assert f"With the one fix made it takes {least}." in outlook(alone)


def test_where_nothing_is_gained_no_time_is_promised() -> None:
    simulated = slow_diagnosis(1.0, slow_run(6, simulated=True))
    for found, says in (
        (simulated, "No change was found that would make it faster at 15 s a call."),
        (slow_diagnosis(1.0), "No change was found that would make it noticeably faster."),
    ):
        none = only_step(found, least_s=found.target.now_s - 1e-4)
        assert says in outlook(none)
        assert not any(sentence.startswith("With ") for sentence in outlook(none))
        assert "no faster" in page(none)
        assert says not in outlook(only_step(found))


def test_the_target_is_the_limit_of_the_checklist() -> None:
    title = next(e.title for e in slow_diagnosis(60).verdict.checks if e.id == "budget")
    assert title == "The run takes less than 60 s"
