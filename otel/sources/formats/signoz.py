"""SigNoz' traces: the answers of its API for a trace, and rows of its tables.

Its API writes milliseconds, its tables ISO 8601. Source: SigNoz' query service, its models of
spans, and its table signoz_index_v3.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from trading_graph.otel.sources.fields import MILLISECOND, duration, items, mapping, moment, text
from trading_graph.otel.sources.formats.format import Format, Spans, json_reader
from trading_graph.otel.sources.head import Head, first_object
from trading_graph.otel.trace import Attributes, SpanValues, no_events

_NAME = "SigNoz' JSON"
_MAPS = ("tagMap", "attributes_string", "attributes_number", "attributes_bool", "attributes")
_PARENT = "CHILD_OF"

_Row = Mapping[str, Any]


def _spans(document: Any) -> Spans:
    for row in _rows(document):
        yield text(row, "traceId", "traceID", "trace_id", "TraceId"), _span(row)


def _rows(document: Any) -> Iterator[_Row]:
    """The spans of an answer, with those inside others, or of rows by columns."""
    if isinstance(document, list):
        for each in document:
            yield from _rows(each)
    elif isinstance(document, dict):
        columns, events = document.get("columns"), document.get("events")
        if isinstance(columns, list) and isinstance(events, list):
            for values in events:
                if isinstance(values, list):
                    yield dict(zip(map(str, columns), values, strict=False))
            return
        for name in ("data", "spans", "rows", "result"):
            if isinstance(document.get(name), list | dict):
                yield from _rows(document[name])
                return
        yield document
        yield from _rows(document.get("children") or [])


def _span(row: _Row) -> SpanValues:
    attributes = _attributes(row)
    start = moment(row, "timestamp", None) or moment(row, "__time", MILLISECOND)
    service = text(row, "serviceName", "ServiceName") or text(
        mapping(row, "resources_string"), "service.name"
    )
    kind = row.get("kind", row.get("Kind"))
    has_error = row.get("hasError", row.get("has_error", row.get("HasError")))
    return SpanValues(
        span_id=text(row, "spanId", "spanID", "span_id", "SpanId").lower(),
        parent_id=_parent(row).lower(),
        name=text(row, "name", "Name"),
        kind=int(kind) if str(kind) in ("1", "2", "3", "4", "5") else 0,
        start_ns=start,
        end_ns=start + _took(row),
        status=2 if has_error in (True, "true") else 0,
        attributes=lambda: attributes,
        events=no_events,
        resource={
            **mapping(row, "resources_string"),
            **({"service.name": service} if service else {}),
        },
    )


def _took(row: _Row) -> int:
    names = ("durationNano", "duration_nano", "DurationNano")
    return duration(row, next((name for name in names if name in row), names[0]))


def _parent(row: _Row) -> str:
    if parent := text(row, "parentSpanId", "parentSpanID", "parent_span_id"):
        return parent
    references = row.get("references", row.get("References"))
    if isinstance(references, list):
        for each in references:
            if isinstance(each, dict) and text(each, "RefType", "refType") in (_PARENT, ""):
                return text(each, "SpanId", "spanId")
    if isinstance(references, str) and "SpanId=" in references:
        # Rows by columns hold text: {TraceId=..., SpanId=..., RefType=CHILD_OF}
        return references.partition("SpanId=")[2].partition(",")[0].strip()
    return ""


def _attributes(row: _Row) -> Attributes:
    keys, values = row.get("TagsKeys"), row.get("TagsValues")
    if isinstance(keys, list) and isinstance(values, list):
        return dict(zip(map(str, keys), values, strict=False))
    attributes = dict[str, Any]()
    for name in _MAPS:
        attributes.update(mapping(row, name))
    return attributes


def _is_span(row: _Row) -> bool:
    waterfall = {"spanId", "durationNano"} <= set(row) and "name" in row
    return waterfall or {"span_id", "duration_nano", "trace_id"} <= set(row)


def _recognises(head: Head) -> bool:
    value, first = head.value, head.first
    columns = first.get("columns")
    if isinstance(columns, list) and {"SpanId", "DurationNano"} <= set(map(str, columns)):
        return True
    rows = _rows(value)
    return _is_span(next(rows, {})) or _is_span(first_object(items(first, "spans")))


FORMATS = (
    Format(
        _NAME,
        "the answers of its API for a trace, rows of `signoz_index_v3`",
        "`spanId` and `durationNano`; `columns` with `SpanId` and `DurationNano`; `duration_nano`",
        _recognises,
        json_reader(_NAME, _spans),
    ),
)
