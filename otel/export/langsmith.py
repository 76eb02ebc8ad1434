"""LangSmith over OTLP: our spans, with LangSmith's key and nothing of what is meant for Jaeger."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

from otel.export.backend import Exporter
from otel.export.gate import TIMEOUT_S

_OTLP_VARIABLES = "OTEL_EXPORTER_OTLP_"
_LOCK = threading.Lock()


@dataclass(frozen=True, slots=True)
class LangSmithTarget:
    """Where LangSmith is, and what opens it."""

    url: str
    api_key: str = field(repr=False)
    project: str


LANGSMITH = "LangSmith"


def langsmith_exporter(target: LangSmithTarget, timeout_s: float = TIMEOUT_S) -> Exporter:
    """An exporter that sends to LangSmith alone what is meant for it alone."""
    endpoint = f"{target.url.rstrip('/')}/otel/v1/traces"
    headers = {"x-api-key": target.api_key, "Langsmith-Project": target.project}
    with _without_otlp_variables():
        exporter = OTLPSpanExporter(endpoint=endpoint, headers=headers, timeout=timeout_s)
    return Exporter(LANGSMITH, endpoint, exporter)


@contextmanager
def _without_otlp_variables() -> Iterator[None]:
    """Hide Jaeger's headers, certificates and compression: the SDK adds them to those it is given.

    There is no other way to keep them out of an exporter (the SDK merges them when it is made).
    """
    with _LOCK:
        names = [name for name in os.environ if name.startswith(_OTLP_VARIABLES)]
        hidden = {name: os.environ.pop(name) for name in names}
        try:
            yield
        finally:
            os.environ.update(hidden)
