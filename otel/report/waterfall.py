"""A small waterfall of a trace for the terminal: one bar an agent, painted with what it was
doing.
"""

from rich.table import Table
from rich.text import Text

from otel.trace import Trace

_ERROR = 2
_BAR = "━"
_MARK = "╸"
_STYLES = (("chat ", "cyan"), ("execute_tool ", "yellow"))
_NAME_WIDTH = 30
_REST_WIDTH = 10


def waterfall(trace: Trace, root: int, *, width: int) -> Table:
    """The root and its children on one time axis; `width` is the terminal's, in characters.

    LLM calls are cyan, tool calls yellow, everything else dim, what failed is red.
    """
    bars = max(width - _NAME_WIDTH - _REST_WIDTH, 10)
    table = Table.grid(padding=(0, 1))
    for row in (root, *trace.children(root)):
        name = trace.names[row].removeprefix("invoke_agent ")
        table.add_row(
            Text(name[:_NAME_WIDTH], no_wrap=True),
            _bar(trace, root, row, bars),
            Text(f"{int(trace.duration[row]) / 1e9:.2f} s", justify="right", no_wrap=True),
        )
    return table


def _bar(trace: Trace, root: int, row: int, width: int) -> Text:
    failed = trace.status[row] == _ERROR
    first, last = _cells(trace, root, row, width)
    styles = ["red" if failed else "dim"] * (last - first)
    if row != root and not failed:
        for child in trace.children(row):
            style = next((s for prefix, s in _STYLES if trace.names[child].startswith(prefix)), "")
            begin, end = _cells(trace, root, child, width)
            for cell in range(begin, end if style else begin):
                styles[cell - first] = "red" if trace.status[child] == _ERROR else style
    bar = Text(" " * first, no_wrap=True)
    for style in styles:
        bar.append(_BAR if last - first > 1 else _MARK, style)
    return bar


def _cells(trace: Trace, root: int, row: int, width: int) -> tuple[int, int]:
    """The first cell and the cell after the last one that a span covers; at least one."""
    origin, whole = int(trace.start[root]), max(int(trace.duration[root]), 1)
    first = (int(trace.start[row]) - origin) * width // whole
    last = -(-(int(trace.end[row]) - origin) * width // whole)
    first = min(max(first, 0), width - 1)
    return first, min(max(last, first + 1), width)
