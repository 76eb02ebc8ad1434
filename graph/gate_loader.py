"""The gates of this program's own runs and portfolios: the TOML files beside this module.

Light to import: the judge uses them in an install without LangGraph.
"""

from functools import cache
from importlib.resources import files

from trading_graph.otel.trace import SpanTable, semconv
from trading_graph.otel.verdict import Gate, neutral_gate
from trading_graph.otel.verdict.gate import Duration

PORTFOLIO_ID = "trading.portfolio.id"
"""On the span at the top of a portfolio's trace."""


@cache
def own_gate() -> Gate:
    """The eight checks of docs/gate.md."""
    text = (files("trading_graph.graph") / "gate.toml").read_text("utf-8")
    return Gate.from_toml(text, "the gate of this program's runs")


@cache
def portfolio_gate() -> Gate:
    """What the trace of a portfolio has to keep; docs/portfolio-trace.md explains it."""
    text = (files("trading_graph.graph") / "portfolio_gate.toml").read_text("utf-8")
    return Gate.from_toml(text, "the gate of this program's portfolios")


def default_gate(trace: SpanTable) -> Gate:
    """The gate for a trace where none is named: that of our own runs, or that of any program."""
    if PORTFOLIO_ID in trace.keys:
        return portfolio_gate()
    return own_gate() if any(trace.values(semconv.RUN_ID)) else neutral_gate()


def time_limit_s() -> float:
    """What a run may take, in seconds."""
    (limit_s,) = (check.limit_s for check in own_gate().checks if isinstance(check, Duration))
    return limit_s
