"""Phoenix's spans: its REST API, `client.get_spans`, and dataframes as JSON.

A dataframe has flat column names such as `attributes.llm.model_name`; pandas writes it by rows, by
columns, or split, and times as ISO 8601 or as numbers. Source: Phoenix's OpenAPI schema, and
pandas' `DataFrame.to_json`.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from trading_graph.otel.sources.fields import items, mapping, moment, numbered, text
from trading_graph.otel.sources.formats.format import Format, Spans, json_reader
from trading_graph.otel.sources.head import Head, first_object
from trading_graph.otel.trace import Attributes, Event, SpanValues

_NAME = "Phoenix's JSON"
_KIND = "openinference.span.kind"
_ID, _TRACE_ID = "context.span_id", "context.trace_id"
_PREFIX = "attributes."
_STATUSES = {"OK": 1, "ERROR": 2}

_Row = Mapping[str, Any]


def _spans(document: Any) -> Spans:
    for row in _rows(document):
        context = mapping(row, "context")
        span_id = text(context, "span_id") or text(row, _ID, "span_id")
        yield text(context, "trace_id") or text(row, _TRACE_ID, "trace_id"), _span(row, span_id)


def _rows(document: Any) -> Iterator[_Row]:
    """The spans as rows, however pandas or the API arranged them."""
    if isinstance(document, dict):
        columns, data = document.get("columns"), document.get("data")
        if isinstance(columns, list) and isinstance(data, list):
            index = document.get("index")
            ids: Sequence[Any] = index if isinstance(index, list) else [None] * len(data)
            for id, values in zip(ids, data, strict=False):
                if isinstance(values, list):
                    yield {_ID: id, **dict(zip(map(str, columns), values, strict=False))}
            return
        if isinstance(document.get(_TRACE_ID), dict):
            yield from _transposed(document)
            return
        document = data if isinstance(data, list) else [document]
    for row in document:
        if isinstance(row, dict):
            yield row


def _transposed(columns: _Row) -> Iterator[_Row]:
    for id in columns[_TRACE_ID]:
        row = {name: each[id] for name, each in columns.items() if id in (mapping(columns, name))}
        yield {_ID: id, **row}


def _span(row: _Row, span_id: str) -> SpanValues:
    attributes = _attributes(row)
    return SpanValues(
        span_id=span_id.lower(),
        parent_id=text(row, "parent_id", "parent_span_id").lower(),
        name=text(row, "name"),
        kind=1,
        start_ns=moment(row, "start_time", None),
        end_ns=moment(row, "end_time", None),
        status=_STATUSES.get(text(row, "status_code"), 0),
        attributes=lambda: attributes,
        events=partial(_events, row),
    )


def _attributes(row: _Row) -> Attributes:
    """The attributes under the flat names that instrumentors give them."""
    content = {**mapping(row, "attributes")}
    for name, value in row.items():
        if name.startswith(_PREFIX) and value is not None:
            content[name.removeprefix(_PREFIX)] = value
    # An object of the program, which is not a part of names.
    metadata = content.pop("metadata", None)
    attributes = dict(numbered(content))
    if metadata is not None:
        attributes["metadata"] = metadata
    kind = text(row, "span_kind")
    if kind and kind.upper() != "UNKNOWN":
        attributes[_KIND] = kind.upper()
    return attributes


def _events(row: _Row) -> list[Event]:
    return [
        Event(text(each, "name"), moment(each, "timestamp", None), mapping(each, "attributes"))
        for each in items(row, "events")
    ]


def _is_row(row: _Row) -> bool:
    context = mapping(row, "context")
    if _TRACE_ID in row or {"trace_id", "span_id"} <= set(context):
        return not {"span_kind", "status_code"}.isdisjoint(row)
    return False


def _recognises(head: Head) -> bool:
    first = head.first
    columns = first.get("columns")
    if isinstance(columns, list) and _TRACE_ID in columns:
        return True
    return _is_row(first_object(first["data"]) if "data" in first else first)


FORMATS = (
    Format(
        _NAME,
        'REST (`{"data": []}`), `client.get_spans`, a dataframe with `to_json` by records, lines, '
        "columns or split",
        "`context.trace_id` with `span_kind`; columns `context.trace_id` and `attributes.*`",
        _recognises,
        json_reader(_NAME, _spans),
    ),
)
