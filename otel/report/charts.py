"""The geometry of charts, in numbers: bars, axes and levels, which templates draw as SVG.

Positions are in per cent of a chart's width, so that a drawing fits any page.
"""

import math
from collections.abc import Iterator, Sequence

import msgspec
import numpy as np

from trading_graph.otel.report.durations import brief

MOST_LEVELS = 600
"""The most levels that are drawn; of more, averages over equal parts of the time are."""

_TICKS = 6
_HAIR = 0.15
"""The least width of a bar."""

Level = tuple[float, float]
"""A time as a share of the whole, and how many spans ran from then on."""


class Bar(msgspec.Struct, frozen=True):
    """A rectangle: its class in the style sheet, its place in per cent, and what its tip says."""

    kind: str
    left: float
    width: float
    title: str = ""


def bar(kind: str, start: float, end: float, whole: float, title: str = "") -> Bar:
    """The bar from start to end on an axis of this length; it is at least a hair wide."""
    left = 100 * min(max(start / whole, 0.0), 1.0)
    width = min(max(100 * (end - start) / whole, _HAIR), 100 - left + _HAIR)
    return Bar(kind, left, width, title)


class Tick(msgspec.Struct, frozen=True):
    """A mark of an axis: its place in per cent, and its time."""

    at: float
    text: str


class Axis(msgspec.Struct, frozen=True):
    """The marks of a time axis, and the place of a limit on it."""

    ticks: tuple[Tick, ...]
    limit: float | None = None


def axis(whole_ns: float, limit_ns: float | None = None) -> Axis:
    """The axis of a chart that is so long; a limit beyond its end is not drawn."""
    marks = tuple(Tick(100 * at / whole_ns, _time(at)) for at in _ticks(whole_ns))
    if limit_ns is None or limit_ns > whole_ns:
        return Axis(marks)
    return Axis(marks, 100 * limit_ns / whole_ns)


def _ticks(whole_ns: float) -> Iterator[float]:
    """Round times from 0 on, about six of them."""
    raw = max(whole_ns, 1) / _TICKS
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * each for each in (1, 2, 5, 10) if power * each >= raw * 0.999)
    for number in range(int(whole_ns / step) + 1):
        yield number * step


def _time(nanoseconds: float) -> str:
    """A mark's time, as short as it can be."""
    if nanoseconds >= 1e9 or not nanoseconds:
        return f"{nanoseconds / 1e9:g} s"
    return brief(nanoseconds / 1e9) if nanoseconds >= 1e8 else f"{nanoseconds / 1e6:g} ms"


def levels(intervals: Sequence[tuple[int, int]], length_ns: int) -> list[Level]:
    """How many intervals ran at once over time; nanoseconds after the beginning."""
    if not intervals or length_ns <= 0:
        return [(0.0, 0.0)]
    bounds = np.array(intervals, np.int64).clip(0, length_ns)
    times, inverse = np.unique(bounds.ravel(), return_inverse=True)
    change = np.zeros(len(times), np.int64)
    np.add.at(change, inverse, np.tile([1, -1], len(intervals)))
    running = change.cumsum()
    if len(times) > MOST_LEVELS:
        return _averages(times, running, length_ns)
    shares = (times / length_ns).tolist()
    return [(0.0, 0.0), *zip(shares, map(float, running.tolist()), strict=True)]


def _averages(
    times: "np.ndarray[tuple[int], np.dtype[np.int64]]",
    running: "np.ndarray[tuple[int], np.dtype[np.int64]]",
    length_ns: int,
) -> list[Level]:
    """Work up to each border, differenced: exact, however short the intervals are."""
    work = np.concatenate([[0.0], np.cumsum(np.diff(times) * running[:-1].astype(np.float64))])
    borders = np.linspace(0, length_ns, MOST_LEVELS + 1)
    at_borders = np.interp(borders, times, work, left=0.0, right=float(work[-1]))
    averages = np.diff(at_borders) / (length_ns / MOST_LEVELS)
    return list(zip((borders[:-1] / length_ns).tolist(), averages.tolist(), strict=True))


def outline(steps: Sequence[Level], peak: float, width: float = 1.0) -> str:
    """The path of a filled area, in a drawing 1000 wide and 100 high that may be stretched.

    `width` is the share of the drawing that the time takes.
    """
    path = ["M0 100"]
    for at, level in steps:
        path.append(f"H{1000 * width * at:.1f}V{100 - 96 * level / max(peak, 1):.1f}")
    path.append("V100Z")
    return "".join(path)


def percent(value: float) -> str:
    """A place or a length for an attribute of SVG, in per cent."""
    return f"{value:.3f}".rstrip("0").rstrip(".") + "%"
