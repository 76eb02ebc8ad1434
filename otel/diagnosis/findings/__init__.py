"""What makes a run slow: each detector looks for one kind of reason in a schedule."""

from collections.abc import Callable, Iterator

from trading_graph.otel.diagnosis.findings import (
    barriers,
    connections,
    limits,
    rows,
    turns,
    waits,
    waste,
)
from trading_graph.otel.diagnosis.findings.candidate import Candidate
from trading_graph.otel.diagnosis.findings.concurrency import INDEPENDENT, concurrency_findings
from trading_graph.otel.diagnosis.findings.kind import FindingKind, Theme
from trading_graph.otel.diagnosis.schedule import Schedule

DETECTORS: tuple[Callable[[Schedule], Iterator[Candidate]], ...] = (
    concurrency_findings,
    rows.serial_rows,
    barriers.barriers,
    waste.duplicates,
    waste.retries,
    limits.declared_limits,
    limits.tail_stragglers,
    waits.recorded_waits,
    connections.cold_connections,
    waste.gaps,
    waste.long_poles,
    waste.dominant_spans,
    turns.middle_turns,
    turns.token_heavy,
)

__all__ = ["DETECTORS", "INDEPENDENT", "Candidate", "FindingKind", "Theme", "find"]


def find(schedule: Schedule) -> list[Candidate]:
    """Everything that the detectors find, in the order of the detectors.

    What is guessed from times is left out where declared limits say what it was.
    """
    return [
        candidate
        for detector in DETECTORS
        for candidate in detector(schedule)
        if not limits.explains(schedule, candidate)
    ]
