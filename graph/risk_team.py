"""The risk team: three views on the proposed trade, in rounds."""

from langgraph.runtime import Runtime

from trading_graph.graph import prompts
from trading_graph.graph.agent import speak
from trading_graph.graph.context import Node, RunContext
from trading_graph.graph.state import State


def risk_analyst(name: str) -> Node:
    """The node of one member of the risk team."""

    async def node(state: State, runtime: Runtime[RunContext]) -> State:
        # Only the missing reports: a gap in the evidence is a risk of its own.
        gaps = [report for report in state["reports"] if report.missing]
        blocks = [
            prompts.model_block("plan", state["plan"]),
            prompts.model_block("proposal", state["proposal"]),
            prompts.price_levels_block(state["levels"]),
            *prompts.reports_blocks(gaps),
            *prompts.statement_blocks(state.get("opinions", [])),
        ]
        opinion = await speak(
            name, blocks, state["risk_round"], runtime, dispatcher=state["dispatcher"]
        )
        return {"opinions": [opinion]}

    return node


async def end_risk_round(state: State) -> State:
    """Join the team's branches; the dispatcher counts the rounds."""
    return {}


def after_risk_round(state: State, runtime: Runtime[RunContext]) -> str:
    """The node that follows a round: the dispatcher for another one, or the judge."""
    if state["risk_round"] < runtime.context.options.risk_rounds:
        return "risk_dispatcher"
    return "risk_judge"
