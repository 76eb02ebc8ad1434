"""Text that strangers wrote, made fit to stand in an answer: short, on one line, without tricks.

Cleaning does not make it trustworthy. It is shown to a model between tags, as material.
"""

import unicodedata
from html import unescape

MAX_TITLE = 200
MAX_POST = 280

# Read no more than this of a text, whatever its cut: cleaning costs time by its length.
_READ = 4000


def clean(text: str, longest: int = MAX_TITLE) -> str:
    """The text on one line, cut, without control, invisible or direction-changing characters."""
    seen = unescape(text[:_READ])
    kept = "".join(
        " " if char.isspace() else char
        for char in seen
        if char.isspace() or not unicodedata.category(char).startswith("C")
    )
    line = " ".join(kept.split())
    return line if len(line) <= longest else f"{line[: longest - 3].rstrip()}..."
