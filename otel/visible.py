"""Characters that no output may pass on as they are: a trace can be written by anybody.

Control characters drive a terminal, bidirectional ones turn the order of a line around, and
invisible ones hide text from whoever reads it and not from the program or model that reads it too.
"""

import re

# All controls but tab and line feed, and formats but the two joiners that scripts and emoji need.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\ud800-\udfff\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_UNSAFE_IN_LINE = re.compile(_UNSAFE.pattern.replace("\x08\x0b", "\x08\x09\x0a\x0b"))


def visible(text: str) -> str:
    r"""A text whose unsafe characters are written out, as `\x1b` or `\u202e`."""
    return text if text.isprintable() else _UNSAFE.sub(_written, text)


def visible_line(text: str) -> str:
    """The same on one line: line feeds and tabs are written out too."""
    return text if text.isprintable() else _UNSAFE_IN_LINE.sub(_written, text)


def _written(match: re.Match[str]) -> str:
    code = ord(match[0])
    if match[0] in "\n\t\r":
        return {"\n": "\\n", "\t": "\\t", "\r": "\\r"}[match[0]]
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
