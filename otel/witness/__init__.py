"""A stand-in for the core of the witness: it writes the spans that end, and records nothing else.

`install` is replaced by the core's own, which has the same signature.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

_INSTALLED: list[object] = []


def install(span_file: Path | None = None) -> None:
    """Write every span that ends to `span_file`, whichever provider made it."""
    # Not above: a program without the SDK must not load it.
    from opentelemetry.sdk.trace import ReadableSpan, Span

    from trading_graph.otel.witness.span_file import SpanFile

    if _INSTALLED or span_file is None:
        return
    original, file = Span._readable_span, SpanFile(span_file)

    def readable(span: Span) -> ReadableSpan:
        ended = original(span)
        if span.end_time is not None:
            file.write(ended)
        return ended

    Span._readable_span = readable  # type: ignore[assignment, method-assign]
    _INSTALLED.append(file)


def is_installed() -> bool:
    """Whether spans are being written."""
    return bool(_INSTALLED)
