"""The account of one run: what it refuses, what it books, what it learns of an earlier life."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from langgraph.runtime import Runtime
from opentelemetry.trace import INVALID_SPAN

from tests.graph.chat.scripted_service import ask, serving, text
from trading_graph.graph.agent import report_usage
from trading_graph.graph.budget import Spending
from trading_graph.graph.context import RunContext
from trading_graph.graph.errors import FATAL, BudgetReachedError, ModelRefusalError, OutOfTimeError
from trading_graph.graph.options import Budget, Limit
from trading_graph.graph.state import State, Usage


def account(**limits: Any) -> Spending:
    return Spending(Budget(**limits), INVALID_SPAN)


def usage(tokens: int, requests: int = 1) -> Usage:
    return Usage("trader", "deep", tokens, 0, 0.0, requests)


async def test_a_limit_once_reached_stays_the_reason() -> None:
    spending = account(llm_calls=1, seconds=0.05)
    spending.reserve("trader")
    for _ in range(2):
        with pytest.raises(BudgetReachedError, match="--max-calls"):
            spending.reserve("risk_judge")
        await asyncio.sleep(0.06)
    assert spending.limit is Limit.LLM_CALLS
    assert spending.refusals == ["risk_judge"]


async def test_tokens_are_counted_in_and_out() -> None:
    spending = account(tokens=30)
    spending.record(Usage("trader", "deep", 10, 19, 0.0))
    spending.reserve("trader")
    spending.record(usage(1))
    with pytest.raises(BudgetReachedError, match="--max-tokens"):
        spending.reserve("trader")


async def test_what_times_out_by_itself_is_no_matter_of_the_budget() -> None:
    spending = account(seconds=60)
    with pytest.raises(TimeoutError) as caught:
        async with spending.in_time("trader"), asyncio.timeout(0):
            await asyncio.sleep(60)
    assert not isinstance(caught.value, OutOfTimeError)
    assert spending.limit is None


async def test_a_cancelled_run_is_cancelled_and_not_out_of_time() -> None:
    spending = account(seconds=60)

    async def work() -> None:
        async with spending.in_time("trader"):
            await asyncio.sleep(60)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert spending.limit is None


async def test_a_resumed_run_goes_on_from_what_its_state_says_was_spent() -> None:
    spending = account(llm_calls=12)
    runtime = cast(
        "Runtime[RunContext]", SimpleNamespace(context=SimpleNamespace(spending=spending))
    )

    async def node(state: State, runtime: Runtime[RunContext]) -> State:
        runtime.context.spending.reserve("trader")
        runtime.context.spending.record(usage(0))
        return {}

    state: State = {"usage": [usage(0, requests=3), usage(0, requests=7)]}
    # Two nodes of one step see the same state, and do not spend the same request.
    for _ in range(2):
        assert await report_usage("trader", node)(state, runtime) == {
            "usage": [usage(0)],
            "budget_reached": "",
        }
    state["usage"] += [usage(0), usage(0)]
    with pytest.raises(BudgetReachedError):
        await report_usage("trader", node)(state, runtime)


async def test_what_an_earlier_life_has_reached_stays_reached() -> None:
    for now in (60, None):
        spending = account(seconds=now)
        spending.catch_up([], "seconds")
        with pytest.raises(BudgetReachedError, match="--max-seconds"):
            spending.reserve("trader")


async def test_a_service_that_reports_no_tokens_cannot_keep_a_budget_of_tokens() -> None:
    async with serving(lambda path, body: text("a plain answer")) as (_, models):
        answer = await ask(models, spending=account(llm_calls=1))
        assert answer.text == "a plain answer"
        with pytest.raises(ModelRefusalError, match="use --max-calls instead"):
            await ask(models, spending=account(tokens=1000))
    assert ModelRefusalError in FATAL


def test_of_two_budgets_the_smaller_holds_limit_by_limit() -> None:
    ours, theirs = Budget(seconds=60, llm_calls=9), Budget(seconds=90.5, llm_calls=5, tokens=7)
    assert ours.within(theirs) == theirs.within(ours) == Budget(60, 5, 7)
    assert ours.within(Budget()) == Budget().within(ours) == ours


def test_what_a_failed_life_had_paid_counts_once() -> None:
    """Where a life in between has claimed it, the state has it already."""
    paid, claimed = Usage("trader", "m", 10, 5, 1.5), Usage("news_analyst", "m", 20, 5, 2.5)
    for known in ([claimed], [claimed, paid]):
        spending = Spending(Budget(llm_calls=3), INVALID_SPAN, [paid])
        spending.catch_up(known, "")
        assert [*known, *spending.unclaimed].count(paid) == 1
        spending.reserve("trader")
        with pytest.raises(BudgetReachedError):
            spending.reserve("trader")


def test_what_was_paid_is_kept_by_a_life_that_fails_at_once() -> None:
    paid = Usage("trader", "m", 10, 5, 1.5)
    assert Spending(Budget(), INVALID_SPAN, [paid]).unclaimed == [paid]
