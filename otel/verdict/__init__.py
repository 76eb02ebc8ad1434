"""Judges a trace: is it complete, did its parts run at once, and does it pass its gate?"""

from trading_graph.otel.errors import GateError
from trading_graph.otel.verdict.agents import AgentUse, LlmUse, Use
from trading_graph.otel.verdict.causes import Cause
from trading_graph.otel.verdict.completeness import Completeness, completeness, run_ids
from trading_graph.otel.verdict.evaluation import CheckResult, Outcome
from trading_graph.otel.verdict.gate import Gate, SpanSet
from trading_graph.otel.verdict.limit_use import LimitUse, LinkedUse, Straggler
from trading_graph.otel.verdict.measures import (
    FanOut,
    FanOutFigures,
    Measures,
    RunFigures,
    measures,
)
from trading_graph.otel.verdict.neutral_gate import neutral_gate, with_target
from trading_graph.otel.verdict.parallelism import Parallelism, Strength, parallelism
from trading_graph.otel.verdict.resumed import Interruption, interruptions, without_interruptions
from trading_graph.otel.verdict.run_view import RunView, run_view
from trading_graph.otel.verdict.verdict import Verdict, judge, seen_runs

__all__ = [
    "AgentUse",
    "Cause",
    "CheckResult",
    "Completeness",
    "FanOut",
    "FanOutFigures",
    "Gate",
    "GateError",
    "Interruption",
    "LimitUse",
    "LinkedUse",
    "LlmUse",
    "Measures",
    "Outcome",
    "Parallelism",
    "RunFigures",
    "RunView",
    "SpanSet",
    "Straggler",
    "Strength",
    "Use",
    "Verdict",
    "completeness",
    "interruptions",
    "judge",
    "measures",
    "neutral_gate",
    "parallelism",
    "run_ids",
    "run_view",
    "seen_runs",
    "with_target",
    "without_interruptions",
]
