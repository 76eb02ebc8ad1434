"""The bars that a decision saw last, as a chart shows them: small enough for a checkpoint."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from trading_graph.toolkit.bar_checks import Floats
from trading_graph.toolkit.bars import Bars

SESSIONS = 126
"""The most sessions that are kept: half a year."""

AVERAGES = (20, 50)
"""The moving averages of the close, in sessions."""

_Average = Sequence[float | None]


@dataclass(frozen=True, slots=True)
class ChartBars:
    """Daily bars, oldest first, at least one; `days` are ISO dates.

    The averages are over the 20 and 50 sessions up to each day, also those before the first bar
    here; None where there were fewer. `volume` is 0 where the source has none.
    """

    days: Sequence[str]
    open: Sequence[float]
    high: Sequence[float]
    low: Sequence[float]
    close: Sequence[float]
    volume: Sequence[float]
    average_20: _Average
    average_50: _Average

    def last(self, sessions: int) -> "ChartBars":
        """The newest of these bars, at most so many."""
        columns = (getattr(self, each.name)[-sessions:] for each in fields(self))
        return ChartBars(*columns)


def history_of(bars: Bars) -> ChartBars:
    """The newest bars with their averages."""
    columns = (bars.open, bars.high, bars.low, bars.close, bars.volume)
    days = np.datetime_as_string(bars.dates[-SESSIONS:], unit="D")
    return ChartBars(
        [str(day) for day in days],
        *(column[-SESSIONS:].tolist() for column in columns),
        *(_average(bars.close, window) for window in AVERAGES),
    )


def _average(close: Floats, window: int) -> _Average:
    recent = close[-(SESSIONS + window - 1) :]
    means: list[float | None] = []
    if len(recent) >= window:
        means = np.lib.stride_tricks.sliding_window_view(recent, window).mean(axis=1).tolist()
    return [None] * (min(SESSIONS, len(close)) - len(means)) + means
