"""A run's report as HTML: Markdown that models wrote, from which nothing can be clicked or loaded.

Headings are pushed down below those of the page. Links and images stay as they were typed, so that
whoever reads sees where they would lead.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from markdown_it import MarkdownIt

from trading_graph.graph.options import ANALYSTS, DEBATERS, RISK_ANALYSTS
from trading_graph.otel.report.markup import Markup
from trading_graph.service.server.pages.layout import spoken

_MOST = 400_000
_PUSHED = 3
_INERT = ("link", "image", "autolink", "html_inline", "html_block", "reference")
_AGENTS = "|".join(spoken(each).capitalize() for each in (*ANALYSTS, *DEBATERS, *RISK_ANALYSTS))
_PIECE = re.compile(rf"^### ((?:{_AGENTS})(?:, round \d)?)$", re.MULTILINE)
_PART = re.compile(r"^## (?:Debate|Research plan|Trade proposal|Risk team)$", re.MULTILINE)
_LAST = re.compile(r"^Run [0-9a-f-]{32,36}, [\d.]+ s\.\s*\Z", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Piece:
    """What one agent wrote, by the heading that it has in the report."""

    title: str
    text: str


def pieces(report: str) -> Sequence[Piece]:
    """What each agent wrote; a report of another form is one piece."""
    report = report[:_MOST]
    _, *found = _PIECE.split(report)
    if not found:
        return [Piece("Report", report)] if report.strip() else []
    return [
        Piece(title, _LAST.sub("", _PART.split(text)[0]).strip())
        for title, text in zip(found[::2], found[1::2], strict=True)
    ]


def as_html(text: str) -> Markup:
    """Markdown as HTML that is inert."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table").disable(_INERT)
    tokens = parser.parse(text)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1:]) + _PUSHED, 6)}"
    # The renderer escapes text and attributes, and HTML in the source is text to the parser.
    return Markup(parser.renderer.render(tokens, parser.options, {}))
