"""Where the analysts' reports come together."""

from langgraph.runtime import Runtime

from trading_graph.graph.context import RunContext, graph_task
from trading_graph.graph.errors import NoEvidence
from trading_graph.graph.state import State
from trading_graph.otel import spans
from trading_graph.otel.trace import semconv


async def aggregate_reports(state: State, runtime: Runtime[RunContext]) -> State:
    """Check what the analysts brought; raises NoEvidence when not one of them could report.

    When the run's budget is reached it goes on even so, to the decision that says that.
    """
    reports = state.get("reports", [])
    missing = [report for report in reports if report.missing]
    with spans.join("reports", task=graph_task(runtime)) as span:
        if missing:
            span.set_attribute(semconv.DEGRADED, [report.agent for report in missing])
        if len(missing) == len(reports) and not state.get("budget_reached"):
            raise NoEvidence(f"No analyst could report; the first reason: {missing[0].text}")
    return {"debate_round": 1}
