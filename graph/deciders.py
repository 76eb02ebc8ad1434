"""The deciding agents: research manager, trader, risk judge, and the checks on their answers.

Their answers are structured: function calling, which every OpenAI-compatible service offers, in
place of a streamed `json_schema` answer, whose first use imports hundreds of modules on the event
loop (390-625 ms measured). An answer that cannot be used is requested once more.

When the run's budget is reached, a rule that risks nothing stands in for the model: no opinion, no
trade, an unchanged position. A proposal that the risk judge has not reviewed is quoted in a warning
and never handed out.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import pydantic
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langgraph.runtime import Runtime

from trading_graph.graph import prompts
from trading_graph.graph.agent import agent_span, failure_reason
from trading_graph.graph.budget import Spending
from trading_graph.graph.chat.call import converse
from trading_graph.graph.chat.conversation import Offer
from trading_graph.graph.chat.models import function_schema
from trading_graph.graph.context import RunContext
from trading_graph.graph.decisions import Action, FinalDecision, ResearchPlan, TradeProposal
from trading_graph.graph.errors import BadModelAnswerError, BudgetReachedError, NoDecisionError
from trading_graph.graph.state import State
from trading_graph.graph.tool_calls import problems, tool_calls_of
from trading_graph.toolkit.errors import DataError
from trading_graph.toolkit.market_data import PriceLevels

AnswerT = TypeVar("AnswerT", bound=pydantic.BaseModel)

MAX_ANSWERS = 2
"""The maximum number of answers that a deciding agent may give."""

ENTRY_MARGIN = 0.05
"""How far outside the range of the last 20 sessions an entry may lie, as a fraction."""

MAX_ATR = 6.0
"""How far from the entry a stop or a target may lie, in average true ranges."""

_FALLBACK_MARGIN = 0.05
_FALLBACK_PRICES = (
    f"The prices are the last close and {_FALLBACK_MARGIN * 100:g} % to either side of it; "
    "they propose nothing."
)


async def research_manager(state: State, runtime: Runtime[RunContext]) -> State:
    """Rule on the debate."""
    blocks = [
        *prompts.reports_blocks(state["reports"]),
        *prompts.statement_blocks(state.get("statements", [])),
    ]
    try:
        async with _decider_span("research_manager", runtime):
            plan, _ = await _decide("research_manager", ResearchPlan, blocks, runtime.context)
    except BudgetReachedError as error:
        reason = failure_reason("research_manager", error)
        return {"plan": _fallback_plan(reason), "warnings": [reason]}
    return {"plan": plan}


async def trader(state: State, runtime: Runtime[RunContext]) -> State:
    """Turn the plan into a trade that is near the market."""
    context, options = runtime.context, runtime.context.options
    try:
        async with _decider_span("trader", runtime):
            # Fetched even after the run's seconds are over: every decision names the last close.
            levels = await context.toolkit.price_levels(options.symbol, options.as_of)
            blocks = [
                prompts.model_block("plan", state["plan"]),
                prompts.price_levels_block(levels),
                *prompts.reports_blocks(state["reports"]),
            ]
            proposal, objection = await _decide(
                "trader",
                TradeProposal,
                blocks,
                context,
                lambda trade: price_objection(trade, levels),
            )
    except BudgetReachedError as error:
        reason = failure_reason("trader", error)
        return {
            "levels": levels,
            "proposal": _fallback_proposal(levels, reason),
            "warnings": [reason],
        }
    return {
        "levels": levels,
        "proposal": proposal,
        "warnings": _warnings("trader", objection),
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
        async with _decider_span("risk_judge", runtime):
            decision, objection = await _decide(
                "risk_judge",
                FinalDecision,
                blocks,
                runtime.context,
                lambda trade: price_objection(trade, levels),
            )
    except BudgetReachedError as error:
        reason, spending = failure_reason("risk_judge", error), runtime.context.spending
        quotation = _unreviewed_proposal(proposal, spending)
        return {
            "decision": _fallback_decision(levels, spending, reason, quotation),
            "warnings": [reason, quotation] if quotation else [reason],
        }
    return {"decision": decision, "warnings": _warnings("risk_judge", objection)}


@asynccontextmanager
async def _decider_span(name: str, runtime: Runtime[RunContext]) -> AsyncIterator[None]:
    """Open a decider's span; raises NoDecisionError when the agent's time budget is over."""
    try:
        async with agent_span(name, runtime):
            yield
    except TimeoutError as error:
        if isinstance(error, DataError | BudgetReachedError):
            raise  # A slow source and the run's own budget bring their own sentence.
        raise NoDecisionError(failure_reason(name, error)) from None


def _warnings(agent: str, objection: str | None) -> list[str]:
    if objection is None:
        return []
    return [f"{agent}: the answer stands although it was refused twice: {objection}."]


async def _decide(
    agent: str,
    schema: type[AnswerT],
    blocks: Sequence[str],
    context: RunContext,
    check: Callable[[AnswerT], str | None] = lambda _: None,
) -> tuple[AnswerT, str | None]:
    """Ask the deep model for an answer in the schema's form; returns what is still wrong with it.

    `check` says what is wrong with a well-formed answer, or returns None. When the last attempt is
    refused too, the latest well-formed answer is returned with the objection; without one,
    BadModelAnswerError is raised.
    """
    service = context.models.service
    function = function_schema(schema.__name__, schema.__doc__ or "", schema)
    messages = prompts.decision_messages(agent, context.options, blocks)
    answer: AnswerT | None = None
    objection: str | None = None
    for turn in range(1, MAX_ANSWERS + 1):
        message = await converse(
            context.models.deep,
            messages,
            agent=agent,
            turn=turn,
            spending=context.spending,
            offer=Offer(answer=function),
        )
        parse, objection = _parse(message, schema)
        if parse is not None:
            answer, objection = parse, check(parse)
        if objection is None:
            break
        messages = [*messages, *_refusal(message, objection)]
    if answer is None:
        raise BadModelAnswerError(
            f"{agent}: model {service.deep} did not give a usable {schema.__name__} in "
            f"{MAX_ANSWERS} attempts ({objection}); run it again or set TRADING_GRAPH_DEEP_MODEL "
            "to a model that follows schemas."
        )
    return answer, objection


def _parse(message: AIMessage, schema: type[AnswerT]) -> tuple[AnswerT | None, str | None]:
    calls = [call for call in tool_calls_of(message) if call.name == schema.__name__]
    if not calls:
        return None, f"the answer does not call {schema.__name__}"
    arguments = calls[0].arguments
    if isinstance(arguments, str):
        return None, "the arguments are not valid JSON"
    try:
        # Lax on purpose: models write 30.0 for 30 and "BUY" for the enum.
        return schema.model_validate(arguments), None
    except pydantic.ValidationError as error:
        return None, problems(error)


def _refusal(message: AIMessage, objection: str) -> list[BaseMessage]:
    # Services refuse a conversation in which a tool call has no answer.
    answers = [
        ToolMessage("refused", tool_call_id=call.id, name=call.name, status="error")
        for call in tool_calls_of(message)
    ]
    return [message, *answers, prompts.problem(objection)]


def price_objection(trade: TradeProposal | FinalDecision, levels: PriceLevels) -> str | None:
    """What is wrong with the prices of a trade, measured against recent prices, or None."""
    low = levels.low_20 * (1 - ENTRY_MARGIN)
    high = levels.high_20 * (1 + ENTRY_MARGIN)
    if not low <= trade.entry <= high:
        return (
            f"entry {trade.entry:g} is outside {low:.2f} to {high:.2f}, the range of the last 20 "
            f"sessions to {levels.session} widened by {ENTRY_MARGIN:.0%}"
        )
    if levels.atr_14 is None:
        return None
    for name, price in (("stop", trade.stop), ("target", trade.target)):
        distance = abs(price - trade.entry) / levels.atr_14
        if distance > MAX_ATR:
            return (
                f"{name} {price:g} is {distance:.1f} ATR from the entry {trade.entry:g}; at most "
                f"{MAX_ATR:g} ATR of {levels.atr_14:.2f} are sensible"
            )
    return None


def _fallback_plan(reason: str) -> ResearchPlan:
    return ResearchPlan(
        action=Action.HOLD,
        confidence=0,
        summary=f"Nobody ruled on the debate. {reason}",
        bull_points=[],
        bear_points=[],
        evidence=[],
    )


def _fallback_proposal(levels: PriceLevels, reason: str) -> TradeProposal:
    return TradeProposal(
        **_no_trade(levels), rationale=f"No trade was proposed. {reason} {_FALLBACK_PRICES}"
    )


def _fallback_decision(
    levels: PriceLevels, spending: Spending, reason: str, quotation: str | None
) -> FinalDecision:
    refusals = spending.refusals
    return FinalDecision(
        **_no_trade(levels),
        rationale=(
            f"Nobody decided, so the position stays as it is. {reason} The budget was reached at "
            f"{refusals[0]}; these agents got no answer: {', '.join(refusals)}. "
            f"{quotation or 'No trade was proposed.'} {_FALLBACK_PRICES}"
        ),
        risks=["The risk judge has weighed neither the proposal nor the risk team's opinions."],
    )


def _unreviewed_proposal(proposal: TradeProposal, spending: Spending) -> str | None:
    """The trader's own proposal in one sentence that says what it is not, or None."""
    if "trader" in spending.refusals:
        return None
    return (
        f"The trader's proposal was not decided on and is not handed out: {proposal.action} at "
        f"{proposal.entry:g}, stop {proposal.stop:g}, target {proposal.target:g}, "
        f"{proposal.position_pct:g} % of the portfolio, confidence {proposal.confidence:.2f}."
    )


def _no_trade(levels: PriceLevels) -> dict[str, Any]:
    """The fields of a trade that changes nothing."""
    entry = levels.close
    # Six digits instead of cents: the prices of a share below one cent must differ too.
    low, high = (
        float(f"{entry * factor:.6g}") for factor in (1 - _FALLBACK_MARGIN, 1 + _FALLBACK_MARGIN)
    )
    return {
        "action": Action.HOLD,
        "confidence": 0,
        "horizon_days": 1,
        "entry": entry,
        "stop": low,
        "target": high,
        "position_pct": 0,
        "evidence": [],
    }
