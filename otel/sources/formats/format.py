"""What a format of trace files is: how it is recognised, and how it is read."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from trading_graph.otel.errors import TraceError
from trading_graph.otel.otlp_json import DECODE_ERRORS
from trading_graph.otel.sources.fields import FieldError
from trading_graph.otel.sources.head import Head
from trading_graph.otel.sources.json_documents import documents, refusal
from trading_graph.otel.sources.traces import Traces
from trading_graph.otel.trace import SpanRecord


class Reader(Protocol):
    """Reads the spans of a text into traces; raises TraceError, which names the text's origin."""

    def __call__(self, content: bytes, origin: str, traces: Traces) -> None:
        """Read the whole text."""


@dataclass(frozen=True, slots=True)
class Format:
    """One format of trace files.

    `name` is what errors call it, `kinds` are the files that are written in it, and `sign` is what
    it is recognised by, both as the table in docs/traces.md shows them. A format without a reader
    is refused by its name, with `way_out`, which says what to do instead.
    """

    name: str
    kinds: str
    sign: str
    recognises: Callable[[Head], bool]
    read: Reader | None = None
    way_out: str = ""


Spans = Iterable[tuple[str, SpanRecord]]
"""Spans, each with the id of its trace."""


def json_reader(name: str, spans: Callable[[Any], Spans], *, loose: bool = False) -> Reader:
    """The reader of a format in JSON, from what finds the spans in a decoded document.

    With `loose`, lines between documents do not matter.
    """

    def decode(text: bytes) -> list[Any]:
        value = msgspec.json.decode(text)
        if not isinstance(value, dict | list):
            raise msgspec.ValidationError("neither object nor array")
        return [value]

    def read(content: bytes, origin: str, traces: Traces) -> None:
        for document in documents(content, origin, name, decode, loose=loose):
            if isinstance(document, str):
                traces.flaw(document)
                continue
            try:
                traces.add(spans(document))
            except FieldError as error:
                raise TraceError(
                    f"{origin} is no trace that can be read as {name}: the field {error.field!r} "
                    "of a span is not what it should be."
                ) from None
            except DECODE_ERRORS as error:
                raise TraceError(refusal(origin, name, error)) from None

    return read
