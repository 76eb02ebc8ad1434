"""The formats of trace files: one module each, recognised by content.

The order matters where one sign includes another. A module is imported when none before it
recognises a text, so that a format costs nothing where the usual ones are read.
"""

from collections.abc import Iterator
from importlib import import_module

from trading_graph.otel.sources.formats.format import Format
from trading_graph.otel.sources.head import Head

_MODULES = (
    "otlp_json",
    "otlp_protobuf",
    "jaeger",
    "jaeger_storage",
    "zipkin",
    "python_sdk",
    "go_sdk",
    "javascript_sdk",
    "langsmith",
    "langfuse",
    "phoenix",
    "mlflow",
    "agentops",
    "datadog",
    "xray",
    "elastic_apm",
    "otel_documents",
    "signoz",
    "clickhouse",
    "tracetest",
    "chrome_trace",
    "others",
)


def formats() -> Iterator[Format]:
    """All formats, in the order in which they are tried."""
    for name in _MODULES:
        yield from import_module(f"{__name__}.{name}").FORMATS


def recognise(content: bytes) -> Format | None:
    """The format of a text, from its first 64 KiB; None where no format recognises it."""
    head = Head(content)
    return next((each for each in formats() if each.recognises(head)), None)
