"""The deciding agents: research manager, trader, risk judge.

Each brings something even when the run's budget is reached: what stands for a decision then.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from langgraph.runtime import Runtime

from trading_graph.graph import prompts, without_model
from trading_graph.graph.context import RunContext, graph_task
from trading_graph.graph.decisions import FinalDecision, ResearchPlan, TradeProposal
from trading_graph.graph.degrade import reason_of
from trading_graph.graph.errors import BudgetReached, NoDecision
from trading_graph.graph.price_check import objection
from trading_graph.graph.state import State
from trading_graph.graph.structured import decide
from trading_graph.otel import spans
from trading_graph.toolkit.errors import DataError


async def research_manager(state: State, runtime: Runtime[RunContext]) -> State:
    """Rule on the debate."""
    blocks = [
        *prompts.reports_blocks(state["reports"]),
        *prompts.statement_blocks(state.get("statements", [])),
    ]
    try:
        async with _deciding("research_manager", runtime):
            decided = await decide("research_manager", ResearchPlan, blocks, runtime.context)
    except BudgetReached as reached:
        reason = reason_of("research_manager", reached)
        return {"plan": without_model.plan(reason), "warnings": [reason]}
    return {"plan": decided.answer}


async def trader(state: State, runtime: Runtime[RunContext]) -> State:
    """Turn the plan into a trade that is near the market."""
    context, options = runtime.context, runtime.context.options
    try:
        async with _deciding("trader", runtime):
            # Beyond the run's seconds too: whatever is decided, it names the last close.
            levels = await context.toolkit.price_levels(options.symbol, options.as_of)
            blocks = [
                prompts.model_block("plan", state["plan"]),
                prompts.price_levels_block(levels),
                *prompts.reports_blocks(state["reports"]),
            ]
            decided = await decide(
                "trader", TradeProposal, blocks, context, lambda trade: objection(trade, levels)
            )
    except BudgetReached as reached:
        reason = reason_of("trader", reached)
        return {
            "levels": levels,
            "proposal": without_model.proposal(levels, reason),
            "warnings": [reason],
        }
    return {
        "levels": levels,
        "proposal": decided.answer,
        "warnings": _warnings("trader", decided.objection),
    }


async def risk_judge(state: State, runtime: Runtime[RunContext]) -> State:
    """Decide, with the risk team's opinions weighed."""
    levels, proposal = state["levels"], state["proposal"]
    blocks = [
        prompts.model_block("plan", state["plan"]),
        prompts.model_block("proposal", proposal),
        prompts.price_levels_block(levels),
        *prompts.reports_blocks(state["reports"]),
        *prompts.statement_blocks(state.get("opinions", [])),
    ]
    try:
        async with _deciding("risk_judge", runtime):
            decided = await decide(
                "risk_judge",
                FinalDecision,
                blocks,
                runtime.context,
                lambda trade: objection(trade, levels),
            )
    except BudgetReached as reached:
        reason, spending = reason_of("risk_judge", reached), runtime.context.spending
        quoted = without_model.unreviewed(proposal, spending)
        return {
            "decision": without_model.decision(proposal, levels, spending, reason),
            "warnings": [reason, quoted] if quoted else [reason],
        }
    return {
        "decision": decided.answer,
        "warnings": _warnings("risk_judge", decided.objection),
    }


@asynccontextmanager
async def _deciding(name: str, runtime: Runtime[RunContext]) -> AsyncIterator[None]:
    """Open a decider's span, and hold it to the time budget of an agent; raises NoDecision."""
    context = runtime.context
    try:
        with spans.agent(name, provider=context.models.service.provider, task=graph_task(runtime)):
            async with asyncio.timeout(context.options.agent_budget_s):
                yield
    except TimeoutError as error:
        if isinstance(error, DataError | BudgetReached):
            raise  # a source that was too slow says so itself, and so does a run's own budget
        raise NoDecision(reason_of(name, error)) from None


def _warnings(agent: str, objected: str | None) -> list[str]:
    if objected is None:
        return []
    return [f"{agent}: the answer stands although it was refused twice: {objected}."]
