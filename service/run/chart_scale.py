"""Where things stand in a chart of prices: the scale of prices, its marks, dates, and labels.

All places are in the chart's own units, downwards from the top. Pure functions of numbers and text.
"""

import datetime
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from trading_graph.graph.price_text import price_text

# No price moves over less than this share of itself on paper: noise would look like a trend.
_LEAST_SPAN = 0.005
_PADDING = 0.04
# A level farther out than this many times the range of the prices would press them flat.
_REACH = 2.0
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_CHARACTER = 0.6
"""The width of a character against the size of its font, on the safe side for sans-serif ones."""

_SMALL, _LARGE, _HUGE = 1e-4, 1e6, 1e9


def text_width(text: str, size: float) -> float:
    """How wide a text is at most, in the unit of its size."""
    return len(text) * size * _CHARACTER


def chart_price(price: float) -> str:
    """A price as short as its digits allow: 190.17, 1,234,567, 8.17e-06."""
    size = abs(price)
    if size and not _SMALL <= size < _HUGE:
        return f"{price:.5g}"
    return f"{price:,.0f}" if size >= _LARGE else price_text(price, thousands=True)


class Mark(NamedTuple):
    """A mark of an axis: its place, and its text."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class PriceScale:
    """Prices from low to high, drawn between `bottom` and `top`."""

    low: float
    high: float
    top: float
    bottom: float

    def y(self, price: float) -> float:
        """The place of a price; beyond the scale, that of its nearer end."""
        share = (min(max(price, self.low), self.high) - self.low) / (self.high - self.low)
        return self.bottom - share * (self.bottom - self.top)

    def marks(self, most: int) -> list[Mark]:
        """Round prices on the scale, at most so many, upwards."""
        step = _step((self.high - self.low) / most)
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        prices = [number * step for number in range(first, last + 1)][:most]
        return [Mark(self.y(price), _mark_text(price, step)) for price in prices]


def price_scale(
    prices: Sequence[float], levels: Sequence[float], top: float, bottom: float
) -> PriceScale:
    """The scale that holds all prices, at least one, and each level that is not far out."""
    low, high = min(prices), max(prices)
    reach = max(_REACH * (high - low), abs(high) / 4)
    near = [level for level in levels if low - reach <= level <= high + reach]
    low, high = min([low, *near]), max([high, *near])
    span = max(high - low, _LEAST_SPAN * max(abs(low), abs(high))) or 1.0
    middle, half = (low + high) / 2, span * (0.5 + _PADDING)
    return PriceScale(middle - half, middle + half, top, bottom)


def _step(least: float) -> float:
    """The smallest round number that is at least so large."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * each for each in _STEPS if power * each >= least * 0.999)


def _mark_text(price: float, step: float) -> str:
    """A price of the axis with the digits that tell it from its neighbours."""
    # Multiples of a step may miss 0 by a hair.
    if abs(price) < step / 2:
        return "0"
    size, place = math.floor(math.log10(abs(price))), math.floor(math.log10(step))
    place -= round(step / 10.0**place, 6) == 2.5
    if not _SMALL <= abs(price) < _HUGE:
        return f"{price:.{max(size - place, 0)}e}"
    return f"{price:,.{max(-place, 0)}f}"


def spread(places: Sequence[float], gap: float, top: float, bottom: float) -> list[float]:
    """Places at least a gap apart, each near its own, from top to bottom as far as there is room.

    Places come in ascending order, and stay in it.
    """
    apart: list[float] = []
    for place in places:
        apart.append(max(place, apart[-1] + gap if apart else top))
    for i in reversed(range(len(apart))):
        apart[i] = min(apart[i], apart[i + 1] - gap if i + 1 < len(apart) else bottom)
    return apart


def date_marks(days: Sequence[str], xs: Sequence[float], until: float, size: float) -> list[Mark]:
    """The first sessions of months, of weeks where there are few; none touches another or `until`.

    `days` are ISO dates with their places `xs`; a mark stands with its middle there.
    """
    marks: list[Mark] = []
    edge = -math.inf
    for x, text in _beginnings(days, xs):
        half = text_width(text, size) / 2
        if x - half > edge + size and x + half < until - size:
            marks.append(Mark(x, text))
            edge = x + half
    return marks


def _beginnings(days: Sequence[str], xs: Sequence[float]) -> Iterator[tuple[float, str]]:
    dates = [datetime.date.fromisoformat(day) for day in days]
    by_week = (dates[-1] - dates[0]).days < 70
    year = 0
    for i in range(1, len(dates)):
        before, date = dates[i - 1], dates[i]
        if by_week and before.isocalendar()[:2] != date.isocalendar()[:2]:
            yield xs[i], f"{date:%m-%d}"
        elif not by_week and (before.year, before.month) != (date.year, date.month):
            yield xs[i], f"{date:%b}" if date.year == year else f"{date:%b %Y}"
            year = date.year
