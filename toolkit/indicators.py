"""Technical indicators of daily bars, computed by stockstats and corrected.

Only the names in `INDICATORS` reach stockstats, where any other name could start a computation of
any size. Its results differ from the usual definitions in five points, which are corrected here:

- no value before an indicator has warmed up (stockstats averages what there is);
- `mfi` runs from 0 to 100 (there: 0 to 1);
- `boll_ub` and `boll_lb` use the population's standard deviation (there: the sample's);
- `vwma` is the 20-day sum of close x volume over the sum of volume (there: 14 days, typical price);
- no `rsi` of a price that never moved (there: undefined or 100).

The first use imports pandas and stockstats, which takes a while: call `warm_up` in a thread before
anything that is timed.
"""

import datetime
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from trading_graph.toolkit.errors import BadRequestError
from trading_graph.toolkit.records import Bars, Floats, make_bars

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
"""The supported names, each with the number of bars that it needs for its first value.

A moving window needs its length. An exponential average needs as many bars as it takes the weight
of its start to fall below 1e-4.
"""

_BOLLINGER_WINDOW = 20
_VWMA_WINDOW = 20


def compute(bars: Bars, names: Iterable[str] = tuple(INDICATORS)) -> dict[str, Floats]:
    """Each named indicator as an array beside `bars.dates`, NaN before its warm-up.

    BadRequestError for a name that is not in `INDICATORS`. This takes milliseconds of CPU time:
    call it in a thread.
    """
    names = list(dict.fromkeys(names))
    if unknown := [name for name in names if name not in INDICATORS]:
        raise BadRequestError(
            f"There is no indicator {unknown[0][:40]!a}: choose from {', '.join(INDICATORS)}."
        )
    if not len(bars):
        return {name: np.full(0, np.nan) for name in names}
    # Here, because they take half a second to import, and a program that computes none needs none.
    import pandas as pd
    import stockstats

    # A new frame for each call: stockstats adds columns to it, and threads must not share it.
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
    return {name: _mask(_column(frame, bars, name), INDICATORS[name]) for name in names}


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


def _mask(values: Floats, needed: int) -> Floats:
    values[: needed - 1] = np.nan
    values.flags.writeable = False
    return values


def warm_up() -> None:
    """Import the libraries and compute every indicator once, on bars of its own."""
    size = 260
    days = [datetime.date(2000, 1, 1) + datetime.timedelta(days=day) for day in range(size)]
    wave = 100 + np.sin(np.arange(size))
    compute(make_bars("WARM-UP", days, [wave, wave + 1, wave - 1, wave, np.full(size, 1e6)]))
