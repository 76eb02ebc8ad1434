"""Reads traces from JSON, in a file or in an answer: one document, a list, or one on each line.

`otlp_json` and `jaeger_json` define the formats; another format is added to `_Document`.
"""

import os
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path

import msgspec

from trading_graph.otel.errors import TraceError
from trading_graph.otel.gc_pause import pause_collection
from trading_graph.otel.otlp_json import (
    DECODE_ERRORS,
    OtlpDocument,
    RawSpan,
    Resources,
    hexadecimal,
    in_camel_case,
)
from trading_graph.otel.sources.jaeger_json import JaegerSpan, JaegerTrace, spans_of
from trading_graph.otel.trace import Attributes, SpanTable, TraceBuilder

MAX_BYTES = 2**30
"""Maximum size of the JSON that is read, in bytes: about two million spans."""

_BOM = b"\xef\xbb\xbf"


class _Document(OtlpDocument, rename="camel"):
    """The top level of a document: an OTLP message, or Jaeger's traces."""

    data: list[JaegerTrace] | None = None
    spans_: list[JaegerSpan] | None = msgspec.field(default=None, name="spans")

    def all_spans(
        self, resources: Resources
    ) -> Iterator[tuple[Sequence[RawSpan | JaegerSpan], Attributes]]:
        yield from self.spans(resources)
        yield from spans_of([*(self.data or ()), JaegerTrace(self.spans_)])

    @property
    def is_empty(self) -> bool:
        return not (self.has_spans or self.spans_ or any(each.spans for each in self.data or ()))


_DECODER = msgspec.json.Decoder(_Document | list[_Document], strict=False)


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
    builders: dict[str, TraceBuilder] = {}
    by_raw_id: dict[str, TraceBuilder] = {}
    flaws: list[str] = []
    names: dict[str, str] = {}
    resources = Resources()
    while contents:
        for document in _documents(*contents.pop(0), flaws):
            for spans, resource in document.all_spans(resources):
                for span in spans:
                    builder = by_raw_id.get(span.trace_id)
                    if builder is None:
                        trace_id = hexadecimal(span.trace_id)
                        builder = builders.setdefault(trace_id, TraceBuilder(trace_id))
                        by_raw_id[span.trace_id] = builder
                    builder.add(span.record(builder.trace_id, names, resource))
    for builder in builders.values():
        for flaw in flaws:
            builder.flaw(flaw)
    return [builder.build() for builder in builders.values()]


def _documents(content: bytes, origin: str, flaws: list[str]) -> Iterator[_Document]:
    """Decode the documents of a text; of several lines, only one document is in memory at a time.

    Faults that leave the text usable are added to `flaws`.
    """
    text = content.removeprefix(_BOM)
    if not text or text.isspace():
        raise TraceError(f"{origin} is empty.")
    try:
        documents = _decode(text)
    except DECODE_ERRORS as error:
        # The traceback holds this frame, which holds the text and the error: a cycle that would
        # keep the text in memory.
        whole = error.with_traceback(None)
    else:
        yield from documents
        return
    lines = (line for line in BytesIO(text) if not line.isspace())
    for number, line in enumerate(lines, start=1):
        try:
            documents = _decode(line)
        except DECODE_ERRORS as error:
            if number == 1:
                # The text does not consist of lines: the fault of the whole says more.
                raise TraceError(_refusal(origin, whole)) from whole
            if "truncated" in str(error) and next(lines, None) is None:
                flaws.append(f"The last line of {origin} is cut off.")
                return
            raise TraceError(_refusal(f"{origin}, line {number},", error)) from error
        yield from documents


def _decode(text: bytes) -> list[_Document]:
    """Decode a text that is one document, or a list of them."""
    value = _DECODER.decode(text)
    documents = value if isinstance(value, list) else [value]
    if any(document.is_empty for document in documents):
        # Only then: the search for other spellings takes half as long as decoding.
        camel = in_camel_case(text)
        return documents if camel is text else _decode(camel)
    return documents


def _refusal(origin: str, error: Exception) -> str:
    if isinstance(error, RecursionError):
        return f"{origin} is no trace: it is nested too deeply."
    if "truncated" in str(error):
        return f"{origin} is cut off: the JSON ends in the middle."
    return f"{origin} is no trace that can be read (OTLP JSON or Jaeger's): {error}."
