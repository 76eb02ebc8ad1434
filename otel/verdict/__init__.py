"""Judging a trace: is it whole, did its parts run at once, and does it keep its gate?"""

from trading_graph.otel.verdict.checks import Outcome, Result
from trading_graph.otel.verdict.completeness import Completeness, completeness
from trading_graph.otel.verdict.gate import Gate, GateError, default_gate, parse_gate, read_gate
from trading_graph.otel.verdict.measures import FanOut, Measures, measures
from trading_graph.otel.verdict.parallelism import Parallelism, Strength, parallelism
from trading_graph.otel.verdict.resumed import Interruption, interruptions, uninterrupted
from trading_graph.otel.verdict.verdict import Verdict, judge

__all__ = [
    "Completeness",
    "FanOut",
    "Gate",
    "GateError",
    "Interruption",
    "Measures",
    "Outcome",
    "Parallelism",
    "Result",
    "Strength",
    "Verdict",
    "completeness",
    "default_gate",
    "interruptions",
    "judge",
    "measures",
    "parallelism",
    "parse_gate",
    "read_gate",
    "uninterrupted",
]
