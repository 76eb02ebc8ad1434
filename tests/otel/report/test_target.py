"""Where a run stands with its target, and what is said of it."""

import re

from tests.otel.report.runs import CALL_MS, MS, slow_report, slow_run
from trading_graph.otel.report.diagnosis_markdown import diagnosis_markdown
from trading_graph.otel.report.target import Standing, headline, outlook


def test_inside_in_reach_and_out_of_reach() -> None:
    wall_s = slow_report().diagnosis.wall_ns / 1e9
    least_s = slow_report().target.least_ns / 1e9
    assert least_s < wall_s
    standings = [
        slow_report(limit).target.standing
        for limit in (wall_s, wall_s - 0.01, least_s, least_s - 0.01)
    ]
    assert standings == [
        Standing.INSIDE,
        Standing.IN_REACH,
        Standing.IN_REACH,
        Standing.OUT_OF_REACH,
    ]


def test_as_many_fixes_as_are_needed_and_no_more() -> None:
    found = slow_report(slow_report().target.after_ns[0] / 1e9).target
    assert len(found.after_ns) > 1, "else this test shows nothing"
    assert found.steps_needed == 1
    assert "The first fix brings it inside" in " ".join(outlook(found))
    assert f"All {len(found.after_ns)} together" in " ".join(outlook(found))


def test_out_of_reach_says_what_stands_in_the_way() -> None:
    found = slow_report(1.0).target
    said = " ".join([headline(found), *outlook(found)])
    # What is left of any number of agents at once are the two calls of one of them.
    assert (found.chain.calls, found.chain.total_ns) == (2, 2 * CALL_MS * MS)
    assert "2 calls x 0.80 s = 1.60 s" in said
    assert "No fix that this trace shows reaches 1 s" in said
    assert "simulated" not in said


def test_simulated_latencies_are_projected_as_the_verdict_does() -> None:
    report = slow_report(120.0, slow_run(6, simulated=True))
    budget = next(each for each in report.verdict.results if each.id == "budget")
    projected = re.search(r"at 15 s a call this run takes (\d+) s", budget.measured)
    assert projected is not None
    assert round(report.target.now_ns / 1e9) == int(projected[1])
    # Run at once the agents have two calls in series, not twelve; that, too, is at 15 s a call.
    assert report.target.chain.calls == 2
    assert report.target.least_ns - report.diagnosis.mended().wall_ns == 2 * (15_000 - CALL_MS) * MS
    assert "at 15 s a call" in diagnosis_markdown(report).lower()
    assert "Latencies are simulated" in " ".join(outlook(report.target))


def test_the_target_is_the_limit_of_the_checklist() -> None:
    title = next(e.title for e in slow_report(60).verdict.results if e.id == "budget")
    assert title == "The run takes less than 60 s"
