"""A small waterfall of a trace for the terminal: one bar a span, on the run's time axis."""

from collections.abc import Callable

from rich.table import Table
from rich.text import Text

from otel.trace import Trace

_ERROR = 2
_STYLES = {"chat": "cyan", "execute_tool": "yellow", "invoke_agent": "green", "GET": "magenta"}


def waterfall(
    trace: Trace, root: int, *, width: int, shown: Callable[[str], bool] = lambda _: True
) -> Table:
    """The root's subtree as rows of name, bar and duration.

    `width` is that of the bars in characters; `shown` picks spans by name.
    """
    origin, span_of_root = int(trace.start[root]), max(int(trace.duration[root]), 1)
    table = Table.grid(padding=(0, 1))
    for row, depth in _with_depth(trace, root):
        name = trace.names[row]
        if not shown(name):
            continue
        style = "red" if trace.status[row] == _ERROR else _STYLES.get(name.split(" ")[0], "blue")
        first = int((int(trace.start[row]) - origin) * width / span_of_root)
        last = int((int(trace.end[row]) - origin) * width / span_of_root)
        first = min(max(first, 0), width - 1)
        length = max(min(last, width) - first, 1)
        bar = Text(" " * first).append("━" * length, style)
        seconds = int(trace.duration[row]) / 1e9
        table.add_row(
            Text("  " * depth + name, no_wrap=True, overflow="ellipsis"),
            bar,
            Text(f"{seconds:.2f} s", justify="right", no_wrap=True),
        )
    return table


def _with_depth(trace: Trace, root: int) -> list[tuple[int, int]]:
    rows: list[tuple[int, int]] = []
    pending = [(root, 0)]
    while pending:
        row, depth = pending.pop()
        rows.append((row, depth))
        pending.extend((child, depth + 1) for child in reversed(trace.children(row)))
    return rows
