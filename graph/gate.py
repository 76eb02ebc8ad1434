"""The gate of this program's own runs: `gate.toml` beside this module.

Light to import: the judge uses it as its default gate in an install without LangGraph.
"""

from importlib.resources import files

from trading_graph.otel.verdict import Gate
from trading_graph.otel.verdict.gate import Duration


def default_gate() -> Gate:
    """The eight checks of docs/gate.md."""
    text = (files("trading_graph.graph") / "gate.toml").read_text("utf-8")
    return Gate.from_toml(text, "the default gate")


def time_limit_s() -> float:
    """What a run may take, in seconds."""
    (limit_s,) = (check.limit_s for check in default_gate().checks if isinstance(check, Duration))
    return limit_s
