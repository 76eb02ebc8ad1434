"""Whether the machine left a run alone, measured by the run itself.

A loop that stood still makes what ran at once look serial, which a verdict says. A test of what a
good run is told makes it again where the machine disturbed it.
"""

from pathlib import Path

from trading_graph.otel.sources import read
from trading_graph.otel.trace import semconv

TRIES = 6
LAG_MS = 50.0


def is_undisturbed(path: Path) -> bool:
    """Whether the loop of a run was never held, by the run's trace."""
    (trace,) = read(path)
    return (trace.number(trace.roots[0], semconv.LOOP_LAG_MAX_MS) or 0.0) < LAG_MS
