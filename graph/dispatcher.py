"""Fan-out and join: dispatching the analysts and the risk team, and aggregating the reports.

All branches of a fan-out start in the same superstep. The dispatcher's span ends before its
branches start, and each branch links back to it. Sequential dispatch opens the same span, and then
the edges of the graph visit the branches one by one.

The prefetch starts here too: it fetches the analysts' data while their first LLM turn still runs.
The prompts say which tools an analyst is to call, so its data can be fetched ahead. Prefetch and
tool calls meet in the cache: an early call shares the fetch, a late one gets its result. A model's
further calls fetch for themselves, and data that no model asks for was fetched in vain.
"""

import asyncio
from collections.abc import Awaitable, Iterator, Sequence
from typing import cast

from langgraph.runtime import Runtime
from langgraph.types import Command, Send
from opentelemetry.trace import SpanContext

from trading_graph.graph.context import RunContext, graph_task, span_context, traceparent
from trading_graph.graph.errors import NoEvidenceError
from trading_graph.graph.options import RISK_ANALYSTS, Order
from trading_graph.graph.state import State
from trading_graph.otel import spans
from trading_graph.otel.trace import semconv
from trading_graph.toolkit import data_attributes
from trading_graph.toolkit.as_of import AsOf
from trading_graph.toolkit.errors import DataError
from trading_graph.toolkit.market_data import MACRO_SERIES, STATEMENT_KINDS, AsyncToolkit
from trading_graph.toolkit.records import SourceAnswer
from trading_graph.toolkit.symbols import identify
from trading_graph.toolkit.tools import TOOLS


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
    gaps = [report for report in reports if report.is_gap]
    with spans.join("reports", task=graph_task(runtime)) as span:
        if gaps:
            span.set_attribute(semconv.DEGRADED, [each.agent for each in gaps])
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


def start_prefetch(context: RunContext, dispatcher: SpanContext | None) -> None:
    """Start the prefetch below the current span, as a task that the run owns.

    LangGraph ends a node's own tasks with the node. This one continues while later nodes run. Where
    it still runs at the end it is cancelled, since nobody waits for it, before the run's span ends:
    else the count of spans that the run declares would miss its.
    """
    task = asyncio.create_task(prefetch(context, dispatcher))

    async def end() -> None:
        task.cancel()
        # Its error shows on its span; collected, asyncio does not report it as never retrieved.
        await asyncio.gather(task, return_exceptions=True)

    context.at_end.push_async_callback(end)


async def prefetch(context: RunContext, dispatcher: SpanContext | None) -> None:
    """Fetch the data of all the run's analysts at once, below a span linked to the dispatcher.

    A DataError is no error here: the analyst that asks for the data will meet it again.
    """
    options = context.options
    with spans.prefetch(
        "market_data",
        attributes={
            data_attributes.SYMBOL: options.symbol,
            data_attributes.AS_OF: str(options.as_of),
        },
        dispatcher=dispatcher,
    ):
        fetches = [
            fetch
            for analyst in options.analysts
            for fetch in _fetches(analyst, context.toolkit, options.symbol, options.as_of)
        ]
        results = await asyncio.gather(*fetches, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception) and not isinstance(result, DataError):
                raise result


def _fetches(
    analyst: str, toolkit: AsyncToolkit, symbol: str, as_of: AsOf
) -> Iterator[Awaitable[SourceAnswer]]:
    """What the prompt of an analyst tells it to ask for."""
    match analyst:
        case "market_analyst" | "social_analyst":
            yield toolkit.bars(symbol, as_of)
            if benchmark := identify(symbol).benchmark:
                yield toolkit.bars(benchmark, as_of)
            if analyst == "social_analyst" and TOOLS["get_posts"].available(toolkit, as_of):
                yield toolkit.posts(symbol, as_of)
        case "news_analyst":
            yield toolkit.filings(symbol, as_of, ("8-K",))
            yield toolkit.filings(symbol, as_of, ("10-Q", "10-K"))
            yield toolkit.insiders(symbol, as_of)
            for series in MACRO_SERIES:
                yield toolkit.macro(series, as_of)
            if TOOLS["get_news"].available(toolkit, as_of):
                yield toolkit.news(symbol, as_of)
        case "fundamentals_analyst":
            yield toolkit.bars(symbol, as_of)
            for kind in STATEMENT_KINDS:
                yield toolkit.statements(symbol, as_of, kind)
