"""The structure of a run, found in its spans.

Calls, the turns that asked for them, fan-outs, rows and limits hold for any program; stages of
graphs, and barriers between them, for LangGraph.
"""

from trading_graph.otel.trace.structure.barriers import (
    Barrier,
    BarrierWaits,
    Lockstep,
    locksteps,
    waits_at_barriers,
)
from trading_graph.otel.trace.structure.calls import Calls, calls
from trading_graph.otel.trace.structure.fan_outs import (
    OVERLAP_SHARE,
    FanOut,
    Row,
    Shape,
    Siblings,
    is_task,
    plural,
    siblings,
)
from trading_graph.otel.trace.structure.limits import (
    FEWEST_LIMITED,
    Limit,
    are_visited_again,
    limit,
    limit_inside,
    staircase,
)
from trading_graph.otel.trace.structure.pairing import Pairing, Pairings, pairings
from trading_graph.otel.trace.structure.precedence import SeenRun, are_independent
from trading_graph.otel.trace.structure.requests import requests
from trading_graph.otel.trace.structure.stages import (
    NodeTask,
    Stage,
    StageGraph,
    Visit,
    later_visits,
    node_tasks,
    stage_graphs,
)
from trading_graph.otel.trace.structure.turns import Turn, turn_numbers, turns

__all__ = [
    "FEWEST_LIMITED",
    "OVERLAP_SHARE",
    "Barrier",
    "BarrierWaits",
    "Calls",
    "FanOut",
    "Limit",
    "Lockstep",
    "NodeTask",
    "Pairing",
    "Pairings",
    "Row",
    "SeenRun",
    "Shape",
    "Siblings",
    "Stage",
    "StageGraph",
    "Turn",
    "Visit",
    "are_independent",
    "are_visited_again",
    "calls",
    "is_task",
    "later_visits",
    "limit",
    "limit_inside",
    "locksteps",
    "node_tasks",
    "pairings",
    "plural",
    "requests",
    "siblings",
    "stage_graphs",
    "staircase",
    "turn_numbers",
    "turns",
    "waits_at_barriers",
]
