"""The debate of bull and bear, in rounds: both write at once, or they take turns.

When both write at once, each sees the other's statements of earlier rounds only; with one round
these are two independent statements.
"""

from langgraph.runtime import Runtime

from trading_graph.graph import prompts
from trading_graph.graph.agent import speak
from trading_graph.graph.context import Node, RunContext
from trading_graph.graph.options import DEBATERS, Debate
from trading_graph.graph.state import State


def debater(name: str) -> Node:
    """The node of one side of the debate."""

    async def node(state: State, runtime: Runtime[RunContext]) -> State:
        blocks = [
            *prompts.reports_blocks(state["reports"]),
            *prompts.statement_blocks(state.get("statements", [])),
        ]
        statement = await speak(name, blocks, state["debate_round"], runtime)
        return {"statements": [statement]}

    return node


async def end_debate_round(state: State) -> State:
    """Count the round that both sides have finished."""
    return {"debate_round": state["debate_round"] + 1}


def next_debaters(state: State, runtime: Runtime[RunContext]) -> list[str]:
    """The nodes that follow a round: both sides again, or the research manager."""
    options = runtime.context.options
    if state["debate_round"] > options.debate_rounds:
        return ["research_manager"]
    if options.debate is Debate.SERIAL:
        return [DEBATERS[0]]
    return list(DEBATERS)
