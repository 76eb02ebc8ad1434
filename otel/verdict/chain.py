"""The serial chain: as many spans as follow each other without overlap."""

from collections.abc import Sequence

from otel.trace import Trace


def serial_chain(trace: Trace, rows: Sequence[int]) -> list[int]:
    """The longest sequence of spans in which each starts no earlier than the one before ends.

    Earliest end first, which is optimal (interval scheduling); O(n log n). It counts what happened
    one after the other, whatever depended on what: short calls of one branch beside a long one of
    another count each.
    """
    chain: list[int] = []
    reached = None
    for row in sorted(rows, key=lambda row: (int(trace.end[row]), int(trace.start[row]))):
        if reached is None or trace.start[row] >= reached:
            chain.append(row)
            reached = trace.end[row]
    return chain
