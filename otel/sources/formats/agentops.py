"""AgentOps' traces, as its page exports them and its API answers: one trace with its spans.

Attributes are objects whose nesting is that of their names. Durations are nanoseconds.
"""

from collections.abc import Mapping
from typing import Any

from trading_graph.otel.sources.fields import (
    SPAN_KINDS,
    duration,
    flat,
    items,
    mapping,
    moment,
    numbered,
    text,
)
from trading_graph.otel.sources.formats.format import Format, Spans, json_reader
from trading_graph.otel.sources.head import Head, first_object
from trading_graph.otel.trace import SpanValues

_NAME = "AgentOps' JSON"
_STATUSES = {"OK": 1, "ERROR": 2}

_Row = Mapping[str, Any]


def _spans(document: Any) -> Spans:
    for each in document if isinstance(document, list) else [document]:
        if isinstance(each, dict):
            own_id = text(mapping(each, "trace") or each, "trace_id")
            for row in items(each, "spans"):
                yield text(row, "trace_id") or own_id, _span(row)


def _span(row: _Row) -> SpanValues:
    attributes = dict(numbered({**mapping(row, "attributes"), **mapping(row, "span_attributes")}))
    start, end = moment(row, "start_time", None), moment(row, "end_time", None)
    service = text(row, "service_name")
    resource = dict(flat(mapping(row, "resource_attributes")))
    if service:
        resource.setdefault("service.name", service)
    return SpanValues(
        span_id=text(row, "span_id").lower(),
        parent_id=text(row, "parent_span_id").lower(),
        name=text(row, "span_name", "name"),
        kind=SPAN_KINDS.get(text(row, "span_kind").rpartition("_")[2].upper(), 0),
        start_ns=start,
        end_ns=end or (start + duration(row, "duration") if row.get("duration") else 0),
        status=_STATUSES.get(text(row, "status_code").rpartition("_")[2].upper(), 0),
        attributes=lambda: attributes,
        resource=resource,
    )


def _recognises(head: Head) -> bool:
    span = first_object(head.first.get("spans"))
    return {"span_id", "span_name"} <= set(span) and "span_attributes" in span


FORMATS = (
    Format(
        _NAME,
        "the export of its page, the answer of its API",
        "`spans[]` with `span_name` and `span_attributes`",
        _recognises,
        json_reader(_NAME, _spans),
    ),
)
