"""A backend that spans are sent to: one that is missing costs nothing, and loses nothing.

The SDK's exporter retries for its whole timeout and logs a traceback a batch. Here a missing
backend is noticed by a connection attempt of at most half a second, on the queue's thread; then
nothing is tried for half a minute, and what it did not take goes to the spool.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from trading_graph.otel.export.gate import Gate
from trading_graph.otel.export.redacted_spans import RedactedSpans
from trading_graph.otel.export.span_queue import BATCH, SpanQueue
from trading_graph.otel.export.spool import Spool
from trading_graph.otel.redaction import Redactor

_LOG = logging.getLogger(__name__)

_EXIT_SHARE = 0.75
"""Of the time to exit, what is left to the backend; the rest is for writing to the spool."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of the spans for one backend: taken by it, kept in the spool, or lost."""

    backend: str
    endpoint: str
    delivered: int
    spooled: int
    lost: int


class Exporter:
    """An exporter of the SDK that gives up on a missing backend at once, and then for a while."""

    def __init__(self, backend: str, endpoint: str, exporter: SpanExporter) -> None:
        self.backend = backend
        self.endpoint = endpoint
        self._exporter = exporter
        self._gate = Gate(endpoint)

    def send(self, spans: Sequence[ReadableSpan]) -> bool:
        """Send a batch; false where the backend did not take it, or is known to be down."""
        return self._gate.send(lambda: self._exporter.export(spans) is SpanExportResult.SUCCESS)

    def close(self) -> None:
        """Close the connection and interrupt a retry that is under way."""
        self._exporter.shutdown()

    def listens(self) -> bool:
        """Whether somebody accepts a connection there; takes half a second at most."""
        return self._gate.listens()


class Backend:
    """Everything between a span's end and one backend: redaction, queue, exporter, spool."""

    def __init__(
        self,
        exporter: Exporter,
        redactor: Redactor,
        spool: Spool | None,
        *,
        size: int,
        delay_s: float,
        batch: int = BATCH,
    ) -> None:
        self._exporter = exporter
        self._redactor = redactor
        self._redacted = RedactedSpans(redactor)
        self._spool = spool
        self._delivered = self._spooled = self._lost = 0
        self._closed = self._warned = False
        self.queue = SpanQueue(
            exporter.backend, self._send, size=size, delay_s=delay_s, batch=batch
        )

    @property
    def delivery(self) -> Delivery:
        """What became of the spans so far."""
        lost = self._lost + self.queue.dropped
        exporter = self._exporter
        endpoint = self._redactor.text(exporter.endpoint)
        return Delivery(exporter.backend, endpoint, self._delivered, self._spooled, lost)

    def close(self, timeout_s: float) -> bool:
        """Send what is queued, spool what is not sent in time, and stop; false if it was late."""
        left = self.queue.close(timeout_s * _EXIT_SHARE)
        self._closed = True
        if left:
            self._keep(RedactedSpans(self._redactor).of(left))
        self._exporter.close()
        return not left

    def _send(self, spans: Sequence[ReadableSpan]) -> None:
        spans = self._redacted.of(spans)
        taken = self._exporter.send(spans)
        if self._closed:
            return  # too late: they are in the spool by now, and counted
        if taken:
            self._delivered += len(spans)
        else:
            self._keep(spans)

    def _keep(self, spans: Sequence[ReadableSpan]) -> None:
        where = f"{self._exporter.backend} at {self._exporter.endpoint}"
        try:
            if self._spool is None:
                self._lost += len(spans)
                return self._warn(f"{where} does not take spans, and there is no spool.")
            self._spool.put(spans)
            self._spooled += len(spans)
            self._warn(f"{where} does not take spans; they wait in {self._spool.folder}.")
        except OSError as error:
            self._lost += len(spans)
            self._warn(
                f"{where} does not take spans, and they cannot be kept in "
                f"{self._spool.folder if self._spool else '-'}: {error.strerror or error}."
            )

    def _warn(self, sentence: str) -> None:
        """Log it, once."""
        if not self._warned:
            self._warned = True
            _LOG.warning(self._redactor.text(sentence))
