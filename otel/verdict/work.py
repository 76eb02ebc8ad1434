"""Where work was really done below a span: when a model, a source or a tool worked.

Wrappers lie: an agent's span covers waiting for others. What counts as work is the topmost LLM
call, fetch, retrieval or HTTP request of a branch, else its leaves. Not work are a wait for a free
connection, and a tool that only took what another had fetched.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from otel.trace import Trace, semconv
from otel.trace.kinds import Role

_WORKING = {Role.LLM, Role.FETCH, Role.RETRIEVAL, Role.HTTP}
_IDLE_CACHE = {"hit", "shared", "stale"}


@dataclass(frozen=True, slots=True)
class Work:
    """The merged, disjoint intervals of work below one span, in nanoseconds: columns start, end."""

    intervals: NDArray[np.int64]

    @property
    def total_ns(self) -> int:
        """How long there was work."""
        return int((self.intervals[:, 1] - self.intervals[:, 0]).sum())


def work_below(trace: Trace, row: int) -> Work:
    """The work of a branch."""
    found: list[tuple[int, int]] = []
    pending = [row]
    while pending:
        current = pending.pop()
        children = trace.children(current)
        if trace.roles[current] in _WORKING or not children:
            if trace.attributes(current).get(semconv.CACHE) not in _IDLE_CACHE:
                found.extend(_net_of_waiting(trace, current))
        else:
            pending.extend(children)
    return Work(merge(found))


def _net_of_waiting(trace: Trace, row: int) -> list[tuple[int, int]]:
    """A working span's interval, less the waits for a connection recorded below it."""
    start, end = int(trace.start[row]), int(trace.end[row])
    pieces: list[tuple[int, int]] = []
    for each in trace.subtree(row):
        wait = trace.attributes(each).get(semconv.QUEUE_WAIT_MS)
        if wait:
            began = max(int(trace.start[each]), start)
            pieces.append((start, began))
            start = min(began + int(float(wait) * 1e6), end)
    return [(begin, until) for begin, until in (*pieces, (start, end)) if until > begin]


def merge(intervals: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
    """Overlapping or touching intervals as one; an array of shape (n, 2), sorted."""
    if not intervals:
        return np.empty((0, 2), np.int64)
    ordered = np.array(sorted(intervals), np.int64)
    reached = np.maximum.accumulate(ordered[:, 1])
    opens = np.concatenate([[True], ordered[1:, 0] > reached[:-1]])
    first = np.flatnonzero(opens)
    last = np.concatenate([first[1:] - 1, [len(ordered) - 1]])
    return np.stack([ordered[first, 0], reached[last]], axis=1)


def union_ns(works: Sequence[Work]) -> int:
    """How long at least one of several branches worked."""
    if not works:
        return 0
    everything = np.concatenate([work.intervals for work in works])
    merged = merge([(int(start), int(end)) for start, end in everything])
    return int((merged[:, 1] - merged[:, 0]).sum())
