"""What reports draw in a terminal, without characters that would drive it."""

import functools
from collections.abc import Callable, Iterator
from typing import TypeVar

from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment

from trading_graph.otel.visible import visible

_Report = TypeVar("_Report")
_Draw = Callable[[_Report, Console, ConsoleOptions], RenderResult]


def shown(draw: "_Draw[_Report]") -> "_Draw[_Report]":
    """Decorate `__rich_console__`, so that what traces say is shown and never obeyed."""

    @functools.wraps(draw)
    def drawn(self: _Report, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        for part in draw(self, console, options):
            segments = [part] if isinstance(part, Segment) else console.render(part, options)
            for text, style, control in segments:
                yield Segment(text if control else visible(text), style, control)

    return drawn
