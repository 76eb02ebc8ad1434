"""Jaeger, or whatever the standard OTLP variables name: over HTTP or gRPC."""

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace.export import SpanExporter

from trading_graph.otel.export import otlp
from trading_graph.otel.export.otlp import TIMEOUT_S, Exporter, Signal

JAEGER = "Jaeger"


def jaeger_is_enabled() -> bool:
    """Return whether spans are sent there at all: `OTEL_TRACES_EXPORTER=none` says no.

    Raises ExporterSettingsError.
    """
    return otlp.is_enabled(Signal.TRACES, default=True)


def jaeger_exporter(timeout_s: float = TIMEOUT_S) -> Exporter:
    """Make the exporter that the standard variables describe; raises ExporterSettingsError.

    A timeout in these variables outranks `timeout_s`.
    """
    protocol = otlp.protocol(Signal.TRACES)
    endpoint = otlp.endpoint(Signal.TRACES, protocol)
    timeout = otlp.timeout_s(Signal.TRACES, timeout_s)
    return Exporter(JAEGER, endpoint, _sdk_exporter(protocol, endpoint, timeout))


def _sdk_exporter(protocol: str, endpoint: str, timeout_s: float | None) -> SpanExporter:
    if protocol == otlp.GRPC:
        # Not above: gRPC's library is large, and few ask for it.
        from opentelemetry.exporter.otlp.proto.grpc import trace_exporter as grpc

        return grpc.OTLPSpanExporter(endpoint=endpoint, timeout=timeout_s)
    return OTLPSpanExporter(endpoint=endpoint, timeout=timeout_s)
