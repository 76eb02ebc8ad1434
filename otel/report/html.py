"""What HTML reports and pages are made with: the rules of all templates, and the numbers of charts.

The templates are documents that a designer can edit. Text and attributes are escaped wherever a
template writes them, so what a trace says cannot become markup; in Markdown the filter `plain` does
that. A name that a view does not have is an error, never an empty text.

Charts are bars, axes and levels, which templates draw as SVG. Positions are in per cent of a
chart's width, so that a drawing fits any page.
"""

import math
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any

import msgspec
import numpy as np
from jinja2 import BaseLoader, Environment, PackageLoader, StrictUndefined

from trading_graph.otel.report.durations import between, brief, share
from trading_graph.otel.report.shortening import shorten
from trading_graph.otel.report.tables import plain
from trading_graph.otel.visible import visible

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


PACKAGE = "trading_graph.otel.report"
FILTERS: Mapping[str, Callable[..., str]] = {
    "between": between,
    "brief": brief,
    "percent": percent,
    "plain": plain,
    "share": share,
    "shorten": shorten,
}


def environment(loader: BaseLoader) -> Environment:
    """An environment with the rules and filters of all templates of the project.

    Templates are compiled once a process: a change shows at the next start.
    """
    templates = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    templates.filters.update(FILTERS)
    return templates


ENVIRONMENT = environment(PackageLoader(PACKAGE))


def render(template: str, **view: Any) -> str:
    """A report from its template; it ends with a newline."""
    return visible(ENVIRONMENT.get_template(template).render(view)) + "\n"


def render_document(template: str, **view: Any) -> str:
    """A report as an HTML document that needs nothing but itself.

    Its content security policy allows its own style sheet, by hash, and nothing else: no script
    could run even if a name in a trace became markup.
    """
    style, digest = _style()
    return render(template, **view, style=style, style_digest=digest)


def style_sheet() -> str:
    """The style sheet of the reports."""
    return (files(PACKAGE) / "page.css").read_text("utf-8")


@cache
def _style() -> tuple[str, str]:
    style = style_sheet()
    return style, b64encode(sha256(style.encode()).digest()).decode()
