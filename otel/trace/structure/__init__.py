"""The structure of a run, found in its spans: calls, turns, fan-outs, rows and limits."""

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
from trading_graph.otel.trace.structure.limits import Limit, limit, staircase
from trading_graph.otel.trace.structure.precedence import SeenRun, are_independent
from trading_graph.otel.trace.structure.requests import requests
from trading_graph.otel.trace.structure.turns import Turn, turns

__all__ = [
    "OVERLAP_SHARE",
    "Calls",
    "FanOut",
    "Limit",
    "Row",
    "SeenRun",
    "Shape",
    "Siblings",
    "Turn",
    "are_independent",
    "calls",
    "is_task",
    "limit",
    "plural",
    "requests",
    "siblings",
    "staircase",
    "turns",
]
