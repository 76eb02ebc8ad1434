"""What an agent's calls took, told to the run's state however the agent ended."""

from langgraph.runtime import Runtime

from trading_graph.graph.context import Node, RunContext
from trading_graph.graph.state import State


def accounted(name: str, node: Node) -> Node:
    """The node, with the usage of all its calls, those that failed included."""

    async def counted(state: State, runtime: Runtime[RunContext]) -> State:
        spending = runtime.context.spending
        # The first node of a resumed run learns here what its earlier life has spent.
        spending.catch_up(state.get("usage", []), state.get("budget_reached", ""))
        update = await node(state, runtime)
        return {
            **update,
            "usage": spending.claim(name),
            # As text: what is kept of a run need not know our types.
            "budget_reached": str(spending.reached or ""),
        }

    return counted
