"""Formats that are known and not read: they are refused by their names, with the way out."""

from collections.abc import Callable

from trading_graph.otel.sources.formats.format import Format
from trading_graph.otel.sources.head import Head


def _begins(*signs: bytes) -> Callable[[Head], bool]:
    return lambda head: head.data.lstrip().startswith(signs)


def _has(*names: str) -> Callable[[Head], bool]:
    return lambda head: set(names) <= set(head.first)


def _is_archive(head: Head) -> bool:
    return head.data.startswith(b"PK\x03\x04") or head.data[257:262] == b"ustar"


def _is_page(head: Head) -> bool:
    return head.data.lstrip()[:15].lower().startswith((b"<!doctype html", b"<html"))


def _is_printed(head: Head) -> bool:
    """Whether it is what JavaScript's console shows of a span: an object, and no JSON."""
    data = head.data
    return head.value is None and b"traceId: '" in data and b"timestamp: " in data


def _is_table(head: Head) -> bool:
    first = head.data.partition(b"\n")[0].lower()
    return not head.is_json and first.count(b",") > 2 and b"trace" in first and b"{" not in first


FORMATS = (
    Format(
        "an archive",
        "zip, tar",
        "bytes",
        _is_archive,
        way_out="unpack it, and name the files in it",
    ),
    Format(
        "a Parquet file",
        "a dataset, LangSmith's bulk export",
        "`PAR1`",
        _begins(b"PAR1"),
        way_out="write it as lines, such as with pandas.read_parquet(FILE).to_json(OUT, "
        'orient="records", lines=True, date_format="iso")',
    ),
    Format(
        "a SQLite database",
        "Phoenix, MLflow",
        "`SQLite format 3`",
        _begins(b"SQLite format 3"),
        way_out="export the trace as JSON from the program that it belongs to",
    ),
    Format(
        "a web page",
        "a saved page of a viewer",
        "`<html`",
        _is_page,
        way_out="download the trace from that page as JSON",
    ),
    Format(
        "XML",
        "",
        "`<?xml`",
        _begins(b"<?xml"),
        way_out="export the trace as JSON",
    ),
    Format(
        "a table with commas (CSV)",
        "exports of spans",
        "a line of names with `trace` among them",
        _is_table,
        way_out="export the trace as JSON, which keeps the attributes of spans",
    ),
    Format(
        "what JavaScript's console shows of spans",
        "`ConsoleSpanExporter` of OpenTelemetry for JavaScript",
        "`traceId: '...'`",
        _is_printed,
        way_out="print JSON.stringify(span), or export to a file with OTLPTraceExporter and a "
        "collector",
    ),
    Format(
        "a HAR file",
        "the network tab of a browser",
        "`log.entries`",
        lambda head: isinstance(head.first.get("log"), dict) and "entries" in head.first["log"],
        way_out="record the requests as spans with an instrumentor of HTTP",
    ),
    Format(
        "a CPU profile",
        "speedscope, V8, Node",
        "`$schema` of speedscope; `nodes` with `samples`",
        lambda head: (
            "speedscope" in str(head.first.get("$schema"))
            or {"nodes", "samples"} <= set(head.first)
        ),
        way_out="record spans: a profile has samples of one thread and no calls that wait",
    ),
    Format(
        "a list of LangSmith's datasets or examples",
        "",
        "`dataset_id` with `inputs`",
        _has("dataset_id", "inputs"),
        way_out="download the runs, such as with Client.list_runs",
    ),
)
