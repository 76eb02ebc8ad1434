"""What every node of one run can reach: the options, the models, the market data."""

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Protocol

from langgraph.config import get_config
from langgraph.errors import GraphBubbleUp
from langgraph.runtime import Runtime

from trading_graph.graph.background import Background
from trading_graph.graph.errors import AnalysisError
from trading_graph.graph.models import Models
from trading_graph.graph.options import Options
from trading_graph.graph.spending import Spending
from trading_graph.graph.state import State
from trading_graph.otel.spans import GraphTask, register_control_flow, register_own_errors
from trading_graph.toolkit.errors import DataError
from trading_graph.toolkit.market_data import AsyncToolkit

# Interrupts and commands to a parent graph are raised as exceptions, and are none.
register_control_flow(GraphBubbleUp)
register_own_errors(AnalysisError, DataError)


@dataclass(frozen=True, slots=True)
class RunContext:
    """The run-scoped context that LangGraph hands to each node."""

    options: Options
    models: Models
    toolkit: AsyncToolkit
    background: Background
    spending: Spending


class Node(Protocol):
    """A node of the graph."""

    def __call__(self, state: State, runtime: Runtime[RunContext]) -> Awaitable[State]:
        """What the node adds to the state."""
        ...


def graph_task(runtime: Runtime[RunContext]) -> GraphTask:
    """Where LangGraph scheduled the node that is running."""
    metadata = get_config().get("metadata", {})
    execution = runtime.execution_info
    return GraphTask(
        node=str(metadata.get("langgraph_node", "")),
        step=int(metadata.get("langgraph_step", 0)),
        task_id=execution.task_id if execution else "",
        attempt=execution.node_attempt if execution else 1,
    )
