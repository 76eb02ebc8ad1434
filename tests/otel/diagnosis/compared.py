"""Whole traces compared, each by the run that it holds."""

from collections.abc import Sequence

from trading_graph.otel.diagnosis import Comparison, Run, compare
from trading_graph.otel.trace import SpanTable
from trading_graph.otel.verdict import completeness


def run_of(trace: SpanTable) -> Run:
    found = completeness(trace)
    assert found.run is not None
    return Run.at(trace, found.run)


def compared(
    base: Sequence[SpanTable], new: Sequence[SpanTable], tolerance: float | None = None
) -> Comparison:
    found = compare([run_of(t) for t in base], [run_of(t) for t in new], tolerance)
    assert found is not None
    return found
