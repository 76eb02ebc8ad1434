"""Building the graph and running one analysis: the run's span around it, the decision at its end.

    START -> dispatcher =Send=> analysts -> aggregator -> bull || bear (x rounds)
          -> research_manager -> trader
          -> risk_dispatcher =Send=> risk team (x rounds) -> risk_judge -> END

A run whose research manager or trader brought no usable answer ends there, as a marked HOLD.
Sequential dispatch and a serial debate replace the fan-outs by chains of the same nodes.
"""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Durability
from langsmith.run_helpers import tracing_context
from opentelemetry.context import Context
from opentelemetry.trace import Link, TracerProvider
from opentelemetry.util.types import AttributeValue

from trading_graph.graph import deciders
from trading_graph.graph.accounts import account_of, order_of
from trading_graph.graph.agent import (
    degrade,
    missing_opinion,
    missing_report,
    missing_statement,
    report_usage,
)
from trading_graph.graph.analysts import analyst
from trading_graph.graph.backend_choice import BackendChoice
from trading_graph.graph.backends import Backends
from trading_graph.graph.budget import Spending
from trading_graph.graph.chat.rate_limits import declared_limits
from trading_graph.graph.checkpoints import Checkpoints
from trading_graph.graph.context import RunContext
from trading_graph.graph.decisions import Action, DecidedBy, Decision, FinalDecision
from trading_graph.graph.discussions import (
    after_risk_round,
    debater,
    end_debate_round,
    end_risk_round,
    next_debaters,
    risk_analyst,
)
from trading_graph.graph.dispatcher import (
    aggregate_reports,
    dispatch_analysts,
    dispatch_risk_team,
)
from trading_graph.graph.evidence import notes_of, weigh
from trading_graph.graph.languages import Language
from trading_graph.graph.options import DEBATERS, RISK_ANALYSTS, Debate, Limit, Options, Order
from trading_graph.graph.past_decisions import LoggedDecision, earlier
from trading_graph.graph.state import Report, State, Statement, Usage
from trading_graph.graph.undecided import complete_state
from trading_graph.otel import spans
from trading_graph.otel.spans import RunSpan, SpanListener, UnfinishedRun
from trading_graph.otel.trace import semconv
from trading_graph.toolkit import data_attributes
from trading_graph.toolkit.cache_use import count_cache_use
from trading_graph.toolkit.chart_bars import ChartBars
from trading_graph.toolkit.source_use import list_uses

Graph = CompiledStateGraph[State, RunContext, State, State]
Builder = StateGraph[State, RunContext, State, State]


def build_graph(options: Options) -> Graph:
    """The compiled graph for these options; equal topologies are compiled once."""
    return _compile(options.analysts, options.debate, options.dispatch)


@lru_cache(maxsize=64)
def _compile(analysts: tuple[str, ...], debate: Debate, dispatch: Order) -> Graph:
    graph: Builder = StateGraph(State, context_schema=RunContext)
    graph.add_edge(START, "dispatcher")
    graph.add_node("dispatcher", dispatch_analysts, destinations=analysts)
    for name in analysts:
        graph.add_node(name, report_usage(name, degrade(name, analyst(name), missing_report)))
    graph.add_node("aggregator", aggregate_reports)
    _fan(graph, "dispatcher", analysts, "aggregator", dispatch)

    for name in DEBATERS:
        graph.add_node(name, report_usage(name, degrade(name, debater(name), missing_statement)))
    graph.add_node("debate_round", end_debate_round)
    _debate(graph, debate)

    graph.add_node("research_manager", report_usage("research_manager", deciders.research_manager))
    _unless_undecided(graph, "research_manager", "trader")
    graph.add_node("trader", report_usage("trader", deciders.trader))
    _unless_undecided(graph, "trader", "risk_dispatcher")

    graph.add_node("risk_dispatcher", dispatch_risk_team, destinations=RISK_ANALYSTS)
    for name in RISK_ANALYSTS:
        graph.add_node(name, report_usage(name, degrade(name, risk_analyst(name), missing_opinion)))
    graph.add_node("risk_round", end_risk_round)
    _fan(graph, "risk_dispatcher", RISK_ANALYSTS, "risk_round", dispatch)
    graph.add_conditional_edges("risk_round", after_risk_round, ["risk_dispatcher", "risk_judge"])

    graph.add_node("risk_judge", report_usage("risk_judge", deciders.risk_judge))
    graph.add_edge("risk_judge", END)
    return graph.compile()


def _unless_undecided(graph: Builder, decider: str, following: str) -> None:
    """Go on after a deciding agent only where its answer is there: the rest would be paid in vain.

    Once the budget is reached nothing more is paid, and each agent says that it was refused.
    """

    def route(state: State) -> str:
        is_refused = state.get("budget_reached") and (decider != "trader" or "levels" in state)
        return END if state.get("undecided") and not is_refused else following

    graph.add_conditional_edges(decider, route, [following, END])


def _fan(graph: Builder, source: str, branches: Sequence[str], join: str, order: Order) -> None:
    if order is Order.PARALLEL:
        # The dispatcher itself sends to the branches; the join runs once, after all of them.
        for branch in branches:
            graph.add_edge(branch, join)
        return
    for before, after in zip([source, *branches], [*branches, join], strict=True):
        graph.add_edge(before, after)


def _debate(graph: Builder, debate: Debate) -> None:
    bull, bear = DEBATERS
    targets: Any = [*DEBATERS, "research_manager"]
    graph.add_conditional_edges("debate_round", next_debaters, targets)
    if debate is Debate.PARALLEL:
        graph.add_edge("aggregator", bull)
        graph.add_edge("aggregator", bear)
        graph.add_edge([bull, bear], "debate_round")
        return
    graph.add_edge("aggregator", bull)
    graph.add_edge(bull, bear)
    graph.add_edge(bear, "debate_round")


WORKFLOW = "trading_graph"


@dataclass(frozen=True, slots=True)
class Analysis:
    """The result of a run: the decision, and everything that led to it.

    `history` are the newest prices that the decision saw; None for a run without prices. `gaps` are
    those of the decision's notes that say what the sources lacked, though nothing failed.
    """

    decision: Decision
    reports: Sequence[Report]
    statements: Sequence[Statement]
    opinions: Sequence[Statement]
    usage: Sequence[Usage]
    seconds: float
    history: ChartBars | None = None
    gaps: Sequence[str] = ()


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
    links: Sequence[Link] = (),
) -> AsyncIterator[RunSpan]:
    """Open the run's span with all attributes that a judge of the trace needs.

    `unfinished` is what a killed process left of the run; `listeners` see every span; `links` are
    those of the run's span.
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
        **spans.limit_attributes(declared_limits(backends.models.service)),
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
        links=links,
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
    durable: bool = False,
    spending: Spending | None = None,
    past_decisions: Iterable[LoggedDecision] = (),
) -> Analysis:
    """Run the graph inside an open run, with LangChain's callbacks beside our spans.

    Nothing goes to LangSmith unless its tracer is among the callbacks, whatever its variables say.
    Work that `checkpoints` already hold is not repeated; a `durable` run begins no step before they
    hold the one before it. `spending` is the run's account, where the caller looks into it. Of
    `past_decisions` the judge is told the last from before the as-of date. Raises AnalysisError or
    a toolkit BadRequest.
    """
    start = time.perf_counter()
    spending = spending or Spending(options.budget, run.span)
    past = earlier(past_decisions, options.as_of.date)
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
                RunContext(options, backends.models, backends.toolkit, at_end, spending, past),
                durable=durable,
            )
    state = complete_state(state)
    decision = _decision(options, backends, run, state, past)
    if decision.degraded:
        gaps = [report.agent for report in state["reports"] if report.is_gap]
        run.span.set_attribute(semconv.DEGRADED, gaps)
    return Analysis(
        decision=decision,
        reports=state["reports"],
        statements=state.get("statements", []),
        opinions=state.get("opinions", []),
        usage=state["usage"],
        seconds=time.perf_counter() - start,
        gaps=state.get("gaps", []),
        history=state["levels"].history if "levels" in state else None,
    )


async def _state(
    graph: Graph,
    checkpoints: Checkpoints | None,
    config: RunnableConfig,
    context: RunContext,
    *,
    durable: bool,
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
    durability: Durability = "sync" if durable else "async"
    state = await graph.ainvoke(start, config, context=context, durability=durability)
    return cast(State, state)


async def state_so_far(options: Options, checkpoints: Checkpoints, run_id: str) -> State:
    """What the agents of a run have brought so far, also in a step that was not finished."""
    graph = build_graph(options).copy({"checkpointer": checkpoints})
    config: RunnableConfig = {"configurable": {"thread_id": str(uuid.UUID(run_id))}}
    snapshot = await graph.aget_state(config)
    state: dict[str, Any] = dict(snapshot.values)
    for task in snapshot.tasks:
        for name, value in (task.result or {}).items():
            state[name] = [*state.get(name, []), *value] if isinstance(value, list) else value
    return cast(State, state)


def _decision(
    options: Options,
    backends: Backends,
    run: RunSpan,
    state: State,
    past: Sequence[LoggedDecision],
) -> Decision:
    choice = backends.choice
    reports = state["reports"]
    limit = state.get("budget_reached")
    levels = state.get("levels")
    undecided = state.get("undecided", [])
    currency = levels.currency if levels else ""
    of_prices = [f"{options.symbol}: {text}" for text in levels.warnings] if levels else []
    # Two analysts that ask for the same prices are warned alike.
    warnings = list(dict.fromkeys([*of_prices, *state.get("warnings", [])]))
    decided_by = DecidedBy.NOBODY if "risk_judge" in undecided else DecidedBy.MODEL
    weighed = weigh(state["decision"], decided_by, reports, currency)
    return Decision(
        run_id=run.run_id,
        trace_id=run.trace_id,
        symbol=options.symbol,
        name=levels.name if levels else "",
        as_of=options.as_of.date,
        session=None if levels is None else levels.session,
        currency=currency,
        instrument=levels.instrument if levels else "",
        benchmark=levels.benchmark if levels else "",
        decision=weighed.decision,
        decided_by=weighed.decided_by,
        undecided=undecided,
        plan=state["plan"],
        proposal=state["proposal"],
        degraded=bool(warnings),
        missing_reports=[each.agent for each in reports if each.missing],
        reports_without_data=[each.agent for each in reports if each.is_gap and not each.missing],
        confidence_basis=weighed.basis,
        order=order_of(weighed.decision, account_of(options, state)),
        warnings=warnings,
        notes=[
            *_no_short_sale(weighed.decision, options),
            *_told_of(past, undecided),
            *notes_of(options.symbol, reports, state.get("substitutes", []), weighed),
            *state.get("gaps", []),
            *_language_note(options.language, choice),
        ],
        sources=list_uses(state.get("sources", [])),
        budget_reached=Limit(limit) if limit else None,
        language=options.language.tag if options.language and choice.model else "",
        model=choice.model_label,
        data=choice.data_label,
        simulated_latency=choice.simulated,
    )


def _no_short_sale(decision: FinalDecision, options: Options) -> list[str]:
    """What a SELL means where nobody said what is held; with holdings the order says it."""
    if decision.action is not Action.SELL or options.holdings.is_stated:
        return []
    return [
        f"SELL means not to hold {options.symbol}, and to sell it where it is held; it is never a "
        "short sale."
    ]


def _language_note(language: Language | None, choice: BackendChoice) -> list[str]:
    """That the offline model does not write in the language that was asked for."""
    if choice.model is not None or language is None or language.tag.split("-")[0] == "en":
        return []
    return [f"The offline model's rules write English only, so nothing is in {language.for_model}."]


def _told_of(past: Sequence[LoggedDecision], undecided: Sequence[str]) -> list[str]:
    """Which earlier decisions the judge was told, if it decided."""
    if not past or "risk_judge" in undecided:
        return []
    days = ", ".join(str(each.as_of) for each in past)
    return [f"The risk judge was told of earlier decisions, as context and no evidence: {days}."]
