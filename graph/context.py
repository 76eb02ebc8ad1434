"""What every node of one run can reach: the options, the models, the market data."""

from dataclasses import dataclass

from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphBubbleUp
from langgraph.runtime import Runtime

from graph.models import Models
from graph.options import Options
from otel.spans import GraphTask, register_control_flow
from toolkit.market_data import AsyncToolkit

# Interrupts and commands to a parent graph are raised as exceptions, and are none.
register_control_flow(GraphBubbleUp)


@dataclass(frozen=True, slots=True)
class RunContext:
    """The run-scoped context that LangGraph hands to each node."""

    options: Options
    models: Models
    toolkit: AsyncToolkit


def graph_task(runtime: Runtime[RunContext], config: RunnableConfig) -> GraphTask:
    """Where LangGraph scheduled the node that is running."""
    metadata = config.get("metadata", {})
    execution = runtime.execution_info
    return GraphTask(
        node=str(metadata.get("langgraph_node", "")),
        step=int(metadata.get("langgraph_step", 0)),
        task_id=execution.task_id if execution else "",
        attempt=execution.node_attempt if execution else 1,
    )
