"""Tools over daily bars: prices, technical indicators, and attention by trading volume."""

from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from pydantic import Field

from trading_graph.toolkit.as_of import AsOf
from trading_graph.toolkit.bar_checks import Floats
from trading_graph.toolkit.bars import Bars
from trading_graph.toolkit.errors import NoDataError, NotApplicableError
from trading_graph.toolkit.indicators import INDICATORS
from trading_graph.toolkit.market_data import AsyncToolkit
from trading_graph.toolkit.price_digits import price_digits
from trading_graph.toolkit.symbols import Instrument
from trading_graph.toolkit.tools.tool import (
    Answer,
    SymbolArguments,
    Tool,
    indicator_digits,
    number,
    percent,
    provenance,
)

_MAX_ROWS = 30
_YEAR = 252
_STEP_BACK = 5

if TYPE_CHECKING:
    IndicatorName = str
else:  # A type checker cannot read names that stand in a mapping.
    IndicatorName = Literal[tuple(INDICATORS)]


class PricesArguments(SymbolArguments):
    """The arguments of get_prices."""

    sessions: int = Field(
        default=30, ge=5, le=120, description="How many sessions back; at most 30 bars are listed."
    )


class IndicatorsArguments(SymbolArguments):
    """The arguments of get_indicators."""

    names: list[IndicatorName] = Field(
        default_factory=lambda: list(INDICATORS),
        min_length=1,
        description="Which indicators; all by default.",
    )


async def _prices(toolkit: AsyncToolkit, as_of: AsOf, arguments: PricesArguments) -> Answer:
    bars = await toolkit.bars(arguments.symbol, as_of)
    close, size = bars.close, len(bars)
    window = min(arguments.sessions, size)
    digits = price_digits(close[-1])
    traded = bool(bars.volume[-20:].any())

    def price(value: float) -> float | int | None:
        return number(value, digits)

    def change(sessions: int) -> float | int | None:
        return percent(close[-1], close[-1 - sessions]) if size > sessions else None

    return {
        **provenance(toolkit, bars.symbol, as_of, bars.session, bars),
        **_identity(bars),
        "currency": bars.currency or None,
        "close": price(close[-1]),
        "change_1d_pct": change(1),
        "change_5d_pct": change(5),
        "change_20d_pct": change(20),
        "change_60d_pct": change(60),
        "high_20": price(bars.high[-20:].max()),
        "low_20": price(bars.low[-20:].min()),
        "high_252": price(bars.high[-_YEAR:].max()),
        "low_252": price(bars.low[-_YEAR:].min()),
        "volume": number(bars.volume[-1], 0) if traded else None,
        "volume_avg_20": number(bars.volume[-20:].mean(), 0) if traded else None,
        "window": {
            "sessions": window,
            "from": bars.day(-window).isoformat(),
            "high": price(bars.high[-window:].max()),
            "low": price(bars.low[-window:].min()),
            "change_pct": percent(close[-1], close[-window]),
        },
        "bars": [
            [
                bars.day(i).isoformat(),
                price(bars.open[i]),
                price(bars.high[i]),
                price(bars.low[i]),
                price(close[i]),
                number(bars.volume[i], 0) if traded else None,
            ]
            for i in range(size - min(window, _MAX_ROWS), size)
        ],
    }


def _identity(bars: Bars) -> Answer:
    """What the symbol is in the source's words, and the index of the market where it is listed."""
    identity = bars.identity
    if identity is None:
        return {}
    market = identity.market
    return {
        "company": {
            "name": identity.name or None,
            "instrument": str(identity.instrument),
            "exchange": identity.exchange or None,
            "country": identity.country or None,
            "source": identity.source,
        },
        "benchmark": {"symbol": identity.benchmark, "name": market.index_name}
        if market and identity.benchmark
        else None,
    }


async def _indicators(toolkit: AsyncToolkit, as_of: AsOf, arguments: IndicatorsArguments) -> Answer:
    bars = await toolkit.bars(arguments.symbol, as_of)
    columns = await toolkit.indicators(arguments.symbol, as_of, arguments.names)
    earlier = len(bars) - 1 - _STEP_BACK
    digits = price_digits(bars.close[-1])

    def shown(name: str, value: float) -> float | int | None:
        return number(value, indicator_digits(name, bars))

    return {
        **provenance(toolkit, bars.symbol, as_of, bars.session, bars),
        "currency": bars.currency or None,
        "close": number(bars.close[-1], digits),
        "values": {name: shown(name, values[-1]) for name, values in columns.items()},
        "previous_session": bars.day(earlier).isoformat() if earlier >= 0 else None,
        "previous": {
            name: shown(name, values[earlier]) if earlier >= 0 else None
            for name, values in columns.items()
        },
    }


GET_PRICES = Tool(
    "get_prices",
    "Daily prices and volume of a symbol: last close, changes, ranges, and the latest bars as "
    "[date, open, high, low, close, volume], in `currency`. Split-adjusted, dividends not taken "
    "out. Also what the symbol is, and the index of its market (`benchmark`). `warnings`: bars of "
    "the source that were wrong.",
    PricesArguments,
    _prices,
)

GET_INDICATORS = Tool(
    "get_indicators",
    "Technical indicators of a symbol at the last session and five sessions before: moving "
    "averages, MACD, RSI(14), Bollinger bands (20, 2), ATR(14), VWMA(20), MFI(14, 0 to 100). "
    "Null: too few bars, or no volume.",
    IndicatorsArguments,
    _indicators,
)


_BASE = 60
_BASE_AT_LEAST = 50
_ABNORMAL = 2.0


class AttentionArguments(SymbolArguments):
    """The arguments of get_attention."""

    sessions: int = Field(default=20, ge=5, le=120, description="How many sessions to look at.")


def volume_z(volume: Floats) -> Floats:
    """Each day's log volume in standard deviations from the mean of the 60 sessions before it.

    A day without volume is a gap in the source: it gets NaN and does not count among the 60, of
    which at least 50 must remain. NaN also where all volumes are equal.
    """
    z = np.full(len(volume), np.nan)
    if len(volume) <= _BASE:
        return z
    traded = volume > 0
    log = np.log(np.where(traded, volume, 1.0))  # a gap adds 0 to sums and nothing to counts
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


async def _attention(toolkit: AsyncToolkit, as_of: AsOf, arguments: AttentionArguments) -> Answer:
    bars = await toolkit.bars(arguments.symbol, as_of)
    # Of a share a source has the volume; where it gives none, something is missing.
    is_share = bars.identity is not None and bars.identity.instrument is Instrument.SHARE
    if not bars.volume.any() and not is_share:
        raise NotApplicableError(
            f"{bars.symbol} has no trading volume, by which attention is measured: do without it."
        )
    z = volume_z(bars.volume)
    window = [
        i for i in range(max(0, len(bars) - arguments.sessions), len(bars)) if np.isfinite(z[i])
    ]
    if not window:
        raise NoDataError(
            f"The volume of {bars.symbol} up to {bars.session} is not enough to judge attention "
            f"({_BASE} sessions before are needed): choose a later date or another symbol."
        )
    base = bars.volume[-_BASE:].mean()
    return {
        **provenance(toolkit, bars.symbol, as_of, bars.session, bars),
        "method": "abnormal volume (log volume z-score against the 60 sessions before)",
        "sessions": len(window),
        "z_latest": number(z[-1], 2),
        "z_mean": number(float(np.mean(z[window])), 2),
        "days_above_2": [
            [
                bars.day(i).isoformat(),
                number(z[i], 2),
                percent(bars.close[i], bars.close[i - 1]),
            ]
            for i in window
            if z[i] > _ABNORMAL
        ],
        "turnover_ratio_5_60": number(bars.volume[-5:].mean() / base, 3) if base > 0 else None,
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
