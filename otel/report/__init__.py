"""Showing traces to people."""

from otel.report.waterfall import waterfall

__all__ = ["waterfall"]
