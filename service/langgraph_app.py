"""The graph that `langgraph.json` names: one node that runs a whole analysis.

LangGraph's server calls a graph directly. On the inner graph one run would leave four traces, since
nothing would open the run's span; this outer node opens it. The server imports the module once for
each graph entry, so the import has no side effects.
"""

import asyncio
from functools import lru_cache
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from langgraph.graph import END, START, StateGraph

from trading_graph.graph.analysis import analyse, record_run
from trading_graph.graph.backends import open_backends
from trading_graph.graph.options import Options
from trading_graph.otel.export import LangSmithTarget, Telemetry, set_up
from trading_graph.service.extras import VERSION
from trading_graph.service.langsmith import langsmith_mode, langsmith_target
from trading_graph.service.run.langsmith_tracer import langsmith_callbacks
from trading_graph.service.run.monitoring import RunMetrics
from trading_graph.service.run.request import default_date
from trading_graph.service.settings import backend_choice, read_settings
from trading_graph.toolkit.as_of import AsOf
from trading_graph.toolkit.symbols import parse_symbol


class AnalysisInput(TypedDict):
    """What to analyse; the date defaults as on the command line."""

    symbol: str
    date: NotRequired[str]


class AnalysisOutput(TypedDict):
    """The decision, as in `decision.json`."""

    decision: dict[str, Any]


class AnalysisState(AnalysisInput, AnalysisOutput):
    """Input and output together."""


@lru_cache(maxsize=1)
def _telemetry(langsmith: LangSmithTarget | None, spool: Path) -> Telemetry:
    return set_up("trading-graph", VERSION, langsmith, spool=spool)


@lru_cache(maxsize=1)
def _metrics(telemetry: Telemetry) -> RunMetrics:
    return RunMetrics(telemetry.metrics.meter)


async def analysis(state: AnalysisInput) -> AnalysisOutput:
    """Run one analysis inside its own trace."""
    settings = await asyncio.to_thread(read_settings)
    mode = langsmith_mode(settings, offline=False)
    choice = backend_choice(settings, offline=False)
    options = Options(
        symbol=parse_symbol(state["symbol"]),
        as_of=AsOf.parse(state.get("date") or default_date(choice.data)),
        budget=settings.budget,
    )
    target = langsmith_target(settings, mode)
    telemetry = await asyncio.to_thread(_telemetry, target, settings.spool)
    metrics = _metrics(telemetry)
    try:
        async with (
            open_backends(choice) as backends,
            langsmith_callbacks(mode, settings.redactor) as callbacks,
            record_run(options, backends, telemetry.provider) as run,
        ):
            with metrics.watching(backends.pool):
                run.recording.listen(metrics.spans)
                outcome = await analyse(options, backends, run, callbacks=callbacks)
    finally:
        # The server may be stopped right after its answer, and after SIGTERM runs no exit handler.
        await asyncio.to_thread(telemetry.flush)
    return {"decision": outcome.decision.model_dump(mode="json")}


graph = (
    StateGraph(AnalysisState, input_schema=AnalysisInput, output_schema=AnalysisOutput)
    .add_node("analysis", analysis)
    .add_edge(START, "analysis")
    .add_edge("analysis", END)
    .compile(name="trading_graph")
)
