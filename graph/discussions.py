"""The two discussions of a run, in rounds: the debate of bull and bear, and the risk team's.

Whoever speaks makes one free-text statement a round. The sides of the debate write at once, or take
turns. When they write at once, each sees the other's statements of earlier rounds only; with one
round these are two independent statements.
"""

from collections.abc import Sequence

from langgraph.runtime import Runtime

from trading_graph.graph import prompts
from trading_graph.graph.accounts import account_of
from trading_graph.graph.agent import agent_span
from trading_graph.graph.chat.call import converse
from trading_graph.graph.context import Node, RunContext
from trading_graph.graph.options import DEBATERS, Debate
from trading_graph.graph.state import State, Statement


def debater(name: str) -> Node:
    """The node of one side of the debate."""

    async def node(state: State, runtime: Runtime[RunContext]) -> State:
        blocks = [
            *prompts.reports_blocks(state["reports"]),
            *prompts.statement_blocks(state.get("statements", [])),
        ]
        text = await _speak(name, blocks, runtime)
        return {"statements": [Statement(name, state["debate_round"], text)]}

    return node


def risk_analyst(name: str) -> Node:
    """The node of one member of the risk team."""

    async def node(state: State, runtime: Runtime[RunContext]) -> State:
        # Only the reports without data: a gap in the evidence is a risk of its own.
        gaps = [report for report in state["reports"] if report.is_gap]
        blocks = [
            prompts.model_block("plan", state["plan"]),
            prompts.model_block("proposal", state["proposal"]),
            prompts.price_levels_block(state["levels"]),
            *prompts.holding_blocks(account_of(runtime.context.options, state)),
            *prompts.reports_blocks(gaps),
            *prompts.statement_blocks(state.get("opinions", [])),
        ]
        text = await _speak(name, blocks, runtime, dispatcher=state["dispatcher"])
        return {"opinions": [Statement(name, state["risk_round"], text)]}

    return node


async def _speak(
    name: str, blocks: Sequence[str], runtime: Runtime[RunContext], *, dispatcher: str = ""
) -> str:
    """One statement on the material."""
    context = runtime.context
    async with agent_span(name, runtime, dispatcher=dispatcher):
        answer = await converse(
            context.models.quick,
            prompts.statement_messages(name, context.options, blocks),
            agent=name,
            turn=1,
            spending=context.spending,
        )
    return answer.text.strip()


async def end_debate_round(state: State) -> State:
    """Count the round that both sides have finished."""
    return {"debate_round": state["debate_round"] + 1}


def next_debaters(state: State, runtime: Runtime[RunContext]) -> list[str]:
    """The nodes that follow a round: both sides again, or the research manager."""
    options = runtime.context.options
    if state["debate_round"] > options.debate_rounds:
        return ["research_manager"]
    return [DEBATERS[0]] if options.debate is Debate.SERIAL else list(DEBATERS)


async def end_risk_round(state: State) -> State:
    """Join the team's branches; the dispatcher counts the rounds."""
    return {}


def after_risk_round(state: State, runtime: Runtime[RunContext]) -> str:
    """The node that follows a round: the dispatcher for another one, or the judge."""
    again = state["risk_round"] < runtime.context.options.risk_rounds
    return "risk_dispatcher" if again else "risk_judge"
