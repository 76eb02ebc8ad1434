"""Sending branches on their way, all in the same superstep.

The dispatcher's span ends before its branches start; each branch links back to it. With sequential
dispatch the same span is opened, and the edges of the graph then visit the branches one by one.
"""

from collections.abc import Sequence
from typing import cast

from langgraph.runtime import Runtime
from langgraph.types import Command, Send

from trading_graph.graph.context import RunContext, graph_task
from trading_graph.graph.links import span_context, traceparent
from trading_graph.graph.options import RISK_ANALYSTS, Order
from trading_graph.graph.prefetch import prefetch
from trading_graph.graph.state import State
from trading_graph.otel import spans


async def dispatch_analysts(state: State, runtime: Runtime[RunContext]) -> Command[str]:
    """Fan out to the selected analysts, and start to fetch what they will ask for if wanted."""
    context = runtime.context
    command = _dispatch("analysts", context.options.analysts, {}, runtime)
    if context.options.prefetch:
        dispatcher = span_context(cast(State, command.update)["dispatcher"])
        context.background.start(prefetch(context, dispatcher))
    return command


async def dispatch_risk_team(state: State, runtime: Runtime[RunContext]) -> Command[str]:
    """Fan out to the risk team for its next round."""
    round_ = state.get("risk_round", 0) + 1
    return _dispatch("risk_team", RISK_ANALYSTS, {**state, "risk_round": round_}, runtime)


def _dispatch(
    what: str,
    branches: Sequence[str],
    state: State,
    runtime: Runtime[RunContext],
) -> Command[str]:
    with spans.dispatch(what, fanout=len(branches), task=graph_task(runtime)) as span:
        sent: State = {**state, "dispatcher": traceparent(span)}
    update: State = {"dispatcher": sent["dispatcher"]}
    if "risk_round" in state:
        update["risk_round"] = state["risk_round"]
    if runtime.context.options.dispatch is Order.SEQUENTIAL:
        return Command(update=update)
    return Command(update=update, goto=[Send(branch, sent) for branch in branches])
