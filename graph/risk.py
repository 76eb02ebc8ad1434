"""The risk team: three views on the proposed trade, in rounds."""

from langgraph.runtime import Runtime

from trading_graph.graph import prompts
from trading_graph.graph.context import Node, RunContext
from trading_graph.graph.speaker import speak
from trading_graph.graph.state import Report, State


def risk_analyst(name: str) -> Node:
    """The node of one member of the risk team."""

    async def node(state: State, runtime: Runtime[RunContext]) -> State:
        blocks = [
            prompts.model_block("plan", state["plan"]),
            prompts.model_block("proposal", state["proposal"]),
            prompts.price_levels_block(state["levels"]),
            *prompts.reports_blocks(missing(state["reports"])),
            *prompts.statement_blocks(state.get("opinions", [])),
        ]
        opinion = await speak(
            name, blocks, state["risk_round"], runtime, dispatcher=state["dispatcher"]
        )
        return {"opinions": [opinion]}

    return node


def missing(reports: list[Report]) -> list[Report]:
    """The reports that could not be made: a gap in the evidence is a risk of its own."""
    return [report for report in reports if report.missing]


async def end_risk_round(state: State) -> State:
    """Nothing to count: the dispatcher numbers the rounds."""
    return {}


def after_risk_round(state: State, runtime: Runtime[RunContext]) -> str:
    """Another round of the risk team, or the judge."""
    if state["risk_round"] < runtime.context.options.risk_rounds:
        return "risk_dispatcher"
    return "risk_judge"
