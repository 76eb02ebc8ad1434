"""Building the graph: its topology, that is, which node follows which.

    START -> dispatcher =Send=> analysts -> aggregator -> bull || bear (x rounds)
          -> research_manager -> trader
          -> risk_dispatcher =Send=> risk team (x rounds) -> risk_judge -> END

Sequential dispatch and a serial debate replace the fan-outs by chains of the same nodes.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from trading_graph.graph import deciders
from trading_graph.graph.agent import (
    degrade,
    missing_opinion,
    missing_report,
    missing_statement,
    report_usage,
)
from trading_graph.graph.analysts import analyst
from trading_graph.graph.context import RunContext
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
from trading_graph.graph.options import DEBATERS, RISK_ANALYSTS, Debate, Options, Order
from trading_graph.graph.state import State

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
    graph.add_edge("research_manager", "trader")
    graph.add_node("trader", report_usage("trader", deciders.trader))
    graph.add_edge("trader", "risk_dispatcher")

    graph.add_node("risk_dispatcher", dispatch_risk_team, destinations=RISK_ANALYSTS)
    for name in RISK_ANALYSTS:
        graph.add_node(name, report_usage(name, degrade(name, risk_analyst(name), missing_opinion)))
    graph.add_node("risk_round", end_risk_round)
    _fan(graph, "risk_dispatcher", RISK_ANALYSTS, "risk_round", dispatch)
    graph.add_conditional_edges("risk_round", after_risk_round, ["risk_dispatcher", "risk_judge"])

    graph.add_node("risk_judge", report_usage("risk_judge", deciders.risk_judge))
    graph.add_edge("risk_judge", END)
    return graph.compile()


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
