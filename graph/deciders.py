"""The deciding agents: research manager, trader, risk judge, and the checks on their answers.

Their answers are structured: function calling, which every OpenAI-compatible service offers, in
place of a streamed `json_schema` answer, whose first use imports hundreds of modules on the event
loop (390-625 ms measured). An answer that cannot be used is requested once more, with what is wrong
with it.

An agent that brings no usable answer (twice none, a service that does not answer, no time left)
does not end the run in an error: what was paid for stays, a rule stands in for the model, and the
run ends as a marked HOLD without further calls. Only what somebody can mend and resume ends the run
there: a refused key, prices that cannot be had.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

import pydantic
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langgraph.runtime import Runtime

from trading_graph.graph import prompts
from trading_graph.graph.accounts import account_of, value_holdings
from trading_graph.graph.agent import ENDS_THE_RUN, agent_span, failure_reason
from trading_graph.graph.chat.call import converse
from trading_graph.graph.chat.conversation import Offer
from trading_graph.graph.chat.models import function_schema
from trading_graph.graph.context import RunContext
from trading_graph.graph.decision_parser import read_answer
from trading_graph.graph.decisions import Action, FinalDecision, ResearchPlan, TradeProposal
from trading_graph.graph.errors import BadModelAnswerError, BudgetReachedError
from trading_graph.graph.holdings import SizeLimit
from trading_graph.graph.order_text import unvalued_text
from trading_graph.graph.past_decisions import PastDecision, with_prices
from trading_graph.graph.price_text import price_text
from trading_graph.graph.state import State
from trading_graph.graph.tool_calls import tool_calls_of
from trading_graph.graph.undecided import no_decision, no_plan, no_proposal, quote_proposal
from trading_graph.toolkit.errors import DataError
from trading_graph.toolkit.market_data import PriceLevels
from trading_graph.toolkit.source_use import collect_uses

AnswerT = TypeVar("AnswerT", bound=pydantic.BaseModel)

MAX_ANSWERS = 2
"""The maximum number of answers that a deciding agent may give."""

ENTRY_MARGIN = 0.05
"""How far outside the range of the last 20 sessions an entry may lie, as a fraction."""

MAX_ATR = 6.0
"""How far from the entry a stop or a target may lie, in average true ranges."""


async def research_manager(state: State, runtime: Runtime[RunContext]) -> State:
    """Rule on the debate."""
    agent = "research_manager"
    blocks = [
        *prompts.reports_blocks(state["reports"]),
        *prompts.statement_blocks(state.get("statements", [])),
    ]
    try:
        async with agent_span(agent, runtime):
            plan, _ = await _ask(agent, ResearchPlan, blocks, runtime.context)
    except Exception as error:
        reason = _reason(agent, error)
        return {"plan": no_plan(reason), "undecided": [agent], "warnings": [reason]}
    return {"plan": plan}


async def trader(state: State, runtime: Runtime[RunContext]) -> State:
    """Turn the plan into a trade that is near the market."""
    agent, context, options = "trader", runtime.context, runtime.context.options
    update: State = {"warnings": []}
    try:
        async with agent_span(agent, runtime):
            # Fetched even after the run's seconds are over: every decision names the last session.
            with collect_uses() as uses:
                levels = await context.toolkit.price_levels(options.symbol, options.as_of)
                update["levels"], update["sources"] = levels, uses
                if options.holdings.is_stated:
                    valuation = await value_holdings(context.toolkit, options, levels)
                    update["valuation"] = valuation
                    update["warnings"] = [
                        f"{agent}: {unvalued_text(part, levels.currency)}"
                        for part in valuation.unvalued
                        if part.cause is SizeLimit.NO_PRICE
                    ]
            blocks = [
                prompts.model_block("plan", state["plan"]),
                prompts.price_levels_block(levels),
                *prompts.holding_blocks(account_of(options, update)),
                *prompts.reports_blocks(state["reports"]),
            ]
            proposal, objection = await _ask(
                agent,
                TradeProposal,
                blocks,
                context,
                lambda trade: price_objection(trade, levels),
            )
    except Exception as error:
        reason = _reason(agent, error)
        return {
            **update,
            "proposal": no_proposal(reason),
            "undecided": [agent],
            "warnings": [*update["warnings"], reason],
        }
    warnings = [] if objection is None else [_stands(agent, objection)]
    return {**update, "proposal": proposal, "warnings": [*update["warnings"], *warnings]}


async def risk_judge(state: State, runtime: Runtime[RunContext]) -> State:
    """Decide, with the risk team's opinions weighed."""
    agent, levels, proposal = "risk_judge", state["levels"], state["proposal"]
    blocks = [
        prompts.model_block("plan", state["plan"]),
        prompts.model_block("proposal", proposal),
        prompts.price_levels_block(levels),
        *prompts.holding_blocks(account_of(runtime.context.options, state)),
        *prompts.reports_blocks(state["reports"]),
        *prompts.statement_blocks(state.get("opinions", [])),
    ]
    try:
        async with agent_span(agent, runtime):
            past = await _past_decisions(runtime.context)
            decision, objection = await _ask(
                agent,
                FinalDecision,
                [*blocks, *prompts.past_decisions_blocks(past)],
                runtime.context,
                lambda trade: price_objection(trade, levels),
            )
            # A trade far from the market may be proposed, and is never handed out.
            if objection is not None and decision.action is not Action.HOLD:
                raise BadModelAnswerError(f"{agent}: its answer was refused twice: {objection}.")
    except Exception as error:
        reason = _reason(agent, error)
        quotation = quote_proposal(proposal, state.get("undecided", []), levels.currency)
        why = " ".join([reason, *_budget_sentence(error, runtime.context)])
        return {
            "decision": no_decision(why, quotation, levels),
            "undecided": [agent],
            "warnings": [reason, quotation] if quotation else [reason],
        }
    warnings = [] if objection is None else [_stands(agent, objection)]
    return {"decision": decision, "warnings": warnings}


async def _past_decisions(context: RunContext) -> list[PastDecision]:
    """What the judge is told of earlier runs."""
    if not context.past_decisions:
        return []
    options = context.options
    try:
        bars = await context.toolkit.bars(options.symbol, options.as_of)
    except DataError:  # The trader has had them; a cache may be off, and context is no evidence.
        bars = None
    return with_prices(context.past_decisions, bars, options.as_of.date)


def _reason(agent: str, error: Exception) -> str:
    """Why the agent brought no answer; raises the error again if it ends the run."""
    is_budget = isinstance(error, BudgetReachedError)
    # Prices that cannot be had now may be had when the run is resumed.
    if isinstance(error, (*ENDS_THE_RUN, DataError)) and not is_budget:
        raise error
    return failure_reason(agent, error)


def _budget_sentence(error: Exception, context: RunContext) -> list[str]:
    if not isinstance(error, BudgetReachedError):
        return []
    refusals = context.spending.refusals
    return [
        f"The budget was reached at {refusals[0]}; these agents got no answer: "
        f"{', '.join(refusals)}."
    ]


def _stands(agent: str, objection: str) -> str:
    return f"{agent}: the answer stands although it was refused twice: {objection}."


async def _ask(
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
        reading = read_answer(message, schema)
        objection = reading.objection
        if reading.answer is not None:
            answer, objection = reading.answer, check(reading.answer)
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


def _refusal(message: AIMessage, objection: str) -> list[BaseMessage]:
    # Services refuse a conversation in which a tool call has no answer.
    answers = [
        ToolMessage("refused", tool_call_id=call.id, name=call.name, status="error")
        for call in tool_calls_of(message)
    ]
    return [message, *answers, prompts.problem(objection)]


def price_objection(trade: TradeProposal | FinalDecision, levels: PriceLevels) -> str | None:
    """What is wrong with the prices of a trade, measured against recent prices, or None."""
    if trade.entry is None:
        return None
    low = levels.low_20 * (1 - ENTRY_MARGIN)
    high = levels.high_20 * (1 + ENTRY_MARGIN)
    if not low <= trade.entry <= high:
        return (
            f"entry {price_text(trade.entry)} is outside {price_text(low)} to {price_text(high)}, "
            f"the range of the last 20 sessions to {levels.session} widened by {ENTRY_MARGIN:.0%}"
        )
    if levels.atr_14 is None:
        return None
    for name, price in (("stop", trade.stop), ("target", trade.target)):
        if price is None:
            continue
        distance = abs(price - trade.entry) / levels.atr_14
        if distance > MAX_ATR:
            return (
                f"{name} {price_text(price)} is {distance:.1f} ATR from the entry "
                f"{price_text(trade.entry)}; at most {MAX_ATR:g} ATR of "
                f"{price_text(levels.atr_14)} are sensible"
            )
    return None
