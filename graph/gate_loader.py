"""The gate of this program's own runs: `gate.toml` beside this module.

Light to import: the judge uses it for such runs in an install without LangGraph.
"""

from functools import cache
from importlib.resources import files

from trading_graph.otel.trace import SpanTable, semconv
from trading_graph.otel.verdict import Gate, neutral_gate
from trading_graph.otel.verdict.gate import Duration


@cache
def own_gate() -> Gate:
    """The eight checks of docs/gate.md."""
    text = (files("trading_graph.graph") / "gate.toml").read_text("utf-8")
    return Gate.from_toml(text, "the gate of this program's runs")


def default_gate(trace: SpanTable) -> Gate:
    """The gate for a trace where none is named: that of our own runs, or that of any program."""
    return own_gate() if any(trace.values(semconv.RUN_ID)) else neutral_gate()


def time_limit_s() -> float:
    """What a run may take, in seconds."""
    (limit_s,) = (check.limit_s for check in own_gate().checks if isinstance(check, Duration))
    return limit_s
