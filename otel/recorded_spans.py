"""Records the spans that the SDK ends, for the fixture `recorded_spans` of the pytest plugin.

The witness is installed meanwhile: without it the times of the spans would prove nothing.
"""

import re
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, Span, TracerProvider

from trading_graph.otel import witness
from trading_graph.otel.files.span_lines import to_line
from trading_graph.otel.sources.in_memory import from_spans
from trading_graph.otel.trace import SpanTable, Trace
from trading_graph.otel.trace.joining import join, linked_groups

_SHOWN = 8
"""The most traces that a message names."""


class RecordedSpans:
    """The spans that ended since the test began, on any thread."""

    def __init__(self) -> None:
        self._ended: list[ReadableSpan] = []

    def keep(self, span: ReadableSpan) -> None:
        """Add a span that has ended."""
        self._ended.append(span)

    def clear(self) -> None:
        """Forget the spans that were recorded so far."""
        self._ended.clear()

    @property
    def ended(self) -> tuple[ReadableSpan, ...]:
        """The spans in the order in which they ended."""
        return tuple(self._ended)

    @property
    def traces(self) -> list[Trace]:
        """The traces to which the spans belong."""
        return [Trace(table) for table in from_spans(self._ended)]

    @property
    def trace(self) -> Trace:
        """The trace of the test; fails the test if there is none, or if there are several.

        Traces that links connect are one: what a link caused hangs below the span that caused it.
        """
        __tracebackhide__ = True
        groups = linked_groups(from_spans(self._ended))
        if not groups:
            pytest.fail(NO_TRACE, pytrace=False)
        if len(groups) > 1:
            pytest.fail(_several(groups), pytrace=False)
        return Trace(join(groups[0]))


NO_TRACE = (
    "No trace was recorded: no span of the global tracer provider ended during the test.\n"
    "do: Let the test run something that makes spans, and read recorded_spans.trace after the "
    "outermost span has ended."
)


def _several(groups: Sequence[Sequence[SpanTable]]) -> str:
    """What was recorded instead of one trace, and what to do."""
    lines = [f"{len(groups)} traces were recorded, not one, and no link connects them:"]
    for first, *others in groups[:_SHOWN]:
        count = sum(map(len, (first, *others)))
        linked = f", with {len(others)} more linked to it" if others else ""
        lines.append(
            f"  {first.names[0]}: {count} span{'' if count == 1 else 's'}, "
            f"trace {first.trace_id}{linked}"
        )
    if len(groups) > _SHOWN:
        lines.append(f"  and {len(groups) - _SHOWN} more")
    lines.append(
        "do: Open one span around what the test runs, or choose among recorded_spans.traces."
    )
    return "\n".join(lines)


class _Relay:
    """A span processor that passes the spans that end to all recording tests.

    There is one for each provider, because the SDK has no public way to remove a processor.
    """

    def __init__(self) -> None:
        self.listeners: set[RecordedSpans] = set()

    def on_start(self, span: Span, parent_context: object = None) -> None:
        """Do nothing: a span is recorded when it ends."""

    def _on_ending(self, span: Span) -> None:
        """Do nothing."""

    def on_end(self, span: ReadableSpan) -> None:
        """Pass the span on."""
        for listener in tuple(self.listeners):
            listener.keep(span)

    def shutdown(self) -> None:
        """Do nothing: the provider belongs to the program."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Return at once: no span is buffered."""
        return True


_RELAYS: weakref.WeakKeyDictionary[TracerProvider, _Relay] = weakref.WeakKeyDictionary()


@contextmanager
def record_spans() -> Iterator[RecordedSpans]:
    """Record the spans that the global tracer provider ends; without a provider, install one.

    What the witness sees is on these spans; it is removed again unless the program installed it.
    """
    provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        trace.set_tracer_provider(TracerProvider())
        provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        pytest.fail(f"the tracer provider is a {type(provider).__name__}, which records no spans")
    relay = _RELAYS.get(provider)
    if relay is None:
        relay = _RELAYS[provider] = _Relay()
        provider.add_span_processor(relay)  # type: ignore[arg-type]
    spans = RecordedSpans()
    relay.listeners.add(spans)
    try:
        # A server of the tests may run on a loop in a thread of its own.
        with witness.recording(finds_loops=True):
            yield spans
    finally:
        relay.listeners.discard(spans)


def write_spans(folder: Path, node: str, spans: RecordedSpans) -> None:
    """Write the spans of a test as OTLP JSON, to a file in `folder` that is named after it."""
    folder.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"[^\w.-]+", "_", node)[-150:]
    (folder / f"{name}.json").write_bytes(to_line(spans.ended))
