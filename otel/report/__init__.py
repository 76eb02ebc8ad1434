"""Showing traces and verdicts: to people at a terminal, to machines, to pages.

What shows a diagnosis or a comparison is imported from its own module: `verify` need not wait for
it.
"""

from trading_graph.otel.report.terminal import bars, waterfall
from trading_graph.otel.report.verdict import (
    VerdictText,
    as_github,
    as_json,
    as_junit,
    as_markdown,
)

__all__ = [
    "VerdictText",
    "as_github",
    "as_json",
    "as_junit",
    "as_markdown",
    "bars",
    "waterfall",
]
