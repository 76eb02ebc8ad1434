"""Tools over the price frame: prices and technical indicators."""

from typing import Literal, get_args

from pydantic import Field

from trading_graph.toolkit.as_of import AsOf
from trading_graph.toolkit.market_data import AsyncToolkit
from trading_graph.toolkit.tools.tool import (
    Answer,
    SymbolArguments,
    Tool,
    percent,
    provenance,
    rounded,
)

_ROWS_SHOWN = 30
_YEAR = 252
_STEP_BACK = 5

IndicatorName = Literal[
    "close_50_sma",
    "close_200_sma",
    "close_10_ema",
    "macd",
    "macds",
    "macdh",
    "rsi",
    "boll",
    "boll_ub",
    "boll_lb",
    "atr",
    "vwma",
    "mfi",
]


class PricesArguments(SymbolArguments):
    """Arguments of get_prices."""

    sessions: int = Field(
        default=30, ge=5, le=120, description="How many sessions back; at most 30 bars are listed."
    )


class IndicatorsArguments(SymbolArguments):
    """Arguments of get_indicators."""

    names: list[IndicatorName] = Field(
        default_factory=lambda: list(get_args(IndicatorName)),
        min_length=1,
        description="Which indicators; all by default.",
    )


async def _prices(toolkit: AsyncToolkit, as_of: AsOf, wanted: PricesArguments) -> Answer:
    bars = await toolkit.bars(wanted.symbol, as_of)
    close, size = bars.close, len(bars)
    window = min(wanted.sessions, size)

    def change(sessions: int) -> float | int | None:
        return percent(close[-1], close[-1 - sessions]) if size > sessions else None

    listed = range(size - min(window, _ROWS_SHOWN), size)
    return {
        **provenance(toolkit, bars.symbol, as_of, bars.session, bars),
        "currency": bars.currency,
        "close": rounded(close[-1]),
        "change_1d_pct": change(1),
        "change_5d_pct": change(5),
        "change_20d_pct": change(20),
        "change_60d_pct": change(60),
        "high_20": rounded(bars.high[-20:].max()),
        "low_20": rounded(bars.low[-20:].min()),
        "high_252": rounded(bars.high[-_YEAR:].max()),
        "low_252": rounded(bars.low[-_YEAR:].min()),
        "volume": rounded(bars.volume[-1], 0),
        "volume_avg_20": rounded(bars.volume[-20:].mean(), 0),
        "window": {
            "sessions": window,
            "from": bars.day(-window).isoformat(),
            "high": rounded(bars.high[-window:].max()),
            "low": rounded(bars.low[-window:].min()),
            "change_pct": percent(close[-1], close[-window]),
        },
        "bars": [
            [
                bars.day(i).isoformat(),
                rounded(bars.open[i]),
                rounded(bars.high[i]),
                rounded(bars.low[i]),
                rounded(close[i]),
                rounded(bars.volume[i], 0),
            ]
            for i in listed
        ],
    }


async def _indicators(toolkit: AsyncToolkit, as_of: AsOf, wanted: IndicatorsArguments) -> Answer:
    bars = await toolkit.bars(wanted.symbol, as_of)
    computed = await toolkit.indicators(wanted.symbol, as_of, wanted.names)
    earlier = len(bars) - 1 - _STEP_BACK
    return {
        **provenance(toolkit, bars.symbol, as_of, bars.session, bars),
        "close": rounded(bars.close[-1]),
        "values": {name: rounded(values[-1]) for name, values in computed.items()},
        "previous_session": bars.day(earlier).isoformat() if earlier >= 0 else None,
        "previous": {
            name: rounded(values[earlier]) if earlier >= 0 else None
            for name, values in computed.items()
        },
    }


GET_PRICES = Tool(
    "get_prices",
    "Daily prices and volume of a symbol: last close, changes, ranges, and the latest bars as "
    "[date, open, high, low, close, volume]. Split-adjusted, dividends not taken out.",
    PricesArguments,
    _prices,
)

GET_INDICATORS = Tool(
    "get_indicators",
    "Technical indicators of a symbol at the last session and five sessions before: moving "
    "averages, MACD, RSI(14), Bollinger bands (20, 2), ATR(14), VWMA(20), MFI(14, 0 to 100). "
    "Null: too few bars.",
    IndicatorsArguments,
    _indicators,
)
