"""A table of a report: built once, and shown in a terminal, in Markdown and on a page."""

import re
from collections.abc import Sequence
from typing import Literal

import msgspec
from rich.table import Table as TerminalTable
from rich.text import Text

OUTSIDE = "outside of agents"
"""What a table calls the LLM calls that no agent or node made."""

_MARKUP = re.compile(r"([\\`*_\[\]<>|~#])")


class Table(msgspec.Struct, frozen=True):
    """A head, and rows of the same number of cells; the first cell of a row is its name.

    `texts` are the titles of columns that hold text, which begins at the left; others hold numbers.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    texts: Sequence[str] = ()

    def in_terminal(self, *, wrap: bool = True) -> TerminalTable:
        """The table as rich draws it; without `wrap` only the first column has more lines."""
        name, *others = self.head
        table = terminal_table(name)
        for title in others:
            side: Literal["left", "right"] = "left" if title in self.texts else "right"
            table.add_column(title, justify=side, overflow="fold", no_wrap=not wrap)
        for row in self.rows:
            table.add_row(*map(Text, row))
        return table

    def in_markdown(self) -> list[str]:
        """The lines of a Markdown table that shows every cell as it is."""
        rules = ["---" if title in self.texts else "---:" for title in self.head[1:]]
        rule = "|---|" + "".join(f"{each}|" for each in rules)
        return [_line(self.head), rule, *(_line([*map(plain, row)]) for row in self.rows)]


def terminal_table(name: str) -> TerminalTable:
    """An empty table with the look of all tables in a terminal, and its first column."""
    table = TerminalTable(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column(name, overflow="fold")
    return table


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def plain(text: str) -> str:
    """Text of a trace as Markdown that shows it as it is: names may hold anything."""
    line = " ".join(text.split())
    # An underscore inside a word is no markup, and most names have some.
    escaped = _MARKUP.sub(r"\\\1", line).replace("&", "&amp;")
    return re.sub(r"(?<=\w)\\_(?=\w)", "_", escaped)
