"""Reads the text of traces, in a file or an answer: OTLP JSON or Jaeger's, whole or in lines."""

import os
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import msgspec

from trading_graph.otel.collection import collection_paused
from trading_graph.otel.errors import TraceError
from trading_graph.otel.sources.jaeger_json import JaegerSpan, JaegerTrace, spans_of
from trading_graph.otel.sources.otlp_json import (
    UNREADABLE,
    OtlpDocument,
    WrittenSpan,
    hexadecimal,
    in_camel_case,
)
from trading_graph.otel.trace import SpanTable, TraceBuilder

MAX_BYTES = 2**30
"""The largest text that is read: about two million spans."""

_BOM = b"\xef\xbb\xbf"


class _Document(OtlpDocument, rename="camel"):
    """Whatever may stand at the top: an OTLP message, or Jaeger's traces."""

    data: list[JaegerTrace] | None = None
    spans_: list[JaegerSpan] | None = msgspec.field(default=None, name="spans")

    def all_spans(self) -> Iterator[WrittenSpan | JaegerSpan]:
        yield from self.spans()
        yield from spans_of(self.data or [])
        yield from self.spans_ or ()


_DECODER = msgspec.json.Decoder(_Document | list[_Document], strict=False)


def read(*paths: Path) -> list[SpanTable]:
    """The traces of one file, or of several that hold parts; raises TraceError.

    At most `MAX_BYTES` in all.
    """
    texts = []
    left = MAX_BYTES
    for path in paths:
        try:
            with path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                content = file.read(left + 1) if size <= left else b""
        except OSError as error:
            raise TraceError(f"The trace file {path} cannot be read: {error.strerror}.") from error
        if size > left or len(content) > left:
            raise TraceError(
                f"The trace file {path} is too large ({size / 2**30:.1f} GiB; at most "
                f"{MAX_BYTES / 2**30:g} GiB is read); split it by trace."
            )
        left -= len(content)
        texts.append((content, str(path)))
    return parse_all(texts)


def parse(content: bytes, origin: str) -> list[SpanTable]:
    """The traces of a text, in the order in which they first occur; raises TraceError.

    `origin` names the text in errors.
    """
    return parse_all([(content, origin)])


@collection_paused()
def parse_all(texts: list[tuple[bytes, str]]) -> list[SpanTable]:
    """The traces of several texts that hold parts of them, each with its origin."""
    builders: dict[str, TraceBuilder] = {}
    as_written: dict[str, TraceBuilder] = {}
    flaws: list[str] = []
    names: dict[str, str] = {}
    while texts:
        for document in _documents(*texts.pop(0), flaws):
            for span in document.all_spans():
                builder = as_written.get(span.trace_id)
                if builder is None:
                    trace_id = hexadecimal(span.trace_id)
                    builder = builders.setdefault(trace_id, TraceBuilder(trace_id))
                    as_written[span.trace_id] = builder
                builder.add(span.record(builder.trace_id, names))
    for builder in builders.values():
        for flaw in flaws:
            builder.flaw(flaw)
    return [builder.build() for builder in builders.values()]


def _documents(content: bytes, origin: str, flaws: list[str]) -> Iterator[_Document]:
    """The documents of a text, line by line where it has several: each is gone before the next.

    What is wrong with a text that can be used all the same is added to `flaws`.
    """
    text = content.removeprefix(_BOM)
    if not text or text.isspace():
        raise TraceError(f"{origin} is empty.")
    try:
        documents = _decoded(text)
    except UNREADABLE as error:
        # Its traceback holds this frame, and that the text: a circle that nothing breaks soon.
        whole = error.with_traceback(None)
    else:
        yield from documents
        return
    lines = filter(bytes.strip, BytesIO(text))
    for number, line in enumerate(lines, start=1):
        try:
            documents = _decoded(line)
        except UNREADABLE as error:
            if number == 1:
                # Not lines, then: what is wrong with the whole says more.
                raise TraceError(_refusal(origin, whole)) from whole
            if "truncated" in str(error) and next(lines, None) is None:
                flaws.append(f"The last line of {origin} is cut off.")
                return
            raise TraceError(_refusal(f"{origin}, line {number},", error)) from error
        yield from documents


def _decoded(text: bytes) -> list[_Document]:
    """The documents of a text that is one document, or a list of them."""
    found = _DECODER.decode(text)
    documents = found if isinstance(found, list) else [found]
    if not all(any(True for _ in document.all_spans()) for document in documents):
        # Then only: looking for other names takes half as long as decoding.
        renamed = in_camel_case(text)
        return documents if renamed is text else _decoded(renamed)
    return documents


def _refusal(origin: str, error: Exception) -> str:
    if isinstance(error, RecursionError):
        return f"{origin} is no trace: it is nested too deeply."
    if "truncated" in str(error):
        return f"{origin} is cut off: the JSON ends in the middle."
    return f"{origin} is no trace that can be read (OTLP JSON or Jaeger's): {error}."
