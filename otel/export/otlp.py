"""What the standard variables say about sending one signal over OTLP."""

import os
from enum import StrEnum
from importlib.util import find_spec

from trading_graph.otel.errors import BadExporterSettings

HTTP, GRPC = "http/protobuf", "grpc"
_GRPC_EXPORTER = "opentelemetry.exporter.otlp.proto.grpc"
_DEFAULT_BASE = {HTTP: "http://localhost:4318", GRPC: "http://localhost:4317"}


class Signal(StrEnum):
    """What is sent; the value is the last part of its path."""

    TRACES = "traces"
    METRICS = "metrics"
    LOGS = "logs"


def is_wanted(signal: Signal, *, default: bool) -> bool:
    """Whether the signal is sent at all; raises BadExporterSettings."""
    name = f"OTEL_{signal.upper()}_EXPORTER"
    asked = os.environ.get(name, "").strip().lower()
    if asked not in ("", "otlp", "none"):
        raise BadExporterSettings(f"{name}={asked} is not known here; use otlp or none.")
    return asked == "otlp" if asked else default


def protocol(signal: Signal) -> str:
    """How the signal is sent; raises BadExporterSettings."""
    for name in _names(signal, "PROTOCOL"):
        asked = os.environ.get(name, "").strip().lower()
        if asked and asked not in _DEFAULT_BASE:
            raise BadExporterSettings(
                f"{name}={asked} is not known here; use {' or '.join(_DEFAULT_BASE)}."
            )
        if asked == GRPC and find_spec(_GRPC_EXPORTER) is None:
            raise BadExporterSettings(
                f"{name}={asked} needs the extra [grpc]: pip install 'trading-graph[grpc]'"
            )
        if asked:
            return asked
    return HTTP


def endpoint(signal: Signal, protocol: str) -> str:
    """The URL that the signal is sent to."""
    exact, common = (os.environ.get(name, "") for name in _names(signal, "ENDPOINT"))
    base = common or _DEFAULT_BASE[protocol]
    return exact or (f"{base.rstrip('/')}/v1/{signal}" if protocol == HTTP else base)


def timeout_s(signal: Signal, otherwise: float) -> float | None:
    """The time for a batch; None where the SDK finds it in its own variables."""
    return None if any(os.environ.get(name) for name in _names(signal, "TIMEOUT")) else otherwise


def _names(signal: Signal, what: str) -> tuple[str, str]:
    return f"OTEL_EXPORTER_OTLP_{signal.upper()}_{what}", f"OTEL_EXPORTER_OTLP_{what}"
