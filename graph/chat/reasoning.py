"""Thoughts that a reasoning model writes into its text, between tags, before it answers."""

import re

_NAMES = r"(?:think|thinking|thought|reasoning)\b[^<>]{0,80}>"
_TAG = re.compile(rf"<(/?){_NAMES}", re.IGNORECASE)
_CLOSING_TAG = re.compile(rf"</{_NAMES}", re.IGNORECASE)


def without_thoughts(text: str) -> str:
    """The text without its thoughts; one that never ends takes the rest of the text with it.

    A closing tag without an opening one ends a thought that the service's template began: all that
    stands before it was thought.
    """
    kept: list[str] = []
    place = 0
    while tag := _TAG.search(text, place):
        closing = tag
        if tag[1]:
            kept.clear()
        else:
            kept.append(text[place : tag.start()])
            # A tag inside a thought means nothing.
            end = _CLOSING_TAG.search(text, tag.end())
            if end is None:
                return "".join(kept).strip()
            closing = end
        place = closing.end()
    return "".join([*kept, text[place:]]).strip() if place else text
