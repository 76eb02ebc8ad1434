"""HTML and SVG in which nothing is ever written unescaped.

Elements are made of texts and other elements; text and the values of attributes are escaped where
they are made, so what a trace says cannot become markup.
"""

from collections.abc import Iterable
from html import escape

_VOID = frozenset({"meta", "link", "input", "rect", "line", "path", "circle"})
_HTML = frozenset({"meta", "link", "input"})


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def element(
    tag: str, /, *inside: "str | Markup | Iterable[Markup]", **attributes: object
) -> Markup:
    """An element; `class_` stands for `class`, `stroke_width` for `stroke-width`.

    An attribute that is None is left out, and one that is True has no value.
    """
    words = [tag]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        written = key.rstrip("_").replace("_", "-")
        words.append(written if value is True else f'{written}="{escape(str(value))}"')
    opening = " ".join(words)
    if tag in _VOID and not inside:
        return Markup(f"<{opening}>" if tag in _HTML else f"<{opening}/>")
    return Markup(f"<{opening}>{''.join(_written(each) for each in inside)}</{tag}>")


def joined(parts: Iterable[Markup]) -> Markup:
    """Parts one after the other."""
    return Markup("".join(parts))


def _written(part: "str | Markup | Iterable[Markup]") -> str:
    if isinstance(part, Markup):
        return part
    return escape(part) if isinstance(part, str) else "".join(part)
