"""Reads traces from files and answers in any format that `formats` recognises."""

import os
from pathlib import Path

import msgspec

from trading_graph.otel.errors import TraceError
from trading_graph.otel.gc_pause import pause_collection
from trading_graph.otel.otlp_json import DECODE_ERRORS
from trading_graph.otel.sources.containers import unpack
from trading_graph.otel.sources.formats import recognise
from trading_graph.otel.sources.head import HEAD_BYTES, Head
from trading_graph.otel.sources.json_documents import is_cut_off, is_followed, refusal
from trading_graph.otel.sources.traces import Traces
from trading_graph.otel.trace import SpanTable

MAX_BYTES = 2**30
"""Maximum size of what is read, in bytes, packed or unpacked: about two million spans."""

_DOCS = "docs/traces.md lists the formats that are read"
_SHOWN = 5


def read(*paths: Path) -> list[SpanTable]:
    """Read the traces of one file, or of several files that hold parts of them.

    Raises TraceError, also where the files are larger than `MAX_BYTES` together.
    """
    contents = []
    room = MAX_BYTES
    for path in paths:
        try:
            with path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                content = file.read(room + 1) if size <= room else b""
        except OSError as error:
            raise TraceError(f"The trace file {path} cannot be read: {error.strerror}.") from error
        if size > room or len(content) > room:
            raise TraceError(
                f"The trace file {path} is too large ({size / 2**30:.1f} GiB; at most "
                f"{MAX_BYTES / 2**30:g} GiB is read); split it by trace."
            )
        room -= len(content)
        contents.append((content, str(path)))
    return _parse_all(contents)


def parse(content: bytes, origin: str) -> list[SpanTable]:
    """Parse the traces of a text, in the order in which they first occur; raises TraceError.

    `origin` names the text in errors.
    """
    return _parse_all([(content, origin)])


@pause_collection()
def _parse_all(contents: list[tuple[bytes, str]]) -> list[SpanTable]:
    """Parse the traces of several texts that hold parts of them, each with its origin."""
    traces = Traces()
    while contents:
        _read(*contents.pop(0), traces)
    return traces.build()


def _read(content: bytes, origin: str, traces: Traces) -> None:
    content = unpack(content, origin, MAX_BYTES)
    if not content or content.isspace():
        raise TraceError(f"{origin} is empty.")
    form = recognise(content)
    if form is None:
        if not _is_nothing(content):
            raise TraceError(_unknown(content, origin))
    elif form.read is None:
        raise TraceError(
            f"{origin} is no trace that can be read: it is {form.name}; {form.way_out}."
        )
    else:
        form.read(content, origin, traces)


def _is_nothing(content: bytes) -> bool:
    """Whether a text is an empty object or list: a trace that nobody has."""
    return len(content) < HEAD_BYTES and content.translate(None, b" \t\r\n") in (b"{}", b"[]")


def _is_preceded(head: Head) -> bool:
    """Whether lines such as "[INFO] started" stand before an object."""
    return head.data.lstrip()[:1] == b"[" and isinstance(head.value, dict)


def _unknown(content: bytes, origin: str) -> str:
    """What to say of a text that no format recognises."""
    head = Head(content)
    if not head.is_json:
        return f"{origin} is no trace that can be read: it is no format that is known; {_DOCS}."
    try:
        msgspec.json.decode(content)
    except DECODE_ERRORS as error:
        if is_cut_off(error) or not (is_followed(error) or _is_preceded(head)):
            return refusal(origin, "JSON", error, content)
    names = ", ".join(repr(name[:40]) for name in list(head.first)[:_SHOWN])
    fields = f" with the fields {names}" if names else ""
    return (
        f"{origin} is no trace that can be read: it is JSON{fields}, which is no format that is "
        f"known; {_DOCS}."
    )
