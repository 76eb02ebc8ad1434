"""A stand-in for the core of the witness: it passes on the spans that end, and no more.

`install` is replaced by the core's own, which has the same signature.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.sdk.trace import ReadableSpan


def install(on_end: Callable[[ReadableSpan], None] | None = None) -> None:
    """Call `on_end` with every span that ends, whichever provider made it."""
    # Not above: a program without the SDK must not load it.
    from opentelemetry.sdk.trace import Span

    original = Span._readable_span
    if on_end is None or original.__name__ == "readable":
        return

    def readable(span: Span) -> ReadableSpan:
        ended = original(span)
        if span.end_time is not None:
            on_end(ended)
        return ended

    Span._readable_span = readable  # type: ignore[assignment, method-assign]
