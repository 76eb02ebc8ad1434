"""A deciding agent that brings no usable answer: a marked HOLD, with all that was paid for."""

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.analysis_runner import Ran, Runner
from tests.faulty_model import Fault, FaultyModel
from trading_graph.graph.decisions import Action, DecidedBy
from trading_graph.graph.errors import ModelRefusalError
from trading_graph.graph.gate_loader import own_gate
from trading_graph.graph.options import DECIDERS
from trading_graph.otel.trace import semconv
from trading_graph.otel.verdict import Outcome, judge
from trading_graph.service.cli import main
from trading_graph.service.run.report import report
from trading_graph.toolkit.loopback import LoopbackServer

ALWAYS = None
GATE = own_gate()
PAID_BEFORE = {"research_manager": 10, "trader": 11, "risk_judge": 15}
"""The calls of a run with default options before each deciding agent is asked."""


async def assert_held(ran: Ran, agent: str) -> None:
    """A HOLD that no model decided says so, everywhere, and no paid word is missing."""
    decision = ran.made.decision
    final = decision.decision
    assert (final.action, final.confidence, final.position_pct) == (Action.HOLD, 0, None)
    assert (final.entry, final.stop, final.target, final.horizon_days) == (None,) * 4
    assert decision.degraded
    assert decision.budget_reached is None
    assert decision.decided_by is DecidedBy.NOBODY
    assert decision.undecided == list(DECIDERS[DECIDERS.index(agent) :])
    assert any(said.startswith(f"{agent}: ") for said in decision.warnings)
    assert final.rationale.startswith("No model decided")
    text = await asyncio.to_thread(report, ran.made)
    assert "HOLD, decided by no model" in text.splitlines()[0]
    assert not any(each.missing for each in ran.made.reports)
    assert all(each.text in text for each in ran.made.reports)
    assert all(each.text in text for each in (*ran.made.statements, *ran.made.opinions))
    assert len(ran.made.reports) == 4
    assert len(ran.made.statements) == 2
    (root,) = ran.trace.roots
    attributes = ran.trace.attributes(root)
    assert semconv.ERROR_TYPE not in attributes
    assert attributes[semconv.SPANS_STARTED] == len(ran.trace)


@pytest.mark.parametrize("agent", DECIDERS)
@pytest.mark.parametrize("kind", ["wrong_json", "prose_instead_of_tool", "malformed_tool_call"])
async def test_an_answer_that_cannot_be_used_twice_is_a_marked_hold(
    run_analysis: Runner, agent: str, kind: str
) -> None:
    ran = await run_analysis(faults=(Fault(agent, kind, times=ALWAYS),))
    await assert_held(ran, agent)
    assert ran.requests[agent] == 2
    # Nothing more is paid for a decision that is not made any more.
    assert sum(ran.requests.values()) == PAID_BEFORE[agent] + 2


@pytest.mark.parametrize("agent", DECIDERS)
async def test_a_service_that_does_not_answer_is_a_marked_hold(
    run_analysis: Runner, agent: str
) -> None:
    ran = await run_analysis(faults=(Fault(agent, "status", times=ALWAYS, value=500),))
    await assert_held(ran, agent)
    assert any("500" in said for said in ran.made.decision.warnings)


@pytest.mark.parametrize("agent", DECIDERS)
async def test_a_time_budget_that_is_over_is_a_marked_hold(
    run_analysis: Runner, agent: str
) -> None:
    free = await run_analysis()
    # What the whole run took is enough for each of its agents.
    hangs = Fault(agent, "hang", times=ALWAYS)
    ran = await run_analysis(faults=(hangs,), agent_budget_s=free.made.seconds)
    await assert_held(ran, agent)
    assert any("--agent-budget" in said for said in ran.made.decision.warnings)


async def test_a_proposal_that_nobody_judged_is_quoted_and_not_handed_out(
    run_analysis: Runner,
) -> None:
    ran = await run_analysis(faults=(Fault("risk_judge", "wrong_json", times=ALWAYS),))
    decision = ran.made.decision
    assert decision.proposal.action is Action.BUY
    (quoted,) = [said for said in decision.warnings if "not handed out: BUY at 272.41" in said]
    assert quoted in decision.decision.rationale
    assert len(ran.made.opinions) == 3


async def test_a_decision_far_from_the_market_is_refused_twice_and_not_handed_out(
    run_analysis: Runner,
) -> None:
    ran = await run_analysis(faults=(Fault("risk_judge", "bad_prices", times=ALWAYS),))
    await assert_held(ran, "risk_judge")
    assert any("refused twice: entry" in said for said in ran.made.decision.warnings)


@pytest.mark.parametrize("agent", DECIDERS)
async def test_a_key_that_is_refused_on_the_way_is_the_users_to_mend(
    run_analysis: Runner, agent: str
) -> None:
    """No HOLD: with another key the run can be resumed to its decision."""
    ran = await run_analysis(faults=(Fault(agent, "status", times=ALWAYS, value=401),))
    assert isinstance(ran.error, ModelRefusalError)
    assert ran.requests[agent] == 1


async def test_the_verdict_on_such_a_run_judges_what_ran(run_analysis: Runner) -> None:
    ran = await run_analysis(faults=(Fault("research_manager", "wrong_json", times=ALWAYS),))
    verdict = judge(ran.trace, GATE)
    assert verdict.judged
    results = {result.id: result for result in verdict.checks}
    assert results["errors"].outcome is Outcome.FAIL
    assert "BadModelAnswerError" in results["errors"].measured
    assert results["overlap"].outcome is Outcome.PASS


def test_the_terminal_says_that_no_model_decided(workdir: Path) -> None:
    model = FaultyModel(latency_s=0.02, faults=(Fault("risk_judge", "wrong_json", times=ALWAYS),))
    with LoopbackServer(model.make_app) as server:
        env = {
            "OTEL_TRACES_EXPORTER": "none",
            "OPENAI_API_KEY": "sk-of-the-test-0123456789",
            "OPENAI_BASE_URL": f"{server.url}/v1",
            "TRADING_GRAPH_FETCH_LATENCY_S": "0.01",
        }
        done = CliRunner().invoke(main, ["run", "AAPL"], env=env)
    assert done.exit_code == 0, done.output
    assert "HOLD AAPL as of 2025-11-14 · decided by no model" in done.stdout
    assert "No model decided" in done.stdout
    assert "entry" not in done.stdout.partition("decided by no model")[2].partition("session")[0]
    (folder,) = (workdir / "runs").iterdir()
    document = json.loads((folder / "decision.json").read_text())
    assert document["decided_by"] == "nobody"
    assert document["undecided"] == ["risk_judge"]
    assert document["degraded"]
