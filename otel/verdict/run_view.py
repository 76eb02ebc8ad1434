"""The run as it is judged: without interruptions, on one clock, up to the end of its work."""

from dataclasses import replace

import msgspec
import numpy as np

from trading_graph.otel.trace import SpanTable
from trading_graph.otel.trace.clocks import Clocks, clocks
from trading_graph.otel.verdict.resumed import without_interruptions

_INSIDE = 0.5
"""The share of a child that has to lie inside a run's span for that span to be the run."""

_BEYOND = 2
"""The work of a span ends late if it goes on beyond so many times the length of the span."""

_LONG = 0.01
"""Children below this share of the longest are bookkeeping."""


class RunView(msgspec.Struct, frozen=True):
    """A trace as it is judged, the row of its run, and sentences about what was changed."""

    trace: SpanTable
    run: int
    notes: tuple[str, ...]


def run_view(trace: SpanTable, run: int) -> RunView:
    """The view of the run at a row; the trace itself where there is nothing to change."""
    seen, row = without_interruptions(trace, run)
    if seen is not trace and trace.joints:
        seen = replace(seen, joints=trace.joints)
    found = clocks(seen, row)
    notes = [*trace.notes, *(skew.sentence for skew in found.skews)]
    corrected = found.corrected(seen)
    if corrected is not seen:
        row = corrected.row_of[seen.span_ids[row]]
        seen, found = corrected, clocks(corrected, row)
    notes += _doubts(seen, found)
    last_end = _end_of_work(seen, row)
    if last_end is not None:
        start, end = seen.intervals[row]
        notes.append(
            f"The run's span {seen.names[row]!r} ends after {_seconds(end - start)}, before its "
            f"work: the run is measured to the last end, {_seconds(last_end - start)}."
        )
        run_id, ends = seen.span_ids[row], seen.end.copy()
        ends[row] = last_end
        seen = seen.with_times(seen.start, ends)
        row = seen.row_of[run_id]
    return RunView(seen, row, tuple(notes))


def _doubts(trace: SpanTable, found: Clocks) -> list[str]:
    """Which siblings overlap as recorded, and may not have, because their clocks differ."""
    if found.are_one:
        return []
    clock, parent = np.array(found.clock), trace.parent
    families: dict[int, list[int]] = {}
    # Only below spans that have a child on another clock than their first child's.
    of_first = {above: found.clock[rows[0]] for above, rows in enumerate(trace.child_rows) if rows}
    for row in np.flatnonzero(parent >= 0).tolist():
        above = int(parent[row])
        if clock[row] != of_first[above]:
            families[above] = trace.child_rows[above]
    doubts = []
    for rows in families.values():
        together = max(int(trace.start[row]) for row in rows) < min(
            int(trace.end[row]) for row in rows
        )
        if together and (doubt := found.doubt(rows)):
            names = ", ".join(list(dict.fromkeys(repr(trace.names[row]) for row in rows))[:3])
            doubts.append(f"It is not certain that {names} overlapped: {doubt}.")
    return doubts


def _end_of_work(trace: SpanTable, run: int) -> int | None:
    """The last end below a run's span that ended before its work; None where it did not.

    Some frameworks end the span of a run as soon as its work has started.
    """
    start, end = trace.intervals[run]
    children, lengths = trace.child_rows[run], trace.lengths
    if not children or end < start:
        return None
    least_ns = _LONG * max([lengths[row] for row in children])
    for row in children:
        begin, stop = trace.intervals[row]
        inside = min(stop, end) - max(begin, start)
        if inside >= _INSIDE * lengths[row] and lengths[row] >= least_ns:
            return None
    if trace.followers.issuperset(children):
        return None  # they are not its work
    last_end = int(trace.end[trace.below(run)].max())
    return last_end if last_end - start > _BEYOND * (end - start) else None


def _seconds(nanoseconds: int) -> str:
    return f"{nanoseconds / 1e9:.6f}".rstrip("0").rstrip(".") + " s"
