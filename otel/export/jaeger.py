"""Jaeger, or whatever the standard OTLP variables name: over HTTP or gRPC."""

import os

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.environment_variables import (
    OTEL_EXPORTER_OTLP_ENDPOINT,
    OTEL_EXPORTER_OTLP_PROTOCOL,
    OTEL_EXPORTER_OTLP_TIMEOUT,
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT,
    OTEL_EXPORTER_OTLP_TRACES_PROTOCOL,
    OTEL_EXPORTER_OTLP_TRACES_TIMEOUT,
)
from opentelemetry.sdk.trace.export import SpanExporter

from otel.errors import BadExporterSettings
from otel.export.backend import TIMEOUT_S, Exporter

_HTTP, _GRPC = "http/protobuf", "grpc"
_DEFAULT_BASE = {_HTTP: "http://localhost:4318", _GRPC: "http://localhost:4317"}


JAEGER = "Jaeger"


def jaeger_is_wanted() -> bool:
    """Whether spans are sent there at all: `OTEL_TRACES_EXPORTER=none` says no."""
    return os.environ.get("OTEL_TRACES_EXPORTER", "").strip().lower() != "none"


def jaeger_exporter(timeout_s: float = TIMEOUT_S) -> Exporter:
    """The exporter that the standard variables describe; raises BadExporterSettings.

    A timeout that these name outranks the one given.
    """
    chosen = _protocol()
    endpoint = _traces_endpoint(chosen)
    return Exporter(JAEGER, endpoint, _sdk_exporter(chosen, endpoint, _timeout_s(timeout_s)))


def _protocol() -> str:
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


def _traces_endpoint(protocol: str) -> str:
    """The URL that spans are sent to, from the standard OTLP variables."""
    exact = os.environ.get(OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, "")
    if exact:
        return exact
    base = os.environ.get(OTEL_EXPORTER_OTLP_ENDPOINT, "") or _DEFAULT_BASE[protocol]
    return f"{base.rstrip('/')}/v1/traces" if protocol == _HTTP else base


def _timeout_s(otherwise: float) -> float | None:
    # None lets the SDK read its own variables.
    configured = (OTEL_EXPORTER_OTLP_TRACES_TIMEOUT, OTEL_EXPORTER_OTLP_TIMEOUT)
    return None if any(os.environ.get(name) for name in configured) else otherwise


def _sdk_exporter(protocol: str, endpoint: str, timeout_s: float | None) -> SpanExporter:
    if protocol == _GRPC:
        # Not above: gRPC's library is large, and few ask for it.
        from opentelemetry.exporter.otlp.proto.grpc import trace_exporter as grpc

        return grpc.OTLPSpanExporter(endpoint=endpoint, timeout=timeout_s)
    return OTLPSpanExporter(endpoint=endpoint, timeout=timeout_s)
