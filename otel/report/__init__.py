"""Showing traces and verdicts: to people at a terminal, to machines, to pages.

What shows a comparison is imported from its own modules: `verify` need not wait for the diagnosis.
"""

from trading_graph.otel.report.verdict_formats import as_github, as_json, as_junit, as_markdown
from trading_graph.otel.report.verdict_text import VerdictText
from trading_graph.otel.report.waterfall import bars, waterfall

__all__ = [
    "VerdictText",
    "as_github",
    "as_json",
    "as_junit",
    "as_markdown",
    "bars",
    "waterfall",
]
