"""The formats of trace files: one module each, recognised by content.

A new format is a module here with a tuple `FORMATS`, and a name in `_MODULES`. The order matters
where one sign includes another. A module is imported when none before it recognises a text, so that
a format costs nothing where the usual ones are read.
"""

from collections.abc import Iterator
from importlib import import_module

from trading_graph.otel.sources.formats.format import Format
from trading_graph.otel.sources.head import Head, names_beyond

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
    "unsupported",
)


def formats() -> Iterator[Format]:
    """All formats, in the order in which they are tried."""
    for name in _MODULES:
        yield from import_module(f"{__name__}.{name}").FORMATS


def table() -> str:
    """The table of docs/traces.md: what is read, and what is refused by its name."""
    read = [
        f"| {_capital(each.name)} | {each.kinds} | {each.sign} |" for each in formats() if each.read
    ]
    named = [
        f"| {each.name} | {each.sign} | {each.way_out} |" for each in formats() if not each.read
    ]
    return "\n".join(
        [
            "| read | written by, or as | recognised by |",
            "|---|---|---|",
            *read,
            "",
            "| not read | recognised by | what to do |",
            "|---|---|---|",
            *named,
        ]
    )


def _capital(name: str) -> str:
    return name[0].upper() + name[1:]


def recognise(content: bytes) -> Format | None:
    """The format of a text, from its first 64 KiB; None where no format recognises it.

    Only where these end inside the first values of an object, such as a long input, the names that
    come later are looked for.
    """
    head = Head(content)
    found = next((each for each in formats() if each.recognises(head)), None)
    if found is None and len(content) > len(head.data) and head.value is not None:
        whole = Head(content, names_beyond(content))
        found = next((each for each in formats() if each.recognises(whole)), None)
    return found
