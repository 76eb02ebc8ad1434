"""Splits a text into JSON documents: one, one on each line, or one after the other."""

import re
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import TypeVar

import msgspec

from trading_graph.otel.errors import TraceError
from trading_graph.otel.otlp_json import DECODE_ERRORS

_Document = TypeVar("_Document")
_Decode = Callable[[bytes], list[_Document]]

_MALFORMED = re.compile(r"JSON is malformed: (.+) \(byte (\d+)\)")
_STARTS = (b"{", b"[")
_ENDS = (b"}", b"]", b"},", b"],")


def documents(
    text: bytes, origin: str, name: str, decode: _Decode[_Document], *, loose: bool = False
) -> Iterator[_Document | str]:
    """Decode the documents of a text; of several lines, only one is in memory at a time.

    `decode` gives the documents of one JSON value, and `name` says what they should be. With
    `loose`, lines between the documents do not matter, as in what a program printed. A string in
    place of a document is a fault that leaves the rest usable. Raises TraceError.
    """
    try:
        whole = decode(text)
    except DECODE_ERRORS as error:
        # The traceback holds this frame, which holds the text and the error: a cycle that would
        # keep the text in memory.
        fault = error.with_traceback(None)
    else:
        yield from whole
        return
    if isinstance(fault, msgspec.ValidationError):
        raise TraceError(refusal(origin, name, fault)) from None
    parts = _parts(text, loose=loose)
    for number, part in enumerate(parts, start=1):
        try:
            found = decode(part)
        except DECODE_ERRORS as error:
            if loose and not isinstance(error, msgspec.ValidationError) and not is_cut_off(error):
                continue  # a line that begins like JSON, such as "[INFO] started"
            if number == 1:
                # The text does not consist of lines: the fault of the whole says more.
                raise TraceError(refusal(origin, name, fault, text)) from None
            if is_cut_off(error) and next(parts, None) is None:
                yield f"The last line of {origin} is cut off."
                return
            place = f"{origin}, line {number},"
            raise TraceError(refusal(place, name, error)) from None
        yield from found


def _parts(text: bytes, *, loose: bool) -> Iterator[bytes]:
    """The lines with something on them, or the documents that span several lines."""
    lines = (line for line in BytesIO(text) if not line.isspace())
    pending = list[bytes]()
    for line in lines:
        bare = line.strip()
        if pending:
            pending.append(line)
            if bare in _ENDS and not line[:1].isspace():
                yield b"".join(pending).rstrip().rstrip(b",")
                pending.clear()
        elif bare in _STARTS:
            pending.append(line)
        elif not loose or line.lstrip()[:1] in _STARTS:
            yield line
    if pending:
        yield b"".join(pending)


def refusal(origin: str, name: str, error: Exception, text: bytes | None = None) -> str:
    """Why something is no trace, in a sentence of ours; it names the line of the text, if given.

    Of what the parser says only the reason helps: what it wanted where the JSON is malformed.
    """
    if isinstance(error, RecursionError):
        return f"{origin} is no trace: it is nested too deeply."
    if is_cut_off(error):
        return f"{origin} is cut off: the JSON ends in the middle."
    if isinstance(error, msgspec.ValidationError):
        _, _, place = str(error).partition(" - at ")
        at = place.strip("`").removeprefix("$").removeprefix(".") or "its top level"
        return f"{origin} is no trace that can be read as {name}: {at} is not what it should be."
    return f"{origin} is no trace that can be read: {_malformation(error, text)}."


def _malformation(error: Exception, text: bytes | None) -> str:
    match = _MALFORMED.search(str(error))
    if match is None:
        return "the JSON is malformed"
    why, at = match[1], int(match[2])
    if text is None:
        return f"it is not JSON: {why} (byte {at})"
    line, column = text.count(b"\n", 0, at) + 1, at - text.rfind(b"\n", 0, at)
    return f"line {line} is not JSON: {why} (column {column})"


def is_followed(error: Exception) -> bool:
    """Whether a text goes on after a whole JSON value, such as one a line."""
    return isinstance(error, msgspec.DecodeError) and "trailing characters" in str(error)


def is_cut_off(error: Exception) -> bool:
    """Whether a text ends before its JSON does."""
    return isinstance(error, msgspec.DecodeError) and "truncated" in str(error)
