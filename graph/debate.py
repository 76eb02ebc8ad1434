"""The debate of bull and bear, in rounds: both at once, or taking turns.

At once means that each sees the other's statements of the rounds before; with one round these are
two independent statements.
"""

from langgraph.runtime import Runtime

from trading_graph.graph import prompts
from trading_graph.graph.context import Node, RunContext
from trading_graph.graph.options import DEBATERS, Debate
from trading_graph.graph.speaker import speak
from trading_graph.graph.state import State


def debater(name: str) -> Node:
    """The node of one side of the debate."""

    async def node(state: State, runtime: Runtime[RunContext]) -> State:
        statements = state.get("statements", [])
        blocks = [
            *prompts.reports_blocks(state["reports"]),
            *prompts.statement_blocks(statements),
        ]
        statement = await speak(name, blocks, state["debate_round"], runtime)
        return {"statements": [statement]}

    return node


async def end_debate_round(state: State) -> State:
    """Count the round that both sides have finished."""
    return {"debate_round": state["debate_round"] + 1}


def next_debaters(state: State, runtime: Runtime[RunContext]) -> list[str]:
    """Who speaks after a round: both sides again, or the research manager."""
    options = runtime.context.options
    if state["debate_round"] > options.debate_rounds:
        return ["research_manager"]
    if options.debate is Debate.SERIAL:
        return [DEBATERS[0]]
    return list(DEBATERS)
