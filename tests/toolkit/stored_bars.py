"""Bars that a number makes, so that a process can tell whether another's are whole."""

import datetime

import numpy as np

from trading_graph.toolkit.bars import Bars, make_bars
from trading_graph.toolkit.cache import CacheKey

DAY = datetime.date(2025, 11, 14)
_DAYS = [DAY - datetime.timedelta(days=back) for back in range(300)]


def key_of(number: int, as_of: datetime.date = DAY) -> CacheKey:
    return CacheKey("bars", "test", f"S{number}", as_of)


def bars_of(number: int) -> Bars:
    """300 bars whose every price depends on the number."""
    prices = np.arange(1.0, 301.0) + number
    return make_bars(f"S{number}", _DAYS, [prices] * 5)
