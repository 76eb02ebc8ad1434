"""The serial chain: as many spans as follow each other without overlap."""

from collections.abc import Sequence

import numpy as np

from trading_graph.otel.trace import SpanTable


def serial_chain(trace: SpanTable, rows: Sequence[int]) -> list[int]:
    """The longest sequence of spans in which each starts no earlier than the one before ends.

    Earliest end first, which is optimal (interval scheduling); O(n log n). It counts what happened
    one after the other, whatever depended on what: short calls of one branch beside a long one of
    another count each.
    """
    chain: list[int] = []
    reached = 0
    picked = np.asarray(rows, np.intp)
    order = picked[np.lexsort((trace.start[picked], trace.end[picked]))]
    starts, ends = trace.start[order].tolist(), trace.end[order].tolist()
    for row, start, end in zip(order.tolist(), starts, ends, strict=True):
        if start >= reached:
            chain.append(row)
            reached = end
    return chain
