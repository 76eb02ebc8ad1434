"""Showing traces and verdicts: to people at a terminal, to machines, to pages."""

from otel.report.comparison_formats import (
    comparison_github,
    comparison_json,
    comparison_junit,
    comparison_markdown,
)
from otel.report.comparison_text import ComparisonText
from otel.report.verdict_formats import as_github, as_json, as_junit, as_markdown
from otel.report.verdict_text import VerdictText
from otel.report.waterfall import bars, waterfall

__all__ = [
    "ComparisonText",
    "VerdictText",
    "as_github",
    "as_json",
    "as_junit",
    "as_markdown",
    "bars",
    "comparison_github",
    "comparison_json",
    "comparison_junit",
    "comparison_markdown",
    "waterfall",
]
