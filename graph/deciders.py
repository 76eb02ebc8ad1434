"""The deciding agents: research manager, trader, risk judge."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from langgraph.runtime import Runtime

from graph import prompts
from graph.context import RunContext, graph_task
from graph.decisions import FinalDecision, ResearchPlan, TradeProposal
from graph.degrade import reason_of
from graph.errors import OutOfTime
from graph.price_check import objection
from graph.state import State
from graph.structured import decide
from otel import spans
from toolkit.errors import DataError


async def research_manager(state: State, runtime: Runtime[RunContext]) -> State:
    """Rule on the debate."""
    blocks = [
        *prompts.reports_blocks(state["reports"]),
        *prompts.statement_blocks(state.get("statements", [])),
    ]
    async with _deciding("research_manager", runtime):
        decided = await decide("research_manager", ResearchPlan, blocks, runtime.context)
    return {"plan": decided.answer, "usage": decided.usage}


async def trader(state: State, runtime: Runtime[RunContext]) -> State:
    """Turn the plan into a trade that is near the market."""
    async with _deciding("trader", runtime):
        options = runtime.context.options
        levels = await runtime.context.toolkit.price_levels(options.symbol, options.as_of)
        blocks = [
            prompts.model_block("plan", state["plan"]),
            prompts.price_levels_block(levels),
            *prompts.reports_blocks(state["reports"]),
        ]
        decided = await decide(
            "trader", TradeProposal, blocks, runtime.context, lambda trade: objection(trade, levels)
        )
    return {
        "levels": levels,
        "proposal": decided.answer,
        "usage": decided.usage,
        "warnings": _warnings("trader", decided.objection),
    }


async def risk_judge(state: State, runtime: Runtime[RunContext]) -> State:
    """Decide, with the risk team's opinions weighed."""
    async with _deciding("risk_judge", runtime):
        levels = state["levels"]
        blocks = [
            prompts.model_block("plan", state["plan"]),
            prompts.model_block("proposal", state["proposal"]),
            prompts.price_levels_block(levels),
            *prompts.reports_blocks(state["reports"]),
            *prompts.statement_blocks(state.get("opinions", [])),
        ]
        decided = await decide(
            "risk_judge",
            FinalDecision,
            blocks,
            runtime.context,
            lambda trade: objection(trade, levels),
        )
    return {
        "decision": decided.answer,
        "usage": decided.usage,
        "warnings": _warnings("risk_judge", decided.objection),
    }


@asynccontextmanager
async def _deciding(name: str, runtime: Runtime[RunContext]) -> AsyncIterator[None]:
    """Open a decider's span, and hold it to the time budget of an agent; raises OutOfTime."""
    context = runtime.context
    try:
        with spans.agent(name, provider=context.models.service.provider, task=graph_task(runtime)):
            async with asyncio.timeout(context.options.agent_budget_s):
                yield
    except TimeoutError as error:
        if isinstance(error, DataError):
            raise  # a source that was too slow says so itself
        raise OutOfTime(reason_of(name, error)) from None


def _warnings(agent: str, objected: str | None) -> list[str]:
    if objected is None:
        return []
    return [f"{agent}: the answer stands although it was refused twice: {objected}."]
