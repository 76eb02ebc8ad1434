"""What a run does when the model misbehaves: degrade and say so, or end with one sentence."""

import asyncio
from dataclasses import replace

import pytest
from pydantic import SecretStr

from tests.analysis_runner import CHOICE, Runner
from tests.faulty_model import Fault
from trading_graph.graph.backend_choice import ModelService
from trading_graph.graph.errors import (
    ModelRefusalError,
    ModelUnavailableError,
    NoEvidenceError,
)
from trading_graph.graph.options import Debate
from trading_graph.otel.trace import SpanTable, semconv

ALWAYS = None


def errors(trace: SpanTable) -> set[str]:
    """The error types on the run's spans."""
    found = (trace.attributes(row).get(semconv.ERROR_TYPE) for row in range(len(trace)))
    return {error for error in found if error}


def is_complete(trace: SpanTable) -> bool:
    (root,) = trace.roots
    return not trace.orphans and trace.attributes(root)[semconv.SPANS_STARTED] == len(trace)


def one_sentence(text: str) -> bool:
    return "\n" not in text and text.endswith(".") and "Traceback" not in text


async def test_a_failing_analyst_degrades_and_is_named(run_analysis: Runner) -> None:
    ran = await run_analysis(faults=(Fault("news_analyst", "status", times=ALWAYS, value=500),))
    decision = ran.made.decision
    assert decision.degraded
    assert decision.missing_reports == ["news_analyst"]
    assert any("news_analyst" in warning and "500" in warning for warning in decision.warnings)
    assert [report.agent for report in ran.made.reports if report.missing] == ["news_analyst"]
    assert is_complete(ran.trace)
    # The siblings were not cancelled, and the join ran once.
    assert "cancelled" not in errors(ran.trace)
    assert len(ran.trace.rows("aggregate reports")) == 1
    assert len(ran.trace.rows("invoke_agent trader")) == 1


async def test_every_place_that_can_degrade_does(run_analysis: Runner) -> None:
    agents = ("bear_researcher", "neutral_risk_analyst")
    faults = tuple(Fault(agent, "empty_answer", times=ALWAYS) for agent in agents)
    ran = await run_analysis(faults=faults)
    assert ran.made.decision.degraded
    assert ran.made.decision.missing_reports == []
    for agent in agents:
        assert any(warning.startswith(agent) for warning in ran.made.decision.warnings)
    assert len(ran.made.opinions) == 3
    assert len(ran.made.statements) == 2


async def test_when_no_analyst_can_report_the_run_says_why(run_analysis: Runner) -> None:
    ran = await run_analysis(faults=(Fault("*", "status", times=ALWAYS, value=503),))
    assert isinstance(ran.error, NoEvidenceError)
    assert "503" in str(ran.error)
    assert one_sentence(str(ran.error))
    assert is_complete(ran.trace)


async def test_a_wrong_key_ends_the_run_at_once(run_analysis: Runner) -> None:
    ran = await run_analysis(faults=(Fault("*", "status", times=ALWAYS, value=401),))
    assert isinstance(ran.error, ModelRefusalError)
    assert "OPENAI_API_KEY" in str(ran.error)
    assert one_sentence(str(ran.error))
    assert is_complete(ran.trace)
    assert "trading_graph.graph.errors.ModelRefusalError" in errors(ran.trace)
    # Not retried: a key does not become right.
    assert all(count == 1 for count in ran.requests.values())


async def test_a_rate_limit_is_waited_for_and_seen(run_analysis: Runner) -> None:
    ran = await run_analysis(faults=(Fault("trader", "status", value=429),))
    assert not ran.made.decision.degraded
    assert ran.requests["trader"] == 2
    (agent,) = ran.trace.rows("invoke_agent trader")
    assert len(ran.trace.children(agent)) == 1, "one chat span with its retry"


@pytest.mark.parametrize("kind", ["malformed_tool_call", "unknown_tool", "wrong_arguments"])
async def test_a_bad_tool_call_is_answered_and_shown(run_analysis: Runner, kind: str) -> None:
    ran = await run_analysis(faults=(Fault("market_analyst", kind),))
    assert "trading_graph.graph.tool_calls.ToolCallError" in errors(ran.trace)
    assert ran.made.decision.missing_reports == []
    assert is_complete(ran.trace)


async def test_an_endless_tool_loop_ends_where_tools_are_withheld(run_analysis: Runner) -> None:
    ran = await run_analysis(faults=(Fault("social_analyst", "endless_tools", times=ALWAYS),))
    (agent,) = ran.trace.rows("invoke_agent social_analyst")
    chats = [row for row in ran.trace.children(agent) if ran.trace.names[row].startswith("chat ")]
    assert len(chats) == 2
    assert ran.analysis is not None


async def test_an_empty_answer_is_asked_again(run_analysis: Runner) -> None:
    ran = await run_analysis(faults=(Fault("risk_judge", "empty_answer"),))
    assert not ran.made.decision.degraded
    assert ran.requests["risk_judge"] == 2


@pytest.mark.parametrize("kind", ["wrong_json", "prose_instead_of_tool", "malformed_tool_call"])
async def test_a_wrong_structured_answer_is_asked_again_once(
    run_analysis: Runner, kind: str
) -> None:
    ran = await run_analysis(faults=(Fault("research_manager", kind),))
    assert ran.requests["research_manager"] == 2
    assert not ran.made.decision.degraded


async def test_a_trade_far_from_the_market_is_refused_then_marked(run_analysis: Runner) -> None:
    corrected = await run_analysis(faults=(Fault("trader", "bad_prices"),))
    assert corrected.requests["trader"] == 2
    assert not corrected.made.decision.degraded

    marked = await run_analysis(faults=(Fault("trader", "bad_prices", times=ALWAYS),))
    assert marked.made.decision.degraded
    assert any("trader" in warning for warning in marked.made.decision.warnings)


async def test_a_stream_that_breaks_off_is_retried(run_analysis: Runner) -> None:
    ran = await run_analysis(faults=(Fault("bull_researcher", "disconnect"),))
    assert ran.requests["bull_researcher"] == 2
    assert not ran.made.decision.degraded


async def test_an_answer_that_ends_before_it_is_whole_is_asked_for_again(
    run_analysis: Runner,
) -> None:
    ran = await run_analysis(faults=(Fault("bull_researcher", "half"),))
    assert ran.requests["bull_researcher"] == 2
    assert not ran.made.decision.degraded

    lost = await run_analysis(faults=(Fault("bull_researcher", "half", times=ALWAYS),))
    assert lost.made.decision.degraded
    assert any("whole" in each for each in lost.made.decision.warnings)


async def test_a_model_that_hangs_runs_into_the_agents_budget(run_analysis: Runner) -> None:
    ran = await run_analysis(
        faults=(Fault("news_analyst", "hang", times=ALWAYS),), agent_budget_s=1.0
    )
    assert ran.made.decision.missing_reports == ["news_analyst"]
    (agent,) = ran.trace.rows("invoke_agent news_analyst")
    assert ran.trace.attributes(agent)[semconv.ERROR_TYPE] == "timeout"
    assert is_complete(ran.trace)


async def test_nobody_listening_is_one_sentence(run_analysis: Runner) -> None:
    nobody = ModelService("http://127.0.0.1:9/v1", SecretStr("k"), "quick", "deep")
    ran = await run_analysis(choice=replace(CHOICE, model=nobody))
    assert isinstance(ran.error, NoEvidenceError | ModelUnavailableError)
    assert "OPENAI_BASE_URL" in str(ran.error)
    assert one_sentence(str(ran.error))


async def test_rounds_and_a_serial_debate_keep_their_expected_chain(run_analysis: Runner) -> None:
    ran = await run_analysis(debate=Debate.SERIAL, debate_rounds=2, risk_rounds=2)
    statements = [(said.agent, said.round) for said in ran.made.statements]
    assert statements == [
        ("bull_researcher", 1),
        ("bear_researcher", 1),
        ("bull_researcher", 2),
        ("bear_researcher", 2),
    ]
    assert [said.round for said in ran.made.opinions] == [1, 1, 1, 2, 2, 2]
    assert len(ran.trace.rows("dispatch risk_team")) == 2
    (root,) = ran.trace.roots
    assert ran.trace.attributes(root)[semconv.CHAIN_EXPECTED] == 2 + 4 + 1 + 1 + 2 + 1


async def test_a_parallel_debate_of_two_rounds_answers_the_round_before(
    run_analysis: Runner,
) -> None:
    ran = await run_analysis(debate_rounds=2)
    assert sorted((said.round, said.agent) for said in ran.made.statements) == [
        (1, "bear_researcher"),
        (1, "bull_researcher"),
        (2, "bear_researcher"),
        (2, "bull_researcher"),
    ]
    assert len(ran.trace.rows("invoke_agent research_manager")) == 1


async def test_some_analysts_only(run_analysis: Runner) -> None:
    ran = await run_analysis(analysts=("news_analyst",))
    assert [report.agent for report in ran.made.reports] == ["news_analyst"]
    assert ran.made.decision.session is not None


def cancel(task: asyncio.Task[object]) -> None:
    task.cancel()


async def test_cancelling_a_run_leaves_a_complete_trace_that_says_so(run_analysis: Runner) -> None:
    task = asyncio.current_task()
    assert task is not None
    with pytest.raises(asyncio.CancelledError):
        await run_analysis(during=lambda: cancel(task))
    task.uncancel()
