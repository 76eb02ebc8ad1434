"""Bars that cannot be right, mended or left out before they count, each with its reason.

Sources give bars of zeros for days without trade, a low of 0, a close in cents among dollars, a
close far outside its day's range, and days twice. Here stand the rules for one bar by itself;
`unit_jumps` compares bars with their neighbours. docs/data.md says where the rules differ from
yfinance's `repair`, which asks Yahoo for finer bars where these rules ask nobody.
"""

import datetime
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Prices are 32-bit floats at Yahoo: less than this share is rounding.
_ROUNDING = 1e-5
# An auction's price may lie outside the range of continuous trade, but not by more than this share.
_AUCTION = 0.05
# A range this wide within one day is looked at.
_WIDE = 50.0
_NAMED_DAYS = 3

UNIT = 100.0
"""Cents of a dollar: the size of a mistaken unit."""


class Fault(StrEnum):
    """What is wrong with a bar."""

    NO_PRICE = "no price (0, or none)"
    NEGATIVE = "a negative price"
    RANGE = "a close or open outside the day's range"
    UNIT = "a price off by a factor of 100"
    TWICE = "a day given twice"


class Remedy(StrEnum):
    """What was done about it."""

    MENDED = "mended"
    LEFT_OUT = "left out"


@dataclass(frozen=True, slots=True)
class BarFault:
    """A bar that could not be right, and what was done about it."""

    day: datetime.date
    fault: Fault
    remedy: Remedy


class Prices(NamedTuple):
    """The four prices of a bar; NaN where the source has none."""

    open: float
    high: float
    low: float
    close: float


def off_by_unit(ratio: float) -> int:
    """1 or -1 where a ratio is about 100 or 1/100, within a tenth; else 0."""
    if UNIT * 0.9 <= ratio <= UNIT * 1.1:
        return 1
    return -1 if ratio > 0 and UNIT * 0.9 <= 1 / ratio <= UNIT * 1.1 else 0


def sound_rows(columns: Floats) -> NDArray[np.bool_]:
    """Which bars need no second look; `columns` are open, high, low, close and any others."""
    open_, high, low, close = columns[:4]
    floor, ceiling = low * (1 - _ROUNDING), high * (1 + _ROUNDING)
    sound: NDArray[np.bool_] = (
        (low > 0)
        & (close >= floor)
        & (open_ >= floor)
        & (close <= ceiling)
        & (open_ <= ceiling)
        & (high <= low * _WIDE)
    )
    return sound


def mend(prices: Prices, *, below_zero: bool = False) -> tuple[Prices | None, Fault | None]:
    """The bar as it counts (None: left out), and what was wrong with it (None: nothing).

    `below_zero` says that prices may be negative, as those of futures have been.
    """
    if all(map(math.isnan, prices)):
        return None, None  # Yahoo's way to say that there was no trade.
    if min(prices) < 0:
        in_order = prices.low <= min(prices.open, prices.close) and prices.high >= max(
            prices.open, prices.close
        )
        return (prices, None) if below_zero and in_order else (None, Fault.NEGATIVE)
    fault = None if min(prices) > 0 else Fault.NO_PRICE
    if not prices.close > 0:
        return None, Fault.NO_PRICE
    prices = _with_all_prices(prices)
    rescaled = _in_one_unit(prices)
    if rescaled != prices:
        prices, fault = rescaled, Fault.UNIT
    low, high = sorted((prices.low, prices.high))
    if max(prices.close / high, low / prices.close) > 1 + _AUCTION:
        return None, Fault.RANGE
    open_ = min(max(prices.open, low), high)
    whole = Prices(open_, max(high, prices.close), min(low, prices.close), prices.close)
    if _differ(whole, prices):
        return whole, fault or Fault.RANGE
    return prices, fault


def _with_all_prices(prices: Prices) -> Prices:
    """Prices that are missing filled from those that are there; the close is."""
    open_ = prices.open if prices.open > 0 else prices.close
    high = prices.high if prices.high > 0 else max(open_, prices.close)
    low = prices.low if prices.low > 0 else min(open_, prices.close)
    return Prices(open_, high, low, prices.close)


def _in_one_unit(prices: Prices) -> Prices:
    """The bar with one price of another unit put into that of the others.

    A close at 1/100 inside its day's range is a crash, and stays.
    """
    open_, high, low, close = prices
    if not low <= close <= high:
        close = _nearer(close, low, high)
    if not low <= open_ <= high:
        open_ = _nearer(open_, low, high)
    least, most = min(open_, close), max(open_, close)
    if off_by_unit(least / low) == 1:
        low = min(low * UNIT, least)
    if off_by_unit(high / most) == 1:
        high = max(high / UNIT, most)
    return Prices(open_, high, low, close)


def _nearer(price: float, low: float, high: float) -> float:
    """The price in the unit of the range, if that brings it there."""
    for other in (price * UNIT, price / UNIT):
        if low * (1 - _AUCTION) <= other <= high * (1 + _AUCTION):
            return other
    return price


def _differ(one: Prices, other: Prices) -> bool:
    return any(abs(a - b) > _ROUNDING * b for a, b in zip(one, other, strict=True))


def warnings_of(faults: Iterable[BarFault]) -> tuple[str, ...]:
    """A sentence for each kind of fault and remedy, with the newest days by name."""
    groups: defaultdict[tuple[Fault, Remedy], set[datetime.date]] = defaultdict(set)
    for each in faults:
        groups[each.fault, each.remedy].add(each.day)
    return tuple(
        f"Bars with {fault}, {remedy}: {len(days)} ({_names(sorted(days, reverse=True))})."
        for (fault, remedy), days in groups.items()
    )


def _names(days: Sequence[datetime.date]) -> str:
    names = ", ".join(map(str, days[:_NAMED_DAYS]))
    return f"{names} and earlier" if len(days) > _NAMED_DAYS else names
