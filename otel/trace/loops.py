"""Which event loop each span ran on, as far as that is recorded: a block delays only its own."""

from collections.abc import Hashable, Sequence

from trading_graph.otel.trace.clocks import clocks
from trading_graph.otel.trace.memo import once_per_trace
from trading_graph.otel.trace.table import SpanTable
from trading_graph.otel.vocabularies import witness


@once_per_trace
def loops(trace: SpanTable, run: int) -> Sequence[Hashable] | None:
    """The loop of each span by row, or None where all may share one; cached by row.

    A span without an id of its loop ran on that of the nearest span above it in its process.
    """
    seen = clocks(trace, run)
    ids = trace.column_of(witness.loop_id)
    if seen.are_one and len({each for each in ids if each is not None}) < 2:
        return None
    loop_of: list[Hashable] = [None] * len(trace)
    for row in trace.tree_rows(run):
        above = loop_of[trace.parents[row]] if row != run else None
        clock = seen.clock[row]
        own: Hashable = ids[row]
        if own is None and isinstance(above, tuple) and above[0] == clock:
            own = above[1]
        loop_of[row] = clock, own
    return loop_of
