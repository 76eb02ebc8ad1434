"""How sure the difference of two medians is, when each is of a few runs."""

from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

CONFIDENCE = 0.95
"""How often the interval holds the true difference."""

RESAMPLES = 500
"""So many medians are drawn on each side; every one is compared with every one of the other."""

SEED = 20251114


def median_difference(base: Sequence[int], new: Sequence[int]) -> tuple[float, float]:
    """The bootstrap interval of median(new) - median(base).

    The same numbers always give the same interval, and changing sides changes its sign only.
    """
    differences = np.subtract.outer(_medians(new), _medians(base))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(differences, [tail, 1 - tail])
    return float(low), float(high)


def median_deviation(values: Sequence[int]) -> float:
    """The median distance from the median (MAD)."""
    middle = median(values)
    return median(abs(value - middle) for value in values)


def _medians(values: Sequence[int]) -> "NDArray[np.float64]":
    """Medians of resamples; sorted first, so that the order of the runs changes nothing."""
    draw = np.random.default_rng(SEED)
    known = np.sort(np.array(values, np.float64))
    picked = draw.integers(len(known), size=(RESAMPLES, len(known)))
    medians: NDArray[np.float64] = np.median(known[picked], axis=1)
    return medians
