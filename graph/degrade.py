"""What becomes of an agent that fails: its part is missing, and said to be missing.

The failure ends at the agent's own node, so LangGraph never cancels its siblings. (Its
`error_handler=` would do that too, but a node that a handler has replaced does not trigger its
edges: measured on 1.2.22, a join whose branches all failed never ran, and the run ended without a
decision.) What would fail for every agent alike is raised and ends the run.
"""

from collections.abc import Callable

from langgraph.errors import GraphBubbleUp
from langgraph.runtime import Runtime

from trading_graph.graph.context import Node, RunContext
from trading_graph.graph.errors import FATAL, BudgetReached
from trading_graph.graph.state import Report, State, Statement
from trading_graph.toolkit.errors import DataError

_ENDS_THE_RUN: tuple[type[Exception], ...] = (GraphBubbleUp, *FATAL)

Missing = Callable[[str, State, str], State]


def degrading(name: str, node: Node, missing: Missing) -> Node:
    """The node, with `missing(name, state, reason)` in place of what it could not bring."""

    async def guarded(state: State, runtime: Runtime[RunContext]) -> State:
        try:
            return await node(state, runtime)
        except _ENDS_THE_RUN:
            raise
        except Exception as error:
            reason = reason_of(name, error)
            return {**missing(name, state, reason), "warnings": [reason]}

    return guarded


def missing_report(name: str, state: State, reason: str) -> State:
    """A marked report of an analyst."""
    return {"reports": [Report(name, reason, missing=True)]}


def missing_statement(name: str, state: State, reason: str) -> State:
    """A marked statement of a debater."""
    said = Statement(name, state["debate_round"], f"(no statement: {reason})")
    return {"statements": [said]}


def missing_opinion(name: str, state: State, reason: str) -> State:
    """A marked opinion of a risk analyst."""
    said = Statement(name, state["risk_round"], f"(no opinion: {reason})")
    return {"opinions": [said]}


def reason_of(name: str, error: Exception) -> str:
    """Why an agent has no result, in one sentence that names it."""
    # A source that was too slow and a run out of time are TimeoutErrors too, and say so themselves.
    if isinstance(error, TimeoutError) and not isinstance(error, DataError | BudgetReached):
        return f"{name}: it did not finish within its time budget; raise --agent-budget."
    text = str(error) or type(error).__name__
    return text if text.startswith(f"{name}:") else f"{name}: {text}"
