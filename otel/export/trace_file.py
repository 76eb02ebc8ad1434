"""A run's own trace file: OTLP JSON lines, written as spans end.

Every run has one, whatever the backends do, so no span depends on a server being up. A batch is
written at most 200 ms after its first span has ended: a killed process loses at most that.
"""

from pathlib import Path

from opentelemetry.exporter.otlp.json.file.trace_exporter import FileSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor

_DELAY_MS = 200
_BATCH = 512
# The SDK's queue drops its oldest span when full. A run would have to end a million spans within
# one delay to lose one here.
_QUEUE = 2**20


class TraceFile:
    """Writes every ended span of one run to a file; a `SpanListener`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._processor = BatchSpanProcessor(
            FileSpanExporter(path),
            max_queue_size=_QUEUE,
            schedule_delay_millis=_DELAY_MS,
            max_export_batch_size=_BATCH,
        )

    def on_start(self, span: ReadableSpan) -> None:
        """Nothing: only ended spans are written."""

    def on_end(self, span: ReadableSpan) -> None:
        """Queue the span for the writing thread."""
        self._processor.on_end(span)

    def close(self) -> None:
        """Write what is queued and close the file; blocks, so call it off the event loop."""
        self._processor.shutdown()
