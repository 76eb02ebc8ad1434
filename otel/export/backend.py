"""A backend that spans are sent to: one that is missing costs nothing, and loses nothing.

The SDK's exporter retries for its whole timeout and logs a traceback a batch. Here a missing
backend is noticed by a connection attempt of at most half a second, on the queue's thread; then
nothing is tried for half a minute, and what it did not take goes to the spool.
"""

import logging
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from otel.export.redacted_spans import RedactedSpans
from otel.export.span_queue import BATCH, SpanQueue
from otel.export.spool import Spool
from otel.redaction import Redactor

_LOG = logging.getLogger(__name__)

TIMEOUT_S = 2.0
"""How long a batch may take; the SDK's 10 s are too long for an exit."""

_CONNECT_S = 0.5
_PAUSE_S = 30.0
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
        self._paused_until = 0.0
        self._reached = False

    def send(self, spans: Sequence[ReadableSpan]) -> bool:
        """Send a batch; false where the backend did not take it, or is known to be down."""
        if time.monotonic() < self._paused_until:
            return False
        if not self._reached:
            self._reached = self.listens()
        if self._reached and self._exporter.export(spans) is SpanExportResult.SUCCESS:
            return True
        self._reached = False
        self._paused_until = time.monotonic() + _PAUSE_S
        return False

    def close(self) -> None:
        """Close the connection and interrupt a retry that is under way."""
        self._exporter.shutdown()

    def listens(self) -> bool:
        """Whether somebody accepts a connection there; takes half a second at most."""
        # gRPC's endpoints may come without a scheme.
        known = self.endpoint if "://" in self.endpoint else f"//{self.endpoint}"
        try:
            target = urlsplit(known)
            port = target.port or (443 if target.scheme == "https" else 80)
            socket.create_connection((target.hostname or "", port), timeout=_CONNECT_S).close()
        except (OSError, ValueError):
            return False
        return True


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
