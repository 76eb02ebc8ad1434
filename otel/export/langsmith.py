"""LangSmith over OTLP: our spans, with LangSmith's key and nothing of what is meant for Jaeger."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

from otel.export.backend import TIMEOUT_S, BackendExporter

_OTLP_VARIABLES = "OTEL_EXPORTER_OTLP_"
_LOCK = threading.Lock()


@dataclass(frozen=True, slots=True)
class LangSmithTarget:
    """Where LangSmith is, and what opens it."""

    url: str
    api_key: str
    project: str

    def __repr__(self) -> str:
        return f"LangSmithTarget({self.url!r}, project={self.project!r})"


def langsmith_exporter(target: LangSmithTarget) -> BackendExporter:
    """An exporter that sends to LangSmith alone what is meant for it alone."""
    endpoint = f"{target.url.rstrip('/')}/otel/v1/traces"
    headers = {"x-api-key": target.api_key, "Langsmith-Project": target.project}
    with _without_otlp_variables():
        exporter = OTLPSpanExporter(endpoint=endpoint, headers=headers, timeout=TIMEOUT_S)
    return BackendExporter("LangSmith", endpoint, exporter)


@contextmanager
def _without_otlp_variables() -> Iterator[None]:
    """Hide Jaeger's headers, certificates and compression: the SDK adds them to those it is given.

    There is no other way to keep them out of an exporter (the SDK merges them when it is made).
    """
    with _LOCK:
        hidden = {name: os.environ.pop(name) for name in list(os.environ) if _is_otlp(name)}
        try:
            yield
        finally:
            os.environ.update(hidden)


def _is_otlp(name: str) -> bool:
    return name.startswith(_OTLP_VARIABLES)
