"""Sending over OTLP: what the standard variables say, and an endpoint that may not be there.

The SDK's exporters retry for their whole timeout and log a traceback for each batch. Here a
connection attempt of at most half a second comes first, on the sending thread, and after a failure
nothing is tried for half a minute.
"""

import logging
import os
import re
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from importlib.util import find_spec
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from trading_graph.otel.errors import ExporterSettingsError
from trading_graph.otel.same_host_session import SameHostSession

_LOG = logging.getLogger(__name__)

JAEGER = "Jaeger"
"""The backend of spans that the standard variables name, which may be another one."""

HTTP, GRPC = "http/protobuf", "grpc"
_GRPC_EXPORTER = "opentelemetry.exporter.otlp.proto.grpc"
_DEFAULT_BASE = {HTTP: "http://localhost:4318", GRPC: "http://localhost:4317"}

TIMEOUT_S = 2.0
"""How long a batch may take; the SDK's 10 s are too long for an exit."""

_CREDENTIALS = re.compile(r"OTEL_PYTHON_EXPORTER_OTLP_HTTP_(\w+_)?CREDENTIAL_PROVIDER")
_CONNECT_S = 0.5
_PAUSE_S = 30.0


class Signal(StrEnum):
    """What is sent; the value is the last part of its path."""

    TRACES = "traces"
    METRICS = "metrics"
    LOGS = "logs"


_OVER_HTTP: Mapping[Signal, Any] = {
    Signal.TRACES: OTLPSpanExporter,
    Signal.METRICS: OTLPMetricExporter,
    Signal.LOGS: OTLPLogExporter,
}


def is_enabled(signal: Signal, *, default: bool) -> bool:
    """Return whether the signal is sent at all; raises ExporterSettingsError."""
    name = f"OTEL_{signal.upper()}_EXPORTER"
    value = os.environ.get(name, "").strip().lower()
    if value not in ("", "otlp", "none"):
        raise ExporterSettingsError(f"{name}={value} is not known here; use otlp or none.")
    return value == "otlp" if value else default


def sdk_exporter(signal: Signal, timeout_s: float = TIMEOUT_S) -> tuple[Any, str]:
    """Make the SDK's exporter that the standard variables describe; returns its URL too.

    A timeout in these variables outranks `timeout_s`. Raises ExporterSettingsError.
    """
    protocol = _protocol(signal)
    exact, common = (os.environ.get(name, "") for name in _variables(signal, "ENDPOINT"))
    base = common or _DEFAULT_BASE[protocol]
    url = exact or (f"{base.rstrip('/')}/v1/{signal}" if protocol == HTTP else base)
    # None: the SDK reads it from its variables.
    is_set = any(os.environ.get(name) for name in _variables(signal, "TIMEOUT"))
    timeout = None if is_set else timeout_s
    if protocol != HTTP:
        return _over_grpc(signal)(endpoint=url, timeout=timeout), url
    # None: a credential provider that the SDK's own variables name brings a session.
    brings_session = any(_CREDENTIALS.fullmatch(name) for name in os.environ)
    session = None if brings_session else SameHostSession()
    return _OVER_HTTP[signal](endpoint=url, timeout=timeout, session=session), url


def _over_grpc(signal: Signal) -> Any:
    # Not above: gRPC's library is large, and few ask for it.
    from opentelemetry.exporter.otlp.proto.grpc import (
        _log_exporter,
        metric_exporter,
        trace_exporter,
    )

    return {
        Signal.TRACES: trace_exporter.OTLPSpanExporter,
        Signal.METRICS: metric_exporter.OTLPMetricExporter,
        Signal.LOGS: _log_exporter.OTLPLogExporter,
    }[signal]


def _protocol(signal: Signal) -> str:
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


def _variables(signal: Signal, suffix: str) -> tuple[str, str]:
    """Name the variable for one signal and the common one."""
    return f"OTEL_EXPORTER_OTLP_{signal.upper()}_{suffix}", f"OTEL_EXPORTER_OTLP_{suffix}"


class Endpoint:
    """An address that takes batches; while nobody answers there, it is left alone.

    `complaint` is logged once, after the address, when a batch is not taken.
    """

    def __init__(self, url: str, complaint: str = "") -> None:
        self.url = url
        self._complaint = complaint
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
        if self._complaint:
            _LOG.warning("%s %s", self.url, self._complaint)
            self._complaint = ""
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


def jaeger_is_enabled() -> bool:
    """Return whether spans are sent there at all: `OTEL_TRACES_EXPORTER=none` says no.

    Raises ExporterSettingsError.
    """
    return is_enabled(Signal.TRACES, default=True)


def jaeger_is_named() -> bool:
    """Return whether a variable says where spans are sent."""
    names = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    return any(os.environ.get(name) for name in names)


def jaeger_exporter(timeout_s: float = TIMEOUT_S) -> Exporter:
    """Make the exporter to Jaeger, or to whatever the standard variables name.

    Raises ExporterSettingsError.
    """
    exporter, url = sdk_exporter(Signal.TRACES, timeout_s)
    return Exporter(JAEGER, url, exporter)


def finish_within(timeout_s: float, task: Callable[[], object]) -> bool:
    """Run a call that may hang; false when it takes longer than the timeout. Blocks.

    The SDK's own timeouts do not hold (opentelemetry-python issue 4568).
    """
    thread = Thread(target=task, name="telemetry", daemon=True)
    thread.start()
    thread.join(max(0.0, timeout_s))
    return not thread.is_alive()
