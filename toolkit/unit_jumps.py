"""Runs of bars in another unit: prices in cents among dollars, or pence among pounds.

A run that jumps by a factor of 100 and comes back is put into the unit of the others, as yfinance's
`repair` does. A jump without a way back may be a change of unit or the end of a company: the new
bars are left out until five sessions with trade confirm them, and from then on the old ones are.
So no average ever mixes the two. Only bars up to the as-of date are looked at.

A crash passes: the range of its first bar touches prices between, or its size is another.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from trading_graph.toolkit.bar_checks import UNIT, BarFault, Fault, Remedy, off_by_unit
from trading_graph.toolkit.bars import Bars

_CONFIRMED_BY = 5
# Below this factor no jump is looked at.
_JUMP = 50.0
_SPLIT_TOLERANCE = 1.25

Levels = NDArray[np.int64]


def in_one_unit(bars: Bars) -> Bars:
    """The bars without those in another unit than the last confirmed ones; faults say which."""
    close = bars.close
    if len(bars) < 2 or bars.close.min() <= 0:
        return bars
    ratio = close[1:] / close[:-1]
    jumps = np.flatnonzero((ratio > _JUMP) | (ratio < 1 / _JUMP)) + 1
    steps = {int(i): step for i in jumps if (step := _step(bars, int(i)))}
    if not steps:
        return bars
    levels = np.zeros(len(bars), np.int64)
    for i, step in steps.items():
        levels[i:] += step
    end = _confirmed_end(levels, bars.volume > 0)
    unit = levels[end - 1]
    start = int(np.argmax(levels[:end] == unit))
    rows = slice(start, end)
    other = levels != unit
    other[end:] = True
    faults = [
        BarFault(
            bars.day(int(i)), Fault.UNIT, Remedy.MENDED if start <= i < end else Remedy.LEFT_OUT
        )
        for i in np.flatnonzero(other)
    ]
    scale = UNIT ** (unit - levels[rows]).astype(np.float64)
    prices = [column[rows] * scale for column in (bars.open, bars.high, bars.low, close)]
    for column in prices:
        column.flags.writeable = False
    open_, high, low, close = prices
    return replace(
        bars,
        dates=bars.dates[rows],
        open=open_,
        high=high,
        low=low,
        close=close,
        volume=bars.volume[rows],
        faults=bars.faults + tuple(faults),
    )


def _step(bars: Bars, i: int) -> int:
    """1 or -1 where bar i is in a unit 100 times or 1/100 of that of the bar before, else 0."""
    step = off_by_unit(float(bars.close[i] / bars.close[i - 1]))
    before, now = (bars.low, bars.high) if step < 0 else (bars.high, bars.low)
    gap = float(now[i] / before[i - 1]) ** step
    if not step or gap < _JUMP:
        return 0
    expected = UNIT**-step
    day = bars.day(i)
    is_split = any(
        ex_date == day and 1 / _SPLIT_TOLERANCE < ratio / expected < _SPLIT_TOLERANCE
        for ex_date, ratio in bars.splits
    )
    return 0 if is_split else step


def _confirmed_end(levels: Levels, traded: NDArray[np.bool_]) -> int:
    """Where the bars end whose last unit enough sessions confirm."""
    if not traded.any():
        traded = np.ones_like(traded)
    end = len(levels)
    while True:
        same = levels[:end] == levels[end - 1]
        start = end - int(np.argmin(same[::-1])) if not same.all() else 0
        if start == 0 or np.count_nonzero(same & traded[:end]) >= _CONFIRMED_BY:
            return end
        end = start
