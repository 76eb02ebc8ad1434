"""What every node of one run can reach, and where the node stands in the run and its trace."""

from collections.abc import Awaitable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Protocol

from langgraph.config import get_config
from langgraph.errors import GraphBubbleUp
from langgraph.runtime import Runtime
from opentelemetry import trace
from opentelemetry.trace import Span, SpanContext
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from trading_graph.graph.budget import Spending
from trading_graph.graph.chat.models import Models
from trading_graph.graph.errors import AnalysisError
from trading_graph.graph.options import Options
from trading_graph.graph.past_decisions import LoggedDecision
from trading_graph.graph.state import State
from trading_graph.otel.spans import GraphPlace, register_control_flow, register_own_errors
from trading_graph.toolkit.errors import DataError
from trading_graph.toolkit.market_data import AsyncToolkit

_PROPAGATOR = TraceContextTextMapPropagator()

# LangGraph raises interrupts and commands to a parent graph as exceptions, but they are no errors.
register_control_flow(GraphBubbleUp)
register_own_errors(AnalysisError, DataError)


@dataclass(frozen=True, slots=True)
class RunContext:
    """The run-scoped context that LangGraph hands to each node.

    `at_end` holds what has to end before the run's span does. `past_decisions` are what the judge
    is told of earlier runs.
    """

    options: Options
    models: Models
    toolkit: AsyncToolkit
    at_end: AsyncExitStack
    spending: Spending
    past_decisions: Sequence[LoggedDecision] = ()


class Node(Protocol):
    """A node of the graph."""

    def __call__(self, state: State, runtime: Runtime[RunContext]) -> Awaitable[State]:
        """Return what the node adds to the state."""
        ...


def graph_task(runtime: Runtime[RunContext]) -> GraphPlace:
    """Where LangGraph scheduled the running node."""
    metadata = get_config().get("metadata", {})
    execution = runtime.execution_info
    return GraphPlace(
        node=str(metadata.get("langgraph_node", "")),
        step=int(metadata.get("langgraph_step", 0)),
        task_id=execution.task_id if execution else "",
        attempt=execution.node_attempt if execution else 1,
    )


def traceparent(span: Span) -> str:
    """The W3C traceparent of a span; empty for a span that is not recorded.

    As text, a span's identity can travel in the graph's state and survive a checkpoint.
    """
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier, trace.set_span_in_context(span))
    return carrier.get("traceparent", "")


def span_context(traceparent: str) -> SpanContext | None:
    """The span that a traceparent names, or None."""
    context = _PROPAGATOR.extract({"traceparent": traceparent})
    identity = trace.get_current_span(context).get_span_context()
    return identity if identity.is_valid else None
