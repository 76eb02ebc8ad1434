"""Intervals for rates and means of a back-test.

Decisions on one symbol a few days apart share most of their days, and all decisions of one day
share the market. Neither is independent evidence, so a rate counts only as many trials as fit one
after the other, and means are resampled in blocks of dates, with everything of a date together.
"""

import datetime
import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95
_Z = 1.959963984540054
RESAMPLES = 2000
LEAST_BLOCKS, LEAST_DATES = 3, 10
"""Fewer of either leave too little to draw from."""


@dataclass(frozen=True, slots=True)
class Interval:
    """An interval of 95 %."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Stay:
    """The days that a position was held, both included."""

    symbol: str
    start: datetime.date
    end: datetime.date


def wilson(rate: float, trials: float) -> Interval | None:
    """Wilson's interval of a rate that was seen in so many independent trials; None without any."""
    if trials <= 0:
        return None
    square = _Z * _Z
    middle = rate + square / (2 * trials)
    reach = _Z * math.sqrt(rate * (1 - rate) / trials + square / (4 * trials * trials))
    scale = 1 + square / trials
    return Interval(max(0.0, (middle - reach) / scale), min(1.0, (middle + reach) / scale))


def independent(stays: Iterable[Stay]) -> int:
    """The most stays of which no two of one symbol overlap."""
    by_symbol: defaultdict[str, list[Stay]] = defaultdict(list)
    for stay in stays:
        by_symbol[stay.symbol].append(stay)
    count = 0
    for each in by_symbol.values():
        free_after: datetime.date | None = None
        for stay in sorted(each, key=lambda stay: stay.end):
            if free_after is None or stay.start > free_after:
                count += 1
                free_after = stay.end
    return count


def block_length(stays: Mapping[datetime.date, Sequence[Stay]]) -> int:
    """How many consecutive dates a block takes: those whose positions begin by the end of the first
    one's. A date has at least one position.
    """
    starts = sorted(min(stay.start for stay in some) for some in stays.values())
    ends = [max(stay.end for stay in stays[date]) for date in sorted(stays)]
    counts = (bisect_right(starts, end) - i for i, end in enumerate(ends))
    return max(counts, default=1)


def mean_interval(
    values: Mapping[datetime.date, Sequence[float]], length: int, seed: int
) -> Interval | None:
    """The interval of the mean of all values, by a circular block bootstrap over the dates.

    None where there are too few dates, or blocks of them.
    """
    dates = sorted(values)
    size = len(dates)
    if size < max(LEAST_DATES, LEAST_BLOCKS * length):
        return None
    sums = np.array([math.fsum(values[date]) for date in dates])
    counts = np.array([len(values[date]) for date in dates], np.float64)
    blocks = -(-size // length)
    starts = np.random.default_rng(seed).integers(0, size, (RESAMPLES, blocks, 1))
    rows = ((starts + np.arange(length)) % size).reshape(RESAMPLES, -1)[:, :size]
    means = sums[rows].sum(1) / np.maximum(counts[rows].sum(1), 1)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))
