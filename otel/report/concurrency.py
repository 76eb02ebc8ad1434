"""How many spans ran at once over a run's time, as steps to draw."""

from collections.abc import Sequence

import numpy as np

MOST_STEPS = 600
"""So many steps are drawn; of more, averages over equal parts of the time are."""

Step = tuple[float, float]
"""A time as a share of the whole, and how many ran from then on."""


def levels(intervals: Sequence[tuple[int, int]], length_ns: int) -> list[Step]:
    """The level over time of intervals in nanoseconds after the beginning."""
    if not intervals or length_ns <= 0:
        return [(0.0, 0.0)]
    bounds = np.array(intervals, np.int64).clip(0, length_ns)
    times, inverse = np.unique(bounds.ravel(), return_inverse=True)
    change = np.zeros(len(times), np.int64)
    np.add.at(change, inverse, np.tile([1, -1], len(intervals)))
    running = change.cumsum()
    if len(times) > MOST_STEPS:
        return _averages(times, running, length_ns)
    shares = (times / length_ns).tolist()
    return [(0.0, 0.0), *zip(shares, map(float, running.tolist()), strict=True)]


def _averages(
    times: "np.ndarray[tuple[int], np.dtype[np.int64]]",
    running: "np.ndarray[tuple[int], np.dtype[np.int64]]",
    length_ns: int,
) -> list[Step]:
    """Work up to each border, differenced: exact, however short the intervals are."""
    done = np.concatenate([[0.0], np.cumsum(np.diff(times) * running[:-1].astype(np.float64))])
    borders = np.linspace(0, length_ns, MOST_STEPS + 1)
    at_borders = np.interp(borders, times, done, left=0.0, right=float(done[-1]))
    found = np.diff(at_borders) / (length_ns / MOST_STEPS)
    return list(zip((borders[:-1] / length_ns).tolist(), found.tolist(), strict=True))
