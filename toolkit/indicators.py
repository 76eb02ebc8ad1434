"""Technical indicators of a price frame, computed by stockstats in one wrap, and corrected.

Only the names in `INDICATORS` are ever passed on: a free name is a computation of any size to
stockstats. Its results differ from the usual definitions in five points, and are put right here:

- nothing is given before an indicator has warmed up (stockstats averages what there is);
- `mfi` runs from 0 to 100 (there: 0 to 1);
- `boll_ub` and `boll_lb` use the population's standard deviation (there: the sample's);
- `vwma` is the 20-day sum of close x volume over the sum of volume (there: 14 days, typical price);
- `rsi` of a price that never moved is not given (there: undefined or 100).

pandas and stockstats are imported at the first use, which takes a while: call `warm_up` in a thread
before anything that is timed.
"""

import datetime
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from trading_graph.toolkit.errors import BadRequest
from trading_graph.toolkit.frames import Bars, Floats, make_bars

INDICATORS: Final[Mapping[str, int]] = MappingProxyType(
    {
        "close_50_sma": 50,
        "close_200_sma": 200,
        "close_10_ema": 45,
        "macd": 220,
        "macds": 220,
        "macdh": 220,
        "rsi": 140,
        "boll": 20,
        "boll_ub": 20,
        "boll_lb": 20,
        "atr": 130,
        "vwma": 20,
        "mfi": 15,
    }
)
"""The supported names, each with the bars it needs before its value is given.

A moving window needs its length. An exponential average never forgets its start: its count is where
the start's weight has fallen below 1e-4 of the value.
"""

_BOLLINGER_WINDOW = 20
_VWMA_WINDOW = 20


def compute(bars: Bars, names: Iterable[str] = tuple(INDICATORS)) -> dict[str, Floats]:
    """Each named indicator as an array beside `bars.dates`, NaN before its warm-up.

    BadRequest for a name that is not in `INDICATORS`. Takes milliseconds of CPU: not for the event
    loop.
    """
    wanted = list(dict.fromkeys(names))
    if unknown := [name for name in wanted if name not in INDICATORS]:
        raise BadRequest(
            f"There is no indicator {unknown[0][:40]!a}: choose from {', '.join(INDICATORS)}."
        )
    if not len(bars):
        return {name: np.full(0, np.nan) for name in wanted}
    # The frame belongs to this call alone: stockstats adds columns to it, which two threads must
    # not do to one frame.
    import pandas as pd
    import stockstats

    frame = stockstats.wrap(
        pd.DataFrame(
            {
                "open": bars.open,
                "high": bars.high,
                "low": bars.low,
                "close": bars.close,
                "volume": bars.volume,
            }
        )
    )
    return {name: _masked(_column(frame, bars, name), INDICATORS[name]) for name in wanted}


def _column(frame: Mapping[str, "np.typing.ArrayLike"], bars: Bars, name: str) -> Floats:
    if name == "vwma":
        return _vwma(bars.close, bars.volume)
    values = np.array(frame[name], dtype=np.float64)
    match name:
        case "mfi":
            return values * 100
        case "boll_ub" | "boll_lb":
            middle = np.array(frame["boll"], dtype=np.float64)
            population = np.sqrt((_BOLLINGER_WINDOW - 1) / _BOLLINGER_WINDOW)
            return np.asarray(middle + (values - middle) * population)
        case "rsi":
            values[np.cumsum(np.abs(np.diff(bars.close, prepend=bars.close[0]))) == 0] = np.nan
    return values


def _vwma(close: Floats, volume: Floats) -> Floats:
    result = np.full(len(close), np.nan)
    if len(close) >= _VWMA_WINDOW:
        turnover = sliding_window_view(close * volume, _VWMA_WINDOW).sum(axis=1)
        shares = sliding_window_view(volume, _VWMA_WINDOW).sum(axis=1)
        traded = shares > 0
        result[_VWMA_WINDOW - 1 :][traded] = turnover[traded] / shares[traded]
    return result


def _masked(values: Floats, needed: int) -> Floats:
    values[: needed - 1] = np.nan
    values.flags.writeable = False
    return values


def warm_up() -> None:
    """Import what `compute` needs and run every indicator once, on bars of its own."""
    size = 260
    days = [datetime.date(2000, 1, 1) + datetime.timedelta(days=day) for day in range(size)]
    wave = 100 + np.sin(np.arange(size))
    compute(make_bars("WARM-UP", days, [wave, wave + 1, wave - 1, wave, np.full(size, 1e6)]))
