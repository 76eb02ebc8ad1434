"""AWS X-Ray's segments: one, an array, lines, or the answer of BatchGetTraces.

Times are seconds. Source: AWS X-Ray's developer guide, segment documents.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from trading_graph.otel.sources.fields import SECOND, decoded_object, items, mapping, moment, text
from trading_graph.otel.sources.formats.format import Format, Spans, json_reader
from trading_graph.otel.sources.head import Head, first_object
from trading_graph.otel.trace import Attributes, SpanValues, no_events

_NAME = "X-Ray's segments"
_REMOTE = ("remote", "aws")

_Row = Mapping[str, Any]


def _spans(document: Any) -> Spans:
    for segment in _segments(document):
        trace_id = text(segment, "trace_id").removeprefix("1-").replace("-", "")
        service, aws = text(segment, "name"), mapping(segment, "aws")
        resource = {"service.name": service, **{f"aws.{key}": aws[key] for key in aws}}
        pending = [(segment, text(segment, "parent_id"), 2)]
        while pending:
            row, parent, kind = pending.pop()
            yield trace_id, _span(row, parent, kind, resource)
            pending += [
                (each, text(row, "id"), 3 if each.get("namespace") in _REMOTE else 1)
                for each in items(row, "subsegments")
            ]


def _segments(document: Any) -> Iterator[_Row]:
    """The segments, which an answer of the API holds as text."""
    if isinstance(document, list):
        for each in document:
            yield from _segments(each)
    elif isinstance(document, dict):
        for name in ("Traces", "Segments"):
            if isinstance(document.get(name), list):
                yield from _segments(document[name])
                return
        yield decoded_object(document.get("Document")) or document


def _span(row: _Row, parent: str, kind: int, resource: Attributes) -> SpanValues:
    attributes = _attributes(row)
    return SpanValues(
        span_id=text(row, "id").lower(),
        parent_id=parent.lower(),
        name=text(row, "name"),
        kind=kind,
        start_ns=moment(row, "start_time", SECOND),
        end_ns=moment(row, "end_time", SECOND),
        status=2 if row.get("fault") is True or row.get("error") is True else 0,
        attributes=lambda: attributes,
        events=no_events,
        resource=resource,
    )


def _attributes(row: _Row) -> Attributes:
    """Annotations and metadata under their own names; calls under OpenTelemetry's."""
    attributes = {}
    for namespace, values in mapping(row, "metadata").items():
        if isinstance(values, dict):
            attributes.update(values)
        else:
            attributes[namespace] = values
    attributes.update(mapping(row, "annotations"))
    http = mapping(row, "http")
    request, response = mapping(http, "request"), mapping(http, "response")
    for key, value in (
        ("http.request.method", request.get("method")),
        ("url.full", request.get("url")),
        ("http.response.status_code", response.get("status")),
        ("db.system.name", mapping(row, "sql").get("database_type")),
        ("rpc.system", "aws-api" if text(row, "namespace") == "aws" else None),
    ):
        if value is not None:
            attributes.setdefault(key, value)
    return attributes


def _is_segment(row: _Row) -> bool:
    return {"id", "name", "start_time"} <= set(row) and (
        text(row, "trace_id").startswith("1-") or "subsegments" in row
    )


def _recognises(head: Head) -> bool:
    first = head.first
    for name in ("Traces", "Segments"):
        if isinstance(first.get(name), list):
            return True
    return _is_segment(first) or _is_segment(decoded_object(first_object(first).get("Document")))


FORMATS = (
    Format(
        _NAME,
        "a segment, an array, lines, the answer of `BatchGetTraces`",
        "`trace_id` that begins with `1-`, `subsegments`; `Traces[].Segments[].Document`",
        _recognises,
        json_reader(_NAME, _spans),
    ),
)
