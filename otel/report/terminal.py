"""What reports draw in a terminal: waterfalls, and nothing that would drive it."""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import msgspec
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from trading_graph.otel.trace import Span
from trading_graph.otel.visible import visible, visible_line

_Report = TypeVar("_Report")
_Draw = Callable[[_Report, Console, ConsoleOptions], RenderResult]


def safe_drawing(draw: "_Draw[_Report]") -> "_Draw[_Report]":
    """Decorate `__rich_console__`, so that what traces say is shown and never obeyed."""

    @functools.wraps(draw)
    def drawn(self: _Report, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        for part in draw(self, console, options):
            segments = [part] if isinstance(part, Segment) else console.render(part, options)
            for text, style, control in segments:
                yield Segment(text if control else visible(text), style, control)

    return drawn


_BAR = "━"
_MARK = "╸"
_STYLES = (("chat ", "cyan"), ("execute_tool ", "yellow"))
_NAME_WIDTH = 30
_REST_WIDTH = 10


def waterfall(root: Span, *, width: int) -> Table:
    """The root and its children on one time axis; `width` is the terminal's, in characters.

    LLM calls are cyan, tool calls yellow, everything else dim, what failed is red.
    """
    return bars((root, *root.children), width=width)


def _short_name(span: Span) -> str:
    return f"{span.name.removeprefix('invoke_agent ')} {span.item}".rstrip()


def bars(spans: Sequence[Span], *, width: int, name: Callable[[Span], str] = _short_name) -> Table:
    """The given spans on the time axis that they share, each with what `name` calls it."""
    table = Table.grid(padding=(0, 1))
    if not spans:
        return table
    axis = _Axis(
        min(span.start_ns for span in spans),
        max(span.end_ns for span in spans),
        max(width - _NAME_WIDTH - _REST_WIDTH, 10),
    )
    for span in spans:
        table.add_row(
            Text(visible_line(name(span))[:_NAME_WIDTH], no_wrap=True),
            _bar(span, axis),
            Text(f"{span.duration_s:.2f} s", justify="right", no_wrap=True),
        )
    return table


class _Axis(msgspec.Struct, frozen=True):
    start_ns: int
    end_ns: int
    width: int

    def cells(self, span: Span) -> tuple[int, int]:
        """The first cell and the cell after the last one that a span covers; at least one."""
        whole = max(self.end_ns - self.start_ns, 1)
        first = (span.start_ns - self.start_ns) * self.width // whole
        last = -(-(span.end_ns - self.start_ns) * self.width // whole)
        first = min(max(first, 0), self.width - 1)
        return first, min(max(last, first + 1), self.width)


def _style(name: str) -> str:
    return next((style for prefix, style in _STYLES if name.startswith(prefix)), "")


def _bar(span: Span, axis: _Axis) -> Text:
    first, last = axis.cells(span)
    styles = ["red" if span.failed else _style(span.name) or "dim"] * (last - first)
    if not span.failed:
        for child in span.children:
            style = _style(child.name)
            begin, end = axis.cells(child)
            for cell in range(max(begin, first), min(end, last) if style else begin):
                styles[cell - first] = "red" if child.failed else style
    bar = Text(" " * first, no_wrap=True)
    for style in styles:
        bar.append(_BAR if last - first > 1 else _MARK, style)
    return bar
