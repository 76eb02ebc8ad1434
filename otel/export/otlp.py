"""Sending over OTLP: what the standard variables say, and an endpoint that may not be there.

The SDK's exporters retry for their whole timeout and log a traceback for each batch. Here a
connection attempt of at most half a second comes first, on the sending thread, and after a failure
nothing is tried for half a minute.
"""

import os
import socket
import time
from collections.abc import Callable, Sequence
from enum import StrEnum
from importlib.util import find_spec
from threading import Thread
from urllib.parse import urlsplit

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from trading_graph.otel.errors import ExporterSettingsError

HTTP, GRPC = "http/protobuf", "grpc"
_GRPC_EXPORTER = "opentelemetry.exporter.otlp.proto.grpc"
_DEFAULT_BASE = {HTTP: "http://localhost:4318", GRPC: "http://localhost:4317"}

TIMEOUT_S = 2.0
"""How long a batch may take; the SDK's 10 s are too long for an exit."""

_CONNECT_S = 0.5
_PAUSE_S = 30.0


class Signal(StrEnum):
    """What is sent; the value is the last part of its path."""

    TRACES = "traces"
    METRICS = "metrics"
    LOGS = "logs"


def is_enabled(signal: Signal, *, default: bool) -> bool:
    """Return whether the signal is sent at all; raises ExporterSettingsError."""
    name = f"OTEL_{signal.upper()}_EXPORTER"
    value = os.environ.get(name, "").strip().lower()
    if value not in ("", "otlp", "none"):
        raise ExporterSettingsError(f"{name}={value} is not known here; use otlp or none.")
    return value == "otlp" if value else default


def protocol(signal: Signal) -> str:
    """Return the protocol for the signal, HTTP or GRPC; raises ExporterSettingsError."""
    for name in _variables(signal, "PROTOCOL"):
        value = os.environ.get(name, "").strip().lower()
        if value and value not in _DEFAULT_BASE:
            raise ExporterSettingsError(
                f"{name}={value} is not known here; use {' or '.join(_DEFAULT_BASE)}."
            )
        if value == GRPC and find_spec(_GRPC_EXPORTER) is None:
            raise ExporterSettingsError(
                f"{name}={value} needs the extra [grpc]: pip install 'trading-graph[grpc]'"
            )
        if value:
            return value
    return HTTP


def endpoint(signal: Signal, protocol: str) -> str:
    """Return the URL that the signal is sent to."""
    exact, common = (os.environ.get(name, "") for name in _variables(signal, "ENDPOINT"))
    base = common or _DEFAULT_BASE[protocol]
    return exact or (f"{base.rstrip('/')}/v1/{signal}" if protocol == HTTP else base)


def timeout_s(signal: Signal, default: float) -> float | None:
    """Return the time for a batch in seconds; None where the SDK reads it from its variables."""
    names = _variables(signal, "TIMEOUT")
    return None if any(os.environ.get(name) for name in names) else default


def _variables(signal: Signal, suffix: str) -> tuple[str, str]:
    """Name the variable for one signal and the common one."""
    return f"OTEL_EXPORTER_OTLP_{signal.upper()}_{suffix}", f"OTEL_EXPORTER_OTLP_{suffix}"


class Endpoint:
    """An address that takes batches; while nobody answers there, it is left alone."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.answered = False
        """Whether anybody has answered there so far."""
        self._paused_until = 0.0
        self._reachable = False

    def send(self, export: Callable[[], bool]) -> bool:
        """Export a batch; false where that fails, or where the endpoint is known to be down."""
        if time.monotonic() < self._paused_until:
            return False
        if not self._reachable:
            self._reachable = self.listens()
            self.answered = self.answered or self._reachable
        if self._reachable and export():
            return True
        self._reachable = False
        self._paused_until = time.monotonic() + _PAUSE_S
        return False

    def listens(self) -> bool:
        """Return whether somebody accepts a connection; takes half a second at most."""
        # gRPC endpoints may have no scheme.
        url = self.url if "://" in self.url else f"//{self.url}"
        try:
            target = urlsplit(url)
            port = target.port or (443 if target.scheme == "https" else 80)
            socket.create_connection((target.hostname or "", port), timeout=_CONNECT_S).close()
        except (OSError, ValueError):
            return False
        return True


class Exporter:
    """An SDK exporter that gives up on a missing backend at once, and then for a while."""

    def __init__(self, backend: str, endpoint: str, exporter: SpanExporter) -> None:
        self.backend = backend
        self.endpoint = endpoint
        self._exporter = exporter
        self._endpoint = Endpoint(endpoint)

    def send(self, spans: Sequence[ReadableSpan]) -> bool:
        """Send a batch; false where the backend did not take it, or is known to be down."""
        return self._endpoint.send(lambda: self._exporter.export(spans) is SpanExportResult.SUCCESS)

    @property
    def answered(self) -> bool:
        """Whether anybody has answered at the endpoint so far."""
        return self._endpoint.answered

    def close(self) -> None:
        """Close the connection and interrupt a retry in progress."""
        self._exporter.shutdown()

    def listens(self) -> bool:
        """Return whether somebody accepts a connection; takes half a second at most."""
        return self._endpoint.listens()


def finish_within(timeout_s: float, task: Callable[[], object]) -> bool:
    """Run a call that may hang; false when it takes longer than the timeout. Blocks.

    The SDK's own timeouts do not hold (opentelemetry-python issue 4568).
    """
    thread = Thread(target=task, name="telemetry", daemon=True)
    thread.start()
    thread.join(max(0.0, timeout_s))
    return not thread.is_alive()
