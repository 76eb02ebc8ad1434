"""An exporter to one backend: one that is missing costs nothing, and what it took is counted.

The SDK's exporter retries for its whole timeout and logs a traceback a batch. Here a missing
backend is noticed by a connection attempt of at most half a second, on the export thread; then
nothing is tried for half a minute, and what was not delivered is counted. The run's trace file has
every span.
"""

import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

TIMEOUT_S = 2.0
"""How long a batch may take; the SDK's 10 s are too long for an exit."""

_CONNECT_S = 0.5
_PAUSE_S = 30.0


@dataclass(frozen=True, slots=True)
class Delivery:
    """How many spans a backend has taken and how many it has not."""

    backend: str
    endpoint: str
    delivered: int
    failed: int


class BackendExporter(SpanExporter):
    """Sends spans to one backend, pauses while it is down, and counts both outcomes."""

    def __init__(self, backend: str, endpoint: str, exporter: SpanExporter) -> None:
        self._backend = backend
        self._endpoint = endpoint
        self._exporter = exporter
        self._delivered = 0
        self._failed = 0
        self._paused_until = 0.0
        self._reached = False

    @property
    def delivery(self) -> Delivery:
        """What became of the spans so far."""
        return Delivery(self._backend, self._endpoint, self._delivered, self._failed)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch, unless the backend is known to be down."""
        if self._try(spans):
            self._delivered += len(spans)
            return SpanExportResult.SUCCESS
        self._failed += len(spans)
        return SpanExportResult.FAILURE

    def _try(self, spans: Sequence[ReadableSpan]) -> bool:
        if time.monotonic() < self._paused_until:
            return False
        if not self._reached:
            self._reached = self._listens()
        if self._reached and self._exporter.export(spans) is SpanExportResult.SUCCESS:
            return True
        self._reached = False
        self._paused_until = time.monotonic() + _PAUSE_S
        return False

    def _listens(self) -> bool:
        # gRPC's endpoints may come without a scheme.
        known = self._endpoint if "://" in self._endpoint else f"//{self._endpoint}"
        target = urlsplit(known)
        port = target.port or (443 if target.scheme == "https" else 80)
        try:
            socket.create_connection((target.hostname or "", port), timeout=_CONNECT_S).close()
        except OSError:
            return False
        return True

    def shutdown(self) -> None:
        """Close the connection and interrupt a retry that is under way."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing is kept here: the batch processor holds the queue."""
        return True
