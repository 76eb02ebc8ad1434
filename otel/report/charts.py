"""The charts of a report as inline SVG: positions in per cent, so that they fit any width.

No text stands inside a stretched drawing, colours are classes of the page's style sheet, and every
bar has a title, which browsers show and screen readers read.
"""

import math
from collections.abc import Iterable, Iterator, Sequence

from trading_graph.otel.report.concurrency import Step
from trading_graph.otel.report.durations import brief
from trading_graph.otel.report.markup import Markup, element, joined

_TICKS = 6


def bar(class_: str, start: float, end: float, whole: float, **shape: object) -> Markup:
    """A rectangle from start to end on an axis of this length; at least a hair wide."""
    left = 100 * min(max(start / whole, 0.0), 1.0)
    width = min(max(100 * (end - start) / whole, 0.15), 100 - left + 0.15)
    title = shape.pop("title", None)
    inside = [element("title", str(title))] if title else []
    return element("rect", *inside, class_=class_, x=_percent(left), width=_percent(width), **shape)


def strip(bars: Iterable[Markup], height: int, label: str, class_: str = "strip") -> Markup:
    """Bars side by side."""
    return element(
        "svg",
        joined(bars),
        class_=class_,
        width="100%",
        height=height,
        role="img",
        aria_label=label,
    )


def axis(whole_ns: float) -> Markup:
    """The marks of an axis with their times."""
    marks = []
    for at in ticks(whole_ns):
        share = 100 * at / whole_ns
        anchor = "start" if share < 3 else "end" if share > 97 else "middle"
        marks.append(element("text", tick(at), x=_percent(share), y=11, text_anchor=anchor))
    return element("svg", joined(marks), class_="axis", width="100%", height=14, aria_hidden="true")


def grid(whole_ns: float, limit_ns: float | None = None) -> Markup:
    """The lines behind a chart, and one at a limit."""
    lines = [
        element("line", x1=_percent(at), x2=_percent(at), y1=0, y2="100%")
        for at in (100 * each / whole_ns for each in ticks(whole_ns))
    ]
    if limit_ns is not None and limit_ns <= whole_ns:
        at = _percent(100 * limit_ns / whole_ns)
        lines.append(element("line", class_="limit", x1=at, x2=at, y1=0, y2="100%"))
    return element(
        "svg", joined(lines), class_="grid", width="100%", height="100%", aria_hidden="true"
    )


def area(class_: str, steps: Sequence[Step], peak: float, whole: float = 1.0) -> Markup:
    """A level over time, filled, in a drawing 1000 wide and 100 high that may be stretched.

    `whole` is how much of the width the time takes.
    """
    written = ["M0 100"]
    for at, level in steps:
        x = f"{1000 * whole * at:.1f}"
        written.append(f"H{x}V{100 - 96 * level / max(peak, 1):.1f}")
    written.append("V100Z")
    return element("path", class_=class_, d="".join(written))


def areas(parts: Iterable[Markup], label: str) -> Markup:
    """Several levels over one another."""
    return element(
        "svg",
        joined(parts),
        class_="areas",
        viewBox="0 0 1000 100",
        preserveAspectRatio="none",
        width="100%",
        height=72,
        role="img",
        aria_label=label,
    )


def ticks(whole_ns: float) -> Iterator[float]:
    """Round times from 0 on, about six of them."""
    raw = max(whole_ns, 1) / _TICKS
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * each for each in (1, 2, 5, 10) if power * each >= raw * 0.999)
    for number in range(int(whole_ns / step) + 1):
        yield number * step


def tick(nanoseconds: float) -> str:
    """A mark's time, as short as it can be."""
    if nanoseconds >= 1e9 or not nanoseconds:
        return f"{nanoseconds / 1e9:g} s"
    return brief(nanoseconds / 1e9) if nanoseconds >= 1e8 else f"{nanoseconds / 1e6:g} ms"


def legend(entries: Iterable[tuple[str, str]]) -> Markup:
    """What the colours of a chart mean: a class of the style sheet and its name each."""
    items = (element("li", swatch(class_), label) for class_, label in entries)
    return element("ul", joined(items), class_="legend")


def swatch(class_: str) -> Markup:
    """A square of a colour."""
    square = element("rect", class_=class_, width=10, height=10, rx=2)
    return element("svg", square, class_="swatch", width=10, height=10, aria_hidden="true")


def _percent(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".") + "%"
