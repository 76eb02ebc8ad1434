"""A small waterfall of a trace for the terminal: one bar an agent, painted with what it was
doing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

from trading_graph.otel.trace import ERROR, Trace

_BAR = "━"
_MARK = "╸"
_STYLES = (("chat ", "cyan"), ("execute_tool ", "yellow"))
_NAME_WIDTH = 30
_REST_WIDTH = 10


def waterfall(trace: Trace, root: int, *, width: int) -> Table:
    """The root and its children on one time axis; `width` is the terminal's, in characters.

    LLM calls are cyan, tool calls yellow, everything else dim, what failed is red.
    """
    return bars(trace, (root, *trace.children(root)), width=width)


def bars(trace: Trace, rows: Sequence[int], *, width: int) -> Table:
    """The given spans on the time axis that they share."""
    table = Table.grid(padding=(0, 1))
    if not rows:
        return table
    axis = _Axis(
        min(int(trace.start[row]) for row in rows),
        max(int(trace.end[row]) for row in rows),
        max(width - _NAME_WIDTH - _REST_WIDTH, 10),
    )
    for row in rows:
        name = trace.names[row].removeprefix("invoke_agent ")
        table.add_row(
            Text(name[:_NAME_WIDTH], no_wrap=True),
            _bar(trace, row, axis),
            Text(f"{int(trace.duration[row]) / 1e9:.2f} s", justify="right", no_wrap=True),
        )
    return table


@dataclass(frozen=True, slots=True)
class _Axis:
    start_ns: int
    end_ns: int
    width: int

    def cells(self, trace: Trace, row: int) -> tuple[int, int]:
        """The first cell and the cell after the last one that a span covers; at least one."""
        whole = max(self.end_ns - self.start_ns, 1)
        first = (int(trace.start[row]) - self.start_ns) * self.width // whole
        last = -(-(int(trace.end[row]) - self.start_ns) * self.width // whole)
        first = min(max(first, 0), self.width - 1)
        return first, min(max(last, first + 1), self.width)


def _style(name: str) -> str:
    return next((style for prefix, style in _STYLES if name.startswith(prefix)), "")


def _bar(trace: Trace, row: int, axis: _Axis) -> Text:
    failed = trace.status[row] == ERROR
    first, last = axis.cells(trace, row)
    styles = ["red" if failed else _style(trace.names[row]) or "dim"] * (last - first)
    if not failed:
        for child in trace.children(row):
            style = _style(trace.names[child])
            begin, end = axis.cells(trace, child)
            for cell in range(max(begin, first), min(end, last) if style else begin):
                styles[cell - first] = "red" if trace.status[child] == ERROR else style
    bar = Text(" " * first, no_wrap=True)
    for style in styles:
        bar.append(_BAR if last - first > 1 else _MARK, style)
    return bar
