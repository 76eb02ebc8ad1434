"""Assertions for pytest on the spans of a test; docs/pytest.md. Needs pytest."""

from trading_graph.otel.assertions import (
    assert_before,
    assert_chain,
    assert_complete,
    assert_count,
    assert_duration,
    assert_leaf_parallelism,
    assert_max_gap,
    assert_no_duplicates,
    assert_no_errors,
    assert_overlap,
    assert_starts_within,
)
from trading_graph.otel.recorded_spans import RecordedSpans

__all__ = [
    "RecordedSpans",
    "assert_before",
    "assert_chain",
    "assert_complete",
    "assert_count",
    "assert_duration",
    "assert_leaf_parallelism",
    "assert_max_gap",
    "assert_no_duplicates",
    "assert_no_errors",
    "assert_overlap",
    "assert_starts_within",
]
