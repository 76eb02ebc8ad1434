"""Where a run's time went, and what each fix would gain: played again, never guessed."""

from trading_graph.otel.diagnosis.actions import (
    Action,
    FreeInterpreter,
    LimitTo,
    Parallelise,
    Remove,
    RemoveBarrier,
    RemoveGap,
    RemoveTail,
    RemoveWaits,
    Share,
    Shorten,
    ShortenBy,
    UnblockLoop,
    simulate,
)
from trading_graph.otel.diagnosis.call_tree import CallTree, call_tree
from trading_graph.otel.diagnosis.compare import (
    Change,
    Comparison,
    Moved,
    PathChange,
    PathSide,
    Run,
    compare,
)
from trading_graph.otel.diagnosis.critical_path import CriticalPath, Segment, critical_path
from trading_graph.otel.diagnosis.diagnosis import Diagnosis, Ranked, Step, diagnose, predict
from trading_graph.otel.diagnosis.edits import Edits
from trading_graph.otel.diagnosis.findings import Finding, Kind
from trading_graph.otel.diagnosis.path_time import PathClass, by_class
from trading_graph.otel.diagnosis.prediction import Prediction
from trading_graph.otel.diagnosis.schedule import Model, Schedule
from trading_graph.otel.diagnosis.simulation import Simulation
from trading_graph.otel.diagnosis.slack import slack_ns
from trading_graph.otel.diagnosis.structure import Gain, Loss, Structural, Won

__all__ = [
    "Action",
    "CallTree",
    "Change",
    "Comparison",
    "CriticalPath",
    "Diagnosis",
    "Edits",
    "Finding",
    "FreeInterpreter",
    "Gain",
    "Kind",
    "LimitTo",
    "Loss",
    "Model",
    "Moved",
    "Parallelise",
    "PathChange",
    "PathClass",
    "PathSide",
    "Prediction",
    "Ranked",
    "Remove",
    "RemoveBarrier",
    "RemoveGap",
    "RemoveTail",
    "RemoveWaits",
    "Run",
    "Schedule",
    "Segment",
    "Share",
    "Shorten",
    "ShortenBy",
    "Simulation",
    "Step",
    "Structural",
    "UnblockLoop",
    "Won",
    "by_class",
    "call_tree",
    "compare",
    "critical_path",
    "diagnose",
    "predict",
    "simulate",
    "slack_ns",
]
