"""Fan-out and join: dispatching the analysts and the risk team, and aggregating the reports.

All branches of a fan-out start in the same superstep. The dispatcher's span ends before its
branches start, and each branch links back to it. Sequential dispatch opens the same span, and then
the edges of the graph visit the branches one by one.
"""

from collections.abc import Sequence
from typing import cast

from langgraph.runtime import Runtime
from langgraph.types import Command, Send

from trading_graph.graph.context import RunContext, graph_task, span_context, traceparent
from trading_graph.graph.errors import NoEvidenceError
from trading_graph.graph.options import RISK_ANALYSTS, Order
from trading_graph.graph.prefetch import start_prefetch
from trading_graph.graph.state import State
from trading_graph.otel import spans
from trading_graph.otel.trace import semconv


async def dispatch_analysts(state: State, runtime: Runtime[RunContext]) -> Command[str]:
    """Fan out to the selected analysts, and start the prefetch if the options ask for it."""
    context = runtime.context
    command = _dispatch("analysts", context.options.analysts, {}, runtime)
    if context.options.prefetch:
        dispatcher = span_context(cast(State, command.update)["dispatcher"])
        start_prefetch(context, dispatcher)
    return command


async def dispatch_risk_team(state: State, runtime: Runtime[RunContext]) -> Command[str]:
    """Fan out to the risk team for its next round."""
    round_ = state.get("risk_round", 0) + 1
    return _dispatch("risk_team", RISK_ANALYSTS, {**state, "risk_round": round_}, runtime)


async def aggregate_reports(state: State, runtime: Runtime[RunContext]) -> State:
    """Join the analysts' branches; raises NoEvidenceError when every report is missing.

    A run whose budget is reached continues even so, to the decision that says so.
    """
    reports = state.get("reports", [])
    missing = [report for report in reports if report.missing]
    with spans.join("reports", task=graph_task(runtime)) as span:
        if missing:
            span.set_attribute(semconv.DEGRADED, [report.agent for report in missing])
        if len(missing) == len(reports) and not state.get("budget_reached"):
            raise NoEvidenceError(f"No analyst could report; the first reason: {missing[0].text}")
    return {"debate_round": 1}


def _dispatch(
    group: str,
    branches: Sequence[str],
    state: State,
    runtime: Runtime[RunContext],
) -> Command[str]:
    with spans.dispatch(group, fanout=len(branches), task=graph_task(runtime)) as span:
        branch_state: State = {**state, "dispatcher": traceparent(span)}
    update: State = {"dispatcher": branch_state["dispatcher"]}
    if "risk_round" in state:
        update["risk_round"] = state["risk_round"]
    if runtime.context.options.dispatch is Order.SEQUENTIAL:
        return Command(update=update)
    return Command(update=update, goto=[Send(branch, branch_state) for branch in branches])
