"""A run whose budget is reached: a marked HOLD, wherever it happens, and not a request too many."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.analysis_runner import CHOICE, Ran, Runner
from tests.faulty_model import Fault
from trading_graph.graph.decisions import Action, DecidedBy
from trading_graph.graph.gate_loader import own_gate
from trading_graph.graph.options import Budget, Limit, Order
from trading_graph.otel.trace import SpanTable, semconv
from trading_graph.otel.verdict import Outcome, judge

ALWAYS = None
GATE = own_gate()
ALL_CALLS = 16
"""Of a run with default options: 4 analysts of 2 turns, 2 debaters, 3 risk analysts, 3 deciders."""


def errors(trace: SpanTable, name: str) -> list[object]:
    """The error types of the spans of this name; None of one that ended well."""
    return [trace.attributes(row).get(semconv.ERROR_TYPE) for row in trace.rows(name)]


def chats(trace: SpanTable) -> list[object]:
    return errors(trace, "chat offline-quick") + errors(trace, "chat offline-deep")


def total(ran: Ran) -> int:
    return sum(ran.requests.values())


def assert_held(ran: Ran, limit: Limit, flag: str) -> None:
    """The decision is a HOLD that risks nothing and says why, and so does the run's span."""
    decision = ran.made.decision
    final = decision.decision
    assert (final.action, final.confidence, final.position_pct) == (Action.HOLD, 0, None)
    assert (final.entry, final.stop, final.target) == (None, None, None)
    assert decision.decided_by is DecidedBy.NOBODY
    assert "risk_judge" in decision.undecided
    assert flag in final.rationale
    assert decision.degraded
    assert decision.budget_reached is limit
    assert any(said.startswith("risk_judge: ") and flag in said for said in decision.warnings)
    (root,) = ran.trace.roots
    attributes = ran.trace.attributes(root)
    assert attributes[semconv.BUDGET_REACHED] == limit
    assert semconv.ERROR_TYPE not in attributes
    events = [event.name for event in ran.trace.events(root)]
    assert events.count("budget reached") == 1
    assert attributes[semconv.SPANS_STARTED] == len(ran.trace)


@pytest.mark.parametrize("calls", [1, 5, 9, 10, 11, 13, 15])
async def test_a_budget_of_calls_is_never_exceeded(run_analysis: Runner, calls: int) -> None:
    ran = await run_analysis(budget=Budget(llm_calls=calls))
    assert total(ran) == calls
    # What was refused was not made, so it is no LLM call in the trace.
    assert chats(ran.trace) == [None] * calls
    assert sum(used.requests for used in ran.made.usage) == calls
    assert_held(ran, Limit.LLM_CALLS, "--max-calls")


async def test_a_budget_that_suffices_changes_nothing(run_analysis: Runner) -> None:
    free = await run_analysis()
    assert total(free) == ALL_CALLS
    spent = sum(used.input_tokens + used.output_tokens for used in free.made.usage)
    # The judge may still be asked while one token is left.
    enough = Budget(seconds=600, llm_calls=ALL_CALLS, tokens=spent)
    bound = await run_analysis(budget=enough)
    assert bound.requests == free.requests
    assert bound.made.decision.decision == free.made.decision.decision
    for ran in (free, bound):
        (root,) = ran.trace.roots
        assert semconv.BUDGET_REACHED not in ran.trace.attributes(root)
        assert ran.made.decision.budget_reached is None
        assert not ran.made.decision.warnings


async def test_without_any_report_a_reached_budget_is_no_failure(run_analysis: Runner) -> None:
    ran = await run_analysis(budget=Budget(llm_calls=4))
    assert len(ran.made.decision.missing_reports) == 4
    assert ran.made.decision.plan.action is Action.HOLD
    assert ran.made.decision.proposal.position_pct is None
    assert "No trade was proposed" in ran.made.decision.decision.rationale
    assert_held(ran, Limit.LLM_CALLS, "--max-calls")


async def test_what_was_decided_stands_and_an_unreviewed_proposal_is_quoted(
    run_analysis: Runner,
) -> None:
    free = await run_analysis()
    ran = await run_analysis(budget=Budget(llm_calls=ALL_CALLS - 1))
    decision = ran.made.decision
    assert decision.plan == free.made.decision.plan
    assert decision.proposal == free.made.decision.proposal
    assert decision.proposal.action is Action.BUY
    quoted = [said for said in decision.warnings if "not handed out: BUY at 272.41" in said]
    assert len(quoted) == 1
    assert quoted[0] in decision.decision.rationale
    assert "reached at risk_judge" in decision.decision.rationale


async def test_a_retry_is_a_request_of_the_budget(run_analysis: Runner) -> None:
    ran = await run_analysis(
        faults=(Fault("market_analyst", "empty_answer"),),
        analysts=("market_analyst",),
        budget=Budget(llm_calls=1),
    )
    assert ran.requests == {"market_analyst": 1}
    assert chats(ran.trace) == ["trading_graph.graph.errors.BudgetReachedError"]
    assert [used.requests for used in ran.made.usage] == [1]
    assert_held(ran, Limit.LLM_CALLS, "--max-calls")


@pytest.mark.parametrize(
    ("agent", "kind", "calls"),
    [
        ("research_manager", "wrong_json", 5),
        ("trader", "bad_prices", 6),
        ("risk_judge", "bad_prices", 10),
    ],
)
async def test_to_be_asked_again_is_a_request_of_the_budget(
    run_analysis: Runner, agent: str, kind: str, calls: int
) -> None:
    ran = await run_analysis(
        faults=(Fault(agent, kind),), analysts=("market_analyst",), budget=Budget(llm_calls=calls)
    )
    assert total(ran) == calls
    assert ran.requests[agent] == 1
    assert errors(ran.trace, f"invoke_agent {agent}") == [
        "trading_graph.graph.errors.BudgetReachedError"
    ]
    assert_held(ran, Limit.LLM_CALLS, "--max-calls")


async def test_tokens_are_overrun_only_by_calls_under_way(run_analysis: Runner) -> None:
    at_once = await run_analysis(budget=Budget(tokens=1))
    assert total(at_once) == 4
    one_by_one = await run_analysis(budget=Budget(tokens=1), dispatch=Order.SEQUENTIAL)
    assert one_by_one.requests == {"market_analyst": 1}
    for ran in (at_once, one_by_one):
        assert_held(ran, Limit.TOKENS, "--max-tokens")


@pytest.mark.parametrize(
    ("spent_by", "refused"),
    [
        (lambda agent: agent.endswith("_analyst") and "risk" not in agent, "bull_researcher"),
        (lambda agent: agent != "risk_judge", "risk_judge"),
    ],
    ids=["debate", "judge"],
)
async def test_a_budget_of_tokens_ends_where_it_is_spent(
    run_analysis: Runner, spent_by: Callable[[str], bool], refused: str
) -> None:
    free = await run_analysis()
    tokens = sum(
        used.input_tokens + used.output_tokens for used in free.made.usage if spent_by(used.agent)
    )
    ran = await run_analysis(budget=Budget(tokens=tokens))
    assert ran.requests == {
        agent: count for agent, count in free.requests.items() if spent_by(agent)
    }
    assert errors(ran.trace, f"invoke_agent {refused}") == [
        "trading_graph.graph.errors.BudgetReachedError"
    ]
    assert_held(ran, Limit.TOKENS, "--max-tokens")


@pytest.mark.parametrize(
    ("hangs", "share", "cut"),
    [("*", 0.5, 4), ("bear_researcher", 1.0, 1), ("risk_judge", 2.0, 1)],
    ids=["analysts", "debate", "judge"],
)
async def test_seconds_end_a_call_that_is_under_way(
    run_analysis: Runner, hangs: str, share: float, cut: int
) -> None:
    free = await run_analysis()
    seconds = share * free.made.seconds
    ran = await run_analysis(
        faults=(Fault(hangs, "hang", times=ALWAYS),), budget=Budget(seconds=seconds)
    )
    # What is left to do takes no model, so it takes less than a run with its seven calls in a row.
    assert seconds <= ran.made.seconds < seconds + free.made.seconds
    ended = [error for error in chats(ran.trace) if error is not None]
    assert ended == ["timeout"] * cut
    assert_held(ran, Limit.SECONDS, "--max-seconds")


async def test_seconds_end_tools_that_are_under_way(run_analysis: Runner) -> None:
    """The fetches of the analysts outlast the budget; the last session is found all the same."""
    free = await run_analysis()
    choice = replace(CHOICE, fetch_latency_s=3 * free.made.seconds)
    ran = await run_analysis(choice=choice, budget=Budget(seconds=free.made.seconds))
    assert errors(ran.trace, "invoke_agent market_analyst") == ["timeout"]
    assert set(errors(ran.trace, "execute_tool get_prices")) == {"cancelled"}
    assert ran.made.decision.session == free.made.decision.session
    assert_held(ran, Limit.SECONDS, "--max-seconds")


async def test_the_verdict_names_the_budget_as_the_reason(run_analysis: Runner) -> None:
    ran = await run_analysis(budget=Budget(llm_calls=ALL_CALLS - 1))
    verdict = judge(ran.trace, GATE)
    results = {result.id: result for result in verdict.checks}
    assert results["errors"].outcome is Outcome.FAIL
    assert results["errors"].measured == (
        "1 failed (trading_graph.graph.errors.BudgetReachedError), the run's budget of llm_calls "
        "reached, 0 retried"
    )
    # What ran is judged as it ran: a call that was not made is none of the chain.
    assert results["chain"].outcome is Outcome.PASS
    assert verdict.measures is not None
    assert verdict.measures.llm_calls == ALL_CALLS - 1
