"""The chart of a decision: daily prices with entry, stop and target, as one SVG file.

The file needs nothing but itself, has no script, follows light and dark, and holds two drawings: a
wide one, and for narrow places one of fewer sessions with larger text. Programs that know no media
queries show the wide one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from trading_graph.service.run.chart_scale import (
    chart_price,
    date_marks,
    price_scale,
    spread,
    text_width,
)
from trading_graph.toolkit.chart_bars import ChartBars

WIDTH, HEIGHT = 860, 480
NARROW_PX = 600
"""Below this width of the picture, in CSS pixels, the narrow drawing shows."""

_FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif'
STYLE = f"""
svg {{ --ground: #fff; --text: #1a2129; --soft: #5b6673; --line: #e6e9ed; --edge: #dfe3e8;
  --up: #2c9a86; --down: #c2493f; --short: #b9771a; --long: #8c57c4;
  --target: #1d7f4f; --entry: #2c5bbd; --stop: #b3261e; }}
@media (prefers-color-scheme: dark) {{ svg {{ --ground: #181e24; --text: #e6eaee; --soft: #9aa6b2;
  --line: #28313a; --edge: #2c353e; --up: #4fc1ab; --down: #e5766c; --short: #e5b054;
  --long: #b58ae6; --target: #54c58a; --entry: #8ab0f6; --stop: #ff8076; }} }}
text {{ font: 12px {_FONT}; fill: var(--soft); font-variant-numeric: tabular-nums; }}
.head {{ font-weight: 600; fill: var(--text); }} .strong {{ fill: var(--text); }}
.ground {{ fill: var(--ground); stroke: var(--edge); }}
.grid {{ stroke: var(--line); }} .session {{ stroke: var(--soft); stroke-dasharray: 2 3; }}
.up {{ stroke: var(--up); fill: var(--up); }} .down {{ stroke: var(--down); fill: var(--down); }}
.volume {{ stroke: none; fill-opacity: 0.4; }}
.price {{ stroke: var(--text); stroke-width: 1.6; fill: none; }}
.short, .long {{ stroke-width: 1.4; fill: none; }}
.short {{ stroke: var(--short); }} .long {{ stroke: var(--long); }}
.level {{ stroke-width: 1.4; }} .leader {{ stroke-width: 1; fill: none; }}
line.target, path.target {{ stroke: var(--target); }} text.target {{ fill: var(--target); }}
line.entry, path.entry {{ stroke: var(--entry); }} text.entry {{ fill: var(--entry); }}
line.stop, path.stop {{ stroke: var(--stop); }} text.stop {{ fill: var(--stop); }}
line.stop, line.target {{ stroke-dasharray: 6 4; }}
line.close, path.close {{ stroke: var(--soft); }} text.close {{ fill: var(--text); }}
.dot {{ fill: var(--text); }}
@media (max-width: {NARROW_PX}px) {{ .wide {{ display: none; }} .narrow {{ display: inline; }} }}
"""
# What XML cannot hold goes, whoever named the company.
_NOT_IN_XML = dict.fromkeys((*range(9), 11, 12, *range(14, 32), 65534, 65535))


@dataclass(frozen=True, slots=True)
class Level:
    """A price of the decision: `name` is entry, stop or target."""

    name: str
    price: float


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose prices they are, and in which currency ("": nobody names one)."""

    symbol: str
    currency: str
    name: str = ""


def draw_chart(history: ChartBars, levels: Sequence[Level], subject: Subject) -> str:
    """The chart as an SVG document of less than 60 kB that ends with a newline."""
    wide = _Drawing(history, levels, subject, WIDTH, HEIGHT, marks=7, with_changes=True)
    narrow = _Drawing(history.last(63), levels, subject, WIDTH // 2, HEIGHT // 2, marks=4)
    rows = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="title description">',
        f'<title id="title">{_xml(_title(history, subject))}</title>',
        f'<desc id="description">{_xml(describe(history, levels, subject))}</desc>',
        f"<style>{STYLE}</style>",
        f'<rect class="ground" x="0.5" y="0.5" width="{WIDTH - 1}" height="{HEIGHT - 1}" rx="8"/>',
        '<g class="wide">',
        *wide.rows(),
        "</g>",
        # As an attribute, which the style sheet overrules: not every program reads that.
        '<g class="narrow" display="none" transform="scale(2)">',
        *narrow.rows(),
        "</g>",
        "</svg>",
    ]
    return "\n".join(rows) + "\n"


def describe(history: ChartBars, levels: Sequence[Level], subject: Subject) -> str:
    """What the chart shows, in words."""
    unit = subject.currency or "a currency that the source does not name"
    parts = [
        f"Daily prices of {subject.symbol} in {unit} from {history.days[0]} to {history.days[-1]}",
        f"lowest {chart_price(min(history.low))}, highest {chart_price(max(history.high))}",
        f"last close {chart_price(history.close[-1])}",
        *(f"{level.name} {chart_price(level.price)}" for level in levels),
    ]
    return "; ".join(parts) + "."


def _title(history: ChartBars, subject: Subject) -> str:
    name = f" ({subject.name})" if subject.name else ""
    return f"{subject.symbol}{name}: daily prices to {history.days[-1]}"


def _xml(text: str) -> str:
    return escape(text.translate(_NOT_IN_XML))


class _Drawing:
    """One of the two drawings: its frame, and the elements in it.

    `marks` is about how many prices the axis names; `with_changes` writes behind each level how far
    it is from the entry.
    """

    def __init__(
        self,
        history: ChartBars,
        levels: Sequence[Level],
        subject: Subject,
        width: int,
        height: int,
        *,
        marks: int,
        with_changes: bool = False,
    ) -> None:
        self.history = history
        self.levels = levels
        self.subject = subject
        self.width, self.height, self.size = width, height, 12.0
        self.top, self.bottom = 34.0, height - 26.0
        has_volume = any(volume > 0 for volume in history.volume)
        self.volume_top = self.bottom - (0.15 * height if has_volume else 0.0)
        averages = [price for price in (*history.average_20, *history.average_50) if price]
        self.scale = price_scale(
            [*history.low, *history.high, *averages],
            [level.price for level in levels],
            self.top,
            self.volume_top - (8.0 if has_volume else 0.0),
        )
        self.marks = self.scale.marks(marks)
        self.labels = list(self._labels(with_changes))
        widest = max((text_width(mark.text, self.size) for mark in self.marks), default=0.0)
        self.left = 16.0 + widest
        self.right = width - 30.0 - max(text_width(text, self.size) for _, _, text in self.labels)
        self.slot = (self.right - self.left) / len(history.days)
        self.xs = [self.left + self.slot * (i + 0.5) for i in range(len(history.days))]

    def _labels(self, with_changes: bool) -> Iterator[tuple[str, float, str]]:
        """The class, price and text of each label at the right, upwards on the scale."""
        entry = next((level.price for level in self.levels if level.name == "entry"), None)
        levels = [Level("close", self.history.close[-1]), *self.levels]
        # Of equal prices the decision's own stands above: entries often are the last close.
        order = ("stop", "close", "entry", "target")
        levels.sort(key=lambda level: (level.price, order.index(level.name)))
        for level in levels:
            text = f"{level.name} {chart_price(level.price)}"
            if level.price > self.scale.high:
                text += " ↑"
            elif level.price < self.scale.low:
                text += " ↓"
            elif with_changes and entry and level.name in ("stop", "target"):
                text += f" · {100 * (level.price / entry - 1):+.1f} %"
            yield level.name, level.price, text

    def rows(self) -> Iterator[str]:
        """The elements, from the background to the front."""
        yield from self._head()
        yield from self._axes()
        yield from self._volume()
        if any(high > low for low, high in zip(self.history.low, self.history.high, strict=True)):
            yield from self._candles()
        else:
            yield self._line("price", self.history.close)
        yield self._line("short", self.history.average_20)
        yield self._line("long", self.history.average_50)
        yield from self._levels()

    def _head(self) -> Iterator[str]:
        subject, legend_x = self.subject, self.width - 12.0
        named = f"{subject.symbol} · {subject.currency}" if subject.currency else subject.symbol
        names = (("long", "50-day average"), ("short", "20-day average"))
        for kind, text in names:
            if not any(price is not None for price in self._average(kind)):
                continue
            legend_x -= text_width(text, self.size)
            yield _text(legend_x, 21, text)
            yield f'<path class="{kind}" d="M{legend_x - 20:.1f} 17h14"/>'
            legend_x -= 34.0
        if 12.0 + text_width(named, self.size) > legend_x:
            named = subject.symbol
        if 12.0 + text_width(named, self.size) <= legend_x:
            yield _text(12, 21, named, "head")

    def _average(self, kind: str) -> Sequence[float | None]:
        return self.history.average_20 if kind == "short" else self.history.average_50

    def _axes(self) -> Iterator[str]:
        for mark in self.marks:
            yield (
                f'<line class="grid" x1="{self.left:.1f}" x2="{self.right:.1f}" '
                f'y1="{mark.at:.1f}" y2="{mark.at:.1f}"/>'
            )
            yield _text(self.left - 6, mark.at + 4, mark.text, anchor="end")
        day, x = self.history.days[-1], self.xs[-1]
        at = min(x + text_width(day, self.size) / 2, self.width - 12.0)
        y = self.height - 9.0
        start = at - text_width(day, self.size)
        for mark in date_marks(self.history.days, self.xs, start, self.size):
            if mark.at - text_width(mark.text, self.size) / 2 > 4.0:
                yield _text(mark.at, y, mark.text, anchor="middle")
        yield _text(at, y, day, "strong", anchor="end")
        yield (
            f'<line class="session" x1="{x:.1f}" x2="{x:.1f}" '
            f'y1="{self.top:.1f}" y2="{self.bottom:.1f}"/>'
        )

    def _rises(self, i: int) -> bool:
        return self.history.close[i] >= self.history.open[i]

    def _volume(self) -> Iterator[str]:
        most = max(self.history.volume)
        if most <= 0:
            return
        half, full = self._half_body(), self.bottom - self.volume_top
        for kind, rises in (("up", True), ("down", False)):
            bars = [
                f"M{x - half:.1f} {self.bottom:.1f}v{-full * volume / most:.1f}h{2 * half:.1f}"
                f"V{self.bottom:.1f}z"
                for i, (x, volume) in enumerate(zip(self.xs, self.history.volume, strict=True))
                if volume > 0 and self._rises(i) is rises
            ]
            if bars:
                yield f'<path class="volume {kind}" d="{"".join(bars)}"/>'

    def _half_body(self) -> float:
        return min(max(self.slot * 0.32, 0.6), 7.0)

    def _candles(self) -> Iterator[str]:
        history, y, half = self.history, self.scale.y, self._half_body()
        for kind, rises in (("up", True), ("down", False)):
            marks = []
            for i, x in enumerate(self.xs):
                if self._rises(i) is not rises:
                    continue
                first, second = sorted((y(history.open[i]), y(history.close[i])))
                marks.append(f"M{x:.1f} {y(history.high[i]):.1f}V{y(history.low[i]):.1f}")
                marks.append(
                    f"M{x - half:.1f} {first:.1f}h{2 * half:.1f}v{second - first:.1f}"
                    f"h{-2 * half:.1f}z"
                )
            if marks:
                yield f'<path class="{kind}" d="{"".join(marks)}"/>'

    def _line(self, kind: str, prices: Sequence[float | None]) -> str:
        points = [
            f"{x:.1f} {self.scale.y(price):.1f}"
            for x, price in zip(self.xs, prices, strict=True)
            if price is not None
        ]
        return f'<path class="{kind}" d="M{"L".join(points)}"/>' if points else ""

    def _levels(self) -> Iterator[str]:
        x, size = self.xs[-1], self.size
        ys = [self.scale.y(price) for _, price, _ in reversed(self.labels)]
        places = spread(ys, size + 3.0, self.top + size / 2, self.bottom - size / 2)
        for (kind, _, text), y, place in zip(reversed(self.labels), ys, places, strict=True):
            start = x if kind == "close" else self.left
            yield (
                f'<line class="level {kind}" x1="{start:.1f}" x2="{self.right:.1f}" '
                f'y1="{y:.1f}" y2="{y:.1f}"/>'
            )
            yield (
                f'<path class="leader {kind}" d="M{self.right:.1f} {y:.1f}'
                f'L{self.right + 10:.1f} {place:.1f}h4"/>'
            )
            yield _text(self.right + 17, place + 4, text, f"{kind}")
        last = self.scale.y(self.history.close[-1])
        yield f'<circle class="dot" cx="{x:.1f}" cy="{last:.1f}" r="2.6"/>'


def _text(x: float, y: float, text: str, kind: str = "", *, anchor: str = "start") -> str:
    css = f' class="{kind}"' if kind else ""
    where = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text{css} x="{x:.1f}" y="{y:.1f}"{where}>{_xml(text)}</text>'
