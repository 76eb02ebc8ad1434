"""The exporter to Jaeger: OTLP over HTTP or gRPC, and a backend that is missing costs nothing.

The SDK's exporter retries for its whole timeout and logs a traceback a batch. Here a missing
backend is noticed by a connection attempt of at most half a second, on the export thread; then
nothing is tried for half a minute, and what was not delivered is counted. The run's trace file has
every span.
"""

import os
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.environment_variables import (
    OTEL_EXPORTER_OTLP_ENDPOINT,
    OTEL_EXPORTER_OTLP_PROTOCOL,
    OTEL_EXPORTER_OTLP_TIMEOUT,
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT,
    OTEL_EXPORTER_OTLP_TRACES_PROTOCOL,
    OTEL_EXPORTER_OTLP_TRACES_TIMEOUT,
)
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from otel.errors import BadExporterSettings

_CONNECT_S = 0.5
_PAUSE_S = 30.0
_TIMEOUT_S = 2.0
_HTTP, _GRPC = "http/protobuf", "grpc"
_DEFAULT_BASE = {_HTTP: "http://localhost:4318", _GRPC: "http://localhost:4317"}


@dataclass(frozen=True, slots=True)
class Delivery:
    """How many spans a backend has taken and how many it has not."""

    endpoint: str
    delivered: int
    failed: int


def protocol() -> str:
    """How spans are sent, from the standard OTLP variables; raises BadExporterSettings."""
    variables = (OTEL_EXPORTER_OTLP_TRACES_PROTOCOL, OTEL_EXPORTER_OTLP_PROTOCOL)
    for name in variables:
        asked = os.environ.get(name, "").strip().lower()
        if asked and asked not in _DEFAULT_BASE:
            raise BadExporterSettings(
                f"{name}={asked} is not known here; use {' or '.join(_DEFAULT_BASE)}."
            )
        if asked:
            return asked
    return _HTTP


def traces_endpoint(protocol: str) -> str:
    """The URL that spans are sent to, from the standard OTLP variables."""
    exact = os.environ.get(OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, "")
    if exact:
        return exact
    base = os.environ.get(OTEL_EXPORTER_OTLP_ENDPOINT, "") or _DEFAULT_BASE[protocol]
    return f"{base.rstrip('/')}/v1/traces" if protocol == _HTTP else base


def _timeout_s() -> float | None:
    # None lets the SDK read its own variables; without them its 10 s are too long for an exit.
    configured = (OTEL_EXPORTER_OTLP_TRACES_TIMEOUT, OTEL_EXPORTER_OTLP_TIMEOUT)
    return None if any(os.environ.get(name) for name in configured) else _TIMEOUT_S


def _sdk_exporter(protocol: str, endpoint: str) -> SpanExporter:
    if protocol == _GRPC:
        # Not above: gRPC's library is large, and few ask for it.
        from opentelemetry.exporter.otlp.proto.grpc import trace_exporter as grpc

        return grpc.OTLPSpanExporter(endpoint=endpoint, timeout=_timeout_s())
    return OTLPSpanExporter(endpoint=endpoint, timeout=_timeout_s())


class JaegerExporter(SpanExporter):
    """Sends spans to an OTLP endpoint, pauses while it is down, and counts both outcomes."""

    def __init__(self) -> None:
        chosen = protocol()
        self._endpoint = traces_endpoint(chosen)
        self._exporter = _sdk_exporter(chosen, self._endpoint)
        self._delivered = 0
        self._failed = 0
        self._paused_until = 0.0
        self._reached = False

    @property
    def delivery(self) -> Delivery:
        """What became of the spans so far."""
        return Delivery(self._endpoint, self._delivered, self._failed)

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
