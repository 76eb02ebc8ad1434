"""One analysis: the run's span around the graph, and the decision at its end."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import cast

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.runnables import RunnableConfig
from langsmith.run_helpers import tracing_context
from opentelemetry.context import Context
from opentelemetry.trace import TracerProvider
from opentelemetry.util.types import AttributeValue

from trading_graph.graph.backends import Backends
from trading_graph.graph.budget import Spending
from trading_graph.graph.build import Graph, build_graph
from trading_graph.graph.checkpoints import Checkpoints
from trading_graph.graph.context import RunContext
from trading_graph.graph.decisions import Decision
from trading_graph.graph.options import Limit, Options
from trading_graph.graph.state import Report, State, Statement, Usage
from trading_graph.otel import spans
from trading_graph.otel.spans import RunSpan, SpanListener, UnfinishedRun
from trading_graph.otel.trace import semconv
from trading_graph.toolkit import data_attributes
from trading_graph.toolkit.cache import count_cache_use

WORKFLOW = "trading_graph"


@dataclass(frozen=True, slots=True)
class Analysis:
    """The result of a run: the decision, and everything that led to it."""

    decision: Decision
    reports: Sequence[Report]
    statements: Sequence[Statement]
    opinions: Sequence[Statement]
    usage: Sequence[Usage]
    seconds: float


@asynccontextmanager
async def record_run(
    options: Options,
    backends: Backends,
    provider: TracerProvider,
    *,
    parent: Context | None = None,
    run_id: uuid.UUID | None = None,
    unfinished: UnfinishedRun | None = None,
    listeners: Sequence[SpanListener] = (),
) -> AsyncIterator[RunSpan]:
    """Open the run's span with all attributes that a judge of the trace needs.

    `unfinished` is what a killed process left of the run; `listeners` see every span.
    """
    # Compiling blocks for tens of milliseconds; `analyse` gets the graph from the cache.
    await asyncio.to_thread(build_graph, options)
    choice = backends.choice
    attributes: dict[str, AttributeValue] = {
        data_attributes.SYMBOL: options.symbol,
        data_attributes.AS_OF: str(options.as_of),
        semconv.CHAIN_EXPECTED: options.expected_chain,
        semconv.DISPATCH: options.dispatch,
        data_attributes.DATA_MODE: choice.data,
        semconv.LATENCY_SIMULATED: choice.simulated,
    }
    if choice.model is None:
        attributes[semconv.LATENCY_CHAT_S] = choice.chat_latency_s
    async with spans.run(
        WORKFLOW,
        provider=provider,
        attributes=attributes,
        parent=parent,
        run_id=run_id,
        unfinished=unfinished,
        listeners=listeners,
    ) as run:
        with count_cache_use(run.span):
            yield run


async def analyse(
    options: Options,
    backends: Backends,
    run: RunSpan,
    *,
    callbacks: Sequence[BaseCallbackHandler] = (),
    checkpoints: Checkpoints | None = None,
) -> Analysis:
    """Run the graph inside an open run, with LangChain's callbacks beside our spans.

    Nothing goes to LangSmith unless its tracer is among the callbacks, whatever its variables say.
    Work that `checkpoints` already hold is not repeated. Raises AnalysisError or a toolkit
    BadRequest.
    """
    start = time.perf_counter()
    spending = Spending(options.budget, run.span)
    async with AsyncExitStack() as at_end:
        with tracing_context(enabled=None if callbacks else False):
            state = await _state(
                build_graph(options),
                checkpoints,
                {
                    "run_id": uuid.UUID(run.run_id),
                    "run_name": WORKFLOW,
                    "callbacks": list(callbacks),
                    "recursion_limit": 100,
                    "metadata": {"symbol": options.symbol, "as_of": str(options.as_of)},
                },
                RunContext(options, backends.models, backends.toolkit, at_end, spending),
            )
    decision = _decision(options, backends, run, state)
    if decision.degraded:
        run.span.set_attribute(semconv.DEGRADED, decision.missing_reports)
    return Analysis(
        decision=decision,
        reports=state["reports"],
        statements=state.get("statements", []),
        opinions=state.get("opinions", []),
        usage=state["usage"],
        seconds=time.perf_counter() - start,
    )


async def _state(
    graph: Graph, checkpoints: Checkpoints | None, config: RunnableConfig, context: RunContext
) -> State:
    """The state at the graph's end, from its start or from an earlier process's checkpoint."""
    if checkpoints is None:
        return cast(State, await graph.ainvoke(State(), config, context=context))
    graph = graph.copy({"checkpointer": checkpoints})
    config = {**config, "configurable": {"thread_id": str(config["run_id"])}}
    snapshot = await graph.aget_state(config)
    # Not `next`: it omits tasks that have written already, and a process that ended before its next
    # checkpoint may have left only those.
    if snapshot.values and not snapshot.tasks:
        return cast(State, snapshot.values)
    resumes = bool(snapshot.tasks)
    # LangSmith already has the id, from the tree that the killed process started.
    config = {**config, "run_id": None} if resumes else config
    start = None if resumes else State()
    state = await graph.ainvoke(start, config, context=context, durability="async")
    return cast(State, state)


def _decision(options: Options, backends: Backends, run: RunSpan, state: State) -> Decision:
    choice = backends.choice
    missing = [report.agent for report in state["reports"] if report.missing]
    warnings = state.get("warnings", [])
    limit = state.get("budget_reached")
    return Decision(
        run_id=run.run_id,
        trace_id=run.trace_id,
        symbol=options.symbol,
        as_of=options.as_of.date,
        session=state["levels"].session,
        decision=state["decision"],
        plan=state["plan"],
        proposal=state["proposal"],
        degraded=bool(warnings),
        missing_reports=missing,
        warnings=warnings,
        budget_reached=Limit(limit) if limit else None,
        model=choice.model_label,
        data=choice.data_label,
        simulated_latency=choice.simulated,
    )
