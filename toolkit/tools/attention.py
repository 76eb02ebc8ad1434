"""The attention tool: how far trading volume stands out, as a proxy for public attention."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from pydantic import Field

from trading_graph.toolkit.as_of import AsOf
from trading_graph.toolkit.errors import NoData
from trading_graph.toolkit.frames import Floats
from trading_graph.toolkit.market_data import AsyncToolkit
from trading_graph.toolkit.tools.tool import (
    Answer,
    SymbolArguments,
    Tool,
    percent,
    provenance,
    rounded,
)

_BASE = 60
_BASE_AT_LEAST = 50
_ABNORMAL = 2.0


class AttentionArguments(SymbolArguments):
    """Arguments of get_attention."""

    sessions: int = Field(default=20, ge=5, le=120, description="How many sessions to look at.")


def volume_z(volume: Floats) -> Floats:
    """Each day's log volume in standard deviations from the mean of the 60 sessions before it.

    A day without volume is a hole in the source: it gets NaN and is left out of the 60, of which at
    least 50 must be there. NaN also where they are all the same.
    """
    z = np.full(len(volume), np.nan)
    if len(volume) <= _BASE:
        return z
    traded = volume > 0
    log = np.log(np.where(traded, volume, 1.0))  # a hole counts 0 in sums and not at all in counts
    count = sliding_window_view(traded[:-1], _BASE).sum(axis=1)
    before = sliding_window_view(log[:-1], _BASE)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = before.sum(axis=1) / count
        there = sliding_window_view(traded[:-1], _BASE)
        squares = np.where(there, (before - mean[:, None]) ** 2, 0.0).sum(axis=1)
        z[_BASE:] = (log[_BASE:] - mean) / np.sqrt(squares / (count - 1))
    z[_BASE:][~traded[_BASE:] | (count < _BASE_AT_LEAST)] = np.nan
    z[~np.isfinite(z)] = np.nan
    return z


async def _attention(toolkit: AsyncToolkit, as_of: AsOf, wanted: AttentionArguments) -> Answer:
    bars = await toolkit.bars(wanted.symbol, as_of)
    z = volume_z(bars.volume)
    window = [i for i in range(max(0, len(bars) - wanted.sessions), len(bars)) if np.isfinite(z[i])]
    if not window:
        raise NoData(
            f"The volume of {bars.symbol} up to {bars.session} is not enough to judge attention "
            f"({_BASE} sessions before are needed): choose a later date or another symbol."
        )
    base = bars.volume[-_BASE:].mean()
    return {
        **provenance(toolkit, bars.symbol, as_of, bars.session, bars),
        "method": "abnormal volume (log volume z-score against the 60 sessions before)",
        "sessions": len(window),
        "z_latest": rounded(z[-1], 2),
        "z_mean": rounded(float(np.mean(z[window])), 2),
        "days_above_2": [
            [
                bars.day(i).isoformat(),
                rounded(z[i], 2),
                percent(bars.close[i], bars.close[i - 1]),
            ]
            for i in window
            if z[i] > _ABNORMAL
        ],
        "turnover_ratio_5_60": rounded(bars.volume[-5:].mean() / base, 3) if base > 0 else None,
        "limit": "no posts or messages are read",
    }


GET_ATTENTION = Tool(
    "get_attention",
    "Public attention to a symbol, measured by abnormal trading volume: z-score of the last "
    "session, days above 2 as [date, z, return in percent], and 5-day against 60-day volume. "
    "No posts are read.",
    AttentionArguments,
    _attention,
)
