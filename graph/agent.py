"""What all agents share: span, time budget, account, and how a failure ends.

An agent's failure ends at its own node, so LangGraph never cancels its siblings. (LangGraph's
`error_handler=` would do that too, but a node that a handler replaced does not trigger its edges.
Measured on 1.2.22: a join whose branches all failed never ran, and the run ended without a
decision.) An error that every agent would meet alike is raised and ends the run.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from langgraph.errors import GraphBubbleUp
from langgraph.runtime import Runtime

from trading_graph.graph.context import Node, RunContext, graph_task, span_context
from trading_graph.graph.errors import FATAL, BudgetReachedError
from trading_graph.graph.state import Evidence, Report, State, Statement
from trading_graph.otel import spans
from trading_graph.toolkit.errors import DataError

ENDS_THE_RUN: tuple[type[Exception], ...] = (GraphBubbleUp, *FATAL)
"""Errors that end the run, wherever they happen."""

Fallback = Callable[[str, State, str], State]


@asynccontextmanager
async def agent_span(
    name: str, runtime: Runtime[RunContext], *, dispatcher: str = ""
) -> AsyncIterator[None]:
    """Open an agent's span, linked to its dispatcher's, and enforce the agent's time budget."""
    context = runtime.context
    with spans.agent(
        name,
        dispatcher=span_context(dispatcher),
        provider=context.models.service.provider,
        task=graph_task(runtime),
    ):
        async with context.spending.agent_time(name, context.options.agent_budget_s):
            yield


def report_usage(name: str, node: Node) -> Node:
    """Wrap a node so that its update carries what its calls took and how they fared.

    That is the usage of all its calls, failures included, and a warning for each that was altered.
    """

    async def wrapper(state: State, runtime: Runtime[RunContext]) -> State:
        spending = runtime.context.spending
        # The first node of a resumed run learns here what the earlier process spent.
        spending.catch_up(state.get("usage", []), state.get("budget_reached", ""))
        update = await node(state, runtime)
        if notes := spending.claim_notes(name):
            update = {**update, "warnings": [*notes, *update.get("warnings", [])]}
        return {
            **update,
            "usage": spending.claim(name),
            # As plain text, so that a reader of a checkpoint need not know our types.
            "budget_reached": str(spending.limit or ""),
        }

    return wrapper


def degrade(name: str, node: Node, fallback: Fallback) -> Node:
    """Wrap a node so that a failure yields `fallback(name, state, reason)` and a warning."""

    async def wrapper(state: State, runtime: Runtime[RunContext]) -> State:
        try:
            return await node(state, runtime)
        except ENDS_THE_RUN:
            raise
        except Exception as error:
            reason = failure_reason(name, error)
            return {**fallback(name, state, reason), "warnings": [reason]}

    return wrapper


def missing_report(name: str, state: State, reason: str) -> State:
    """An analyst's report that is marked as missing."""
    return {"reports": [Report(name, reason, missing=True, evidence=Evidence.NONE)]}


def missing_statement(name: str, state: State, reason: str) -> State:
    """A debater's statement that gives the reason for its absence."""
    return {"statements": [Statement(name, state["debate_round"], f"(no statement: {reason})")]}


def missing_opinion(name: str, state: State, reason: str) -> State:
    """A risk analyst's opinion that gives the reason for its absence."""
    return {"opinions": [Statement(name, state["risk_round"], f"(no opinion: {reason})")]}


def failure_reason(name: str, error: Exception) -> str:
    """Why an agent has no result, in one sentence that names the agent."""
    # A slow source and a run out of time are TimeoutErrors too, but bring their own sentence.
    if isinstance(error, TimeoutError) and not isinstance(error, DataError | BudgetReachedError):
        return f"{name}: it did not finish within its time budget; raise --agent-budget."
    text = str(error) or type(error).__name__
    return text if text.startswith(f"{name}:") else f"{name}: {text}"
