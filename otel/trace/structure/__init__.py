"""What a trace shows of the structure of a program: stages of graphs, and barriers between them."""

from trading_graph.otel.trace.structure.barriers import (
    Barrier,
    BarrierWaits,
    Lockstep,
    locksteps,
    waits_at_barriers,
)
from trading_graph.otel.trace.structure.pairing import Pairing, Pairings, pairings
from trading_graph.otel.trace.structure.stages import (
    NodeTask,
    Stage,
    StageGraph,
    Visit,
    later_visits,
    node_tasks,
    stage_graphs,
)

__all__ = [
    "Barrier",
    "BarrierWaits",
    "Lockstep",
    "NodeTask",
    "Pairing",
    "Pairings",
    "Stage",
    "StageGraph",
    "Visit",
    "later_visits",
    "locksteps",
    "node_tasks",
    "pairings",
    "stage_graphs",
    "waits_at_barriers",
]
