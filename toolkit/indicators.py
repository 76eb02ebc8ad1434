"""Technical indicators of daily bars, computed by stockstats and corrected.

Only the names in `INDICATORS` reach stockstats, where any other name could start a computation of
any size. Its results differ from the usual definitions in six points, which are corrected here:

- no value before an indicator has warmed up (stockstats averages what there is);
- `mfi` runs from 0 to 100 (there: 0 to 1);
- `boll_ub` and `boll_lb` use the population's standard deviation (there: the sample's);
- `vwma` is the 20-day sum of close x volume over the sum of volume (there: 14 days, typical price);
- no `rsi` of a price that never moved (there: undefined or 100);
- no `mfi` or `vwma` where fewer than seven in ten of its sessions have volume (there: 50).

The first use imports pandas and stockstats, which takes a while: call `warm_up` in a thread before
anything that is timed.
"""

import datetime
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from trading_graph.toolkit.bar_checks import Floats
from trading_graph.toolkit.bars import Bars, make_bars
from trading_graph.toolkit.errors import BadRequestError

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

OSCILLATORS: Final = frozenset(("rsi", "mfi"))
"""Indicators from 0 to 100; the others are in the prices' currency."""

_BOLLINGER_WINDOW = 20
_VWMA_WINDOW = 20
_MFI_WINDOW = 14
# An average by volume means nothing where most of its sessions have none.
_TRADED_SHARE = 0.7


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
            return np.where(_has_volume(bars.volume, _MFI_WINDOW), values * 100, np.nan)
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
        traded = _has_volume(volume, _VWMA_WINDOW)[_VWMA_WINDOW - 1 :]
        result[_VWMA_WINDOW - 1 :][traded] = turnover[traded] / shares[traded]
    return result


def _has_volume(volume: Floats, window: int) -> NDArray[np.bool_]:
    """Whether enough of the sessions in the window up to each bar have volume."""
    counts: NDArray[np.int64] = np.cumsum(volume > 0, dtype=np.int64)
    counts[window:] = counts[window:] - counts[:-window]
    enough: NDArray[np.bool_] = counts >= _TRADED_SHARE * window
    return enough


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
