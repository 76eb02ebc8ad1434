"""Tracetest's traces: a trace of its API, or a test run that holds one.

Times are milliseconds. Source: Tracetest's OpenAPI definition, trace.yaml.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from trading_graph.otel.sources.fields import KIND_TAGS, items, mapping, moment, pairs, text
from trading_graph.otel.sources.formats.format import Format, Spans, json_reader
from trading_graph.otel.sources.head import Head
from trading_graph.otel.trace import SpanValues, no_events

_NAME = "Tracetest's JSON"

_Row = Mapping[str, Any]


def _spans(document: Any) -> Spans:
    for each in document if isinstance(document, list) else [document]:
        if isinstance(each, dict):
            trace = _trace(each)
            trace_id = text(trace, "traceId", "id", "ID")
            for row, parent in _rows(trace):
                yield trace_id, _span(row, parent)


def _trace(document: _Row) -> _Row:
    """The trace, which a test run holds."""
    for _ in range(3):
        inner = mapping(document, "trace", "run", "spec")
        if not inner or _is_trace(document):
            break
        document = inner
    return document


def _rows(trace: _Row) -> Iterator[tuple[_Row, str]]:
    """Each span and the id of its parent: of the tree, or of the flat spans where there is none."""
    tree = mapping(trace, "tree", "RootSpan", "rootSpan")
    if not tree:
        for row in mapping(trace, "flat").values():
            if isinstance(row, dict):
                yield row, ""
        return
    pending = [(tree, "")]
    while pending:
        row, parent = pending.pop()
        yield row, parent
        children = items(row, "children", "Children")
        pending += [(each, text(row, "id", "ID")) for each in children]


def _span(row: _Row, parent: str) -> SpanValues:
    attributes = pairs(row.get("attributes") or row.get("Attributes"))
    return SpanValues(
        span_id=text(row, "id", "ID").lower(),
        parent_id=(text(row, "parentId") or parent).lower(),
        name=text(row, "name", "Name"),
        kind=KIND_TAGS.get(text(row, "kind").lower(), 0),
        start_ns=moment(row, "startTime", None) or moment(row, "StartTime", None),
        end_ns=moment(row, "endTime", None) or moment(row, "EndTime", None),
        status=0,
        attributes=lambda: attributes,
        events=no_events,
    )


def _is_trace(row: _Row) -> bool:
    tree, flat = mapping(row, "tree", "RootSpan", "rootSpan"), mapping(row, "flat")
    is_tree = {"children", "Children"} & set(tree) and {"startTime", "StartTime"} & set(tree)
    return bool(
        is_tree or any(isinstance(each, dict) and "startTime" in each for each in flat.values())
    )


def _recognises(head: Head) -> bool:
    return _is_trace(_trace(head.first))


FORMATS = (
    Format(
        _NAME,
        "a trace of its API, a test run",
        "`tree` with `children`, or `flat`, with `startTime`",
        _recognises,
        json_reader(_NAME, _spans),
    ),
)
