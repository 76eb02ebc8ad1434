"""What becomes of an agent that fails: its part is missing and said to be missing.

LangGraph calls these handlers instead of cancelling the failed node's siblings. What would fail for every
agent alike is raised again and ends the run.
"""

from typing import Any

from langgraph.errors import NodeError

from graph.errors import FATAL
from graph.state import Report, State, Statement

# LangGraph injects the error by its type; its own annotations know of no handler that takes one.
Handler = Any


def missing_report(name: str) -> Handler:
    """Handle a failed analyst: a marked report."""

    async def handler(state: State, error: NodeError) -> State:
        reason = _reason(name, error.error)
        return {"reports": [Report(name, reason, missing=True)], "warnings": [reason]}

    return handler


def missing_statement(name: str) -> Handler:
    """Handle a failed debater: a marked statement."""

    async def handler(state: State, error: NodeError) -> State:
        reason = _reason(name, error.error)
        said = Statement(name, state["debate_round"], f"(no statement: {reason})")
        return {"statements": [said], "warnings": [reason]}

    return handler


def missing_opinion(name: str) -> Handler:
    """Handle a failed risk analyst: a marked opinion."""

    async def handler(state: State, error: NodeError) -> State:
        reason = _reason(name, error.error)
        said = Statement(name, state["risk_round"], f"(no opinion: {reason})")
        return {"opinions": [said], "warnings": [reason]}

    return handler


def _reason(name: str, error: BaseException) -> str:
    if isinstance(error, FATAL) or not isinstance(error, Exception):
        raise error
    if isinstance(error, TimeoutError):
        return f"{name} did not finish within its time budget; raise --agent-budget."
    text = str(error) or type(error).__name__
    return text if text.startswith(f"{name}:") else f"{name}: {text}"
