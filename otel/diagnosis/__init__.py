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
    NOTHING_SHARED,
    Change,
    Comparison,
    Moved,
    PathChange,
    PathSide,
    Run,
    compare,
    complete_runs,
    set_flaw,
)
from trading_graph.otel.diagnosis.critical_path import PathTable, critical_path
from trading_graph.otel.diagnosis.diagnosis import (
    Diagnosis,
    Finding,
    Interval,
    Segment,
    Step,
    diagnose,
    predicted_times,
    ranking_of,
)
from trading_graph.otel.diagnosis.edits import Edits
from trading_graph.otel.diagnosis.findings import Candidate, FindingKind, Theme
from trading_graph.otel.diagnosis.path_time import PathClass, by_class
from trading_graph.otel.diagnosis.prediction import Prediction
from trading_graph.otel.diagnosis.ranking import Ranked, RankedStep, Ranking, predict, rank
from trading_graph.otel.diagnosis.schedule import Model, Schedule
from trading_graph.otel.diagnosis.simulation import Simulation
from trading_graph.otel.diagnosis.slack import slack_ns
from trading_graph.otel.diagnosis.structure import (
    Improvement,
    ImprovementKind,
    Regression,
    RegressionKind,
)
from trading_graph.otel.diagnosis.target import LlmChain, Standing, Target

__all__ = [
    "NOTHING_SHARED",
    "Action",
    "CallTree",
    "Candidate",
    "Change",
    "Comparison",
    "Diagnosis",
    "Edits",
    "Finding",
    "FindingKind",
    "FreeInterpreter",
    "Improvement",
    "ImprovementKind",
    "Interval",
    "LimitTo",
    "LlmChain",
    "Model",
    "Moved",
    "Parallelise",
    "PathChange",
    "PathClass",
    "PathSide",
    "PathTable",
    "Prediction",
    "Ranked",
    "RankedStep",
    "Ranking",
    "Regression",
    "RegressionKind",
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
    "Standing",
    "Step",
    "Target",
    "Theme",
    "UnblockLoop",
    "by_class",
    "call_tree",
    "compare",
    "complete_runs",
    "critical_path",
    "diagnose",
    "predict",
    "predicted_times",
    "rank",
    "ranking_of",
    "set_flaw",
    "simulate",
    "slack_ns",
]
