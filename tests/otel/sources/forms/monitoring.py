"""The run as monitoring services and other tools export it."""

import json
from typing import Any

from tests.otel.sources.forms.run import (
    OPERATION,
    RUN,
    TRACE_ID,
    Part,
    dumped,
    genai,
    lines,
    nested,
    rows,
)

DATADOG_ID = int(TRACE_ID[-15:], 16)


def datadog(part: Part) -> dict[str, Any]:
    start, end = part.ms
    return {
        "trace_id": DATADOG_ID,
        "span_id": int(part.id, 16),
        "parent_id": int(part.parent_id or "0", 16),
        "name": part.name,
        "resource": part.name,
        "service": "svc",
        "start": start * 10**6,
        "duration": (end - start) * 10**6,
        "error": 0,
        "meta": genai(part),
        "metrics": {"_sampling_priority_v1": 1},
    }


def datadog_page() -> Any:
    spans = {}
    for part in RUN:
        row = datadog(part)
        row |= {"start": part.ms[0] / 1000, "duration": (part.end_ms - part.start_ms) / 1000}
        spans[str(row["span_id"])] = {
            **row,
            **{key: str(row[key]) for key in ("trace_id", "span_id", "parent_id")},
        }
    return {"orphaned": [], "trace": {"root_id": str(int(RUN[0].id, 16)), "spans": spans}}


def datadog_api() -> Any:
    return {
        "data": [
            {
                "id": part.id,
                "type": "spans",
                "attributes": {
                    "trace_id": str(DATADOG_ID),
                    "span_id": str(int(part.id, 16)),
                    "parent_id": str(int(part.parent_id or "0", 16)),
                    "operation_name": part.name,
                    "resource_name": part.name,
                    "service": "svc",
                    "start_timestamp": part.iso[0].replace("+00:00", "Z"),
                    "end_timestamp": part.iso[1].replace("+00:00", "Z"),
                    "custom": nested(genai(part)),
                },
            }
            for part in RUN
        ]
    }


def xray() -> Any:
    parts = [
        {
            "id": part.id,
            "name": part.name,
            "start_time": part.ms[0] / 1000,
            "end_time": part.ms[1] / 1000,
            "metadata": {"default": genai(part)},
        }
        for part in RUN
    ]
    trace_id = f"1-{TRACE_ID[:8]}-{TRACE_ID[8:]}"
    return {**parts[0], "trace_id": trace_id, "subsegments": parts[1:]}


def xray_answer() -> Any:
    segment = {"Id": RUN[0].id, "Document": json.dumps(xray())}
    return {"Traces": [{"Id": "1-5f29ab21", "Duration": 5.0, "Segments": [segment]}]}


def apm_lines() -> list[Any]:
    lines: list[Any] = [{"metadata": {"service": {"name": "svc", "agent": {"name": "python"}}}}]
    for part in RUN:
        row = {
            "id": part.id,
            "trace_id": TRACE_ID,
            "name": part.name,
            "timestamp": part.ms[0] * 1000,
            "duration": part.end_ms - part.start_ms,
            "type": "custom",
            "otel": {"span_kind": "INTERNAL", "attributes": genai(part)},
        }
        if part.parent:
            row |= {"parent_id": part.parent_id, "transaction_id": RUN[0].id}
        lines.append({"span" if part.parent else "transaction": row})
    return lines


def apm_document(part: Part) -> dict[str, Any]:
    kind = "span" if part.parent else "transaction"
    labels = {key.replace(".", "_"): each for key, each in genai(part).items()}
    # Labels cannot tell a dot of a name from its underscore.
    labels |= {OPERATION: genai(part)[OPERATION]}
    return {
        "_source": {
            "@timestamp": part.iso[0],
            "processor": {"event": kind},
            "trace": {"id": TRACE_ID},
            "timestamp": {"us": part.ms[0] * 1000},
            **({"parent": {"id": part.parent_id}} if part.parent else {}),
            kind: {
                "id": part.id,
                "name": part.name,
                "duration": {"us": (part.end_ms - part.start_ms) * 1000},
            },
            "labels": labels,
            "service": {"name": "svc"},
        }
    }


def collected(part: Part) -> dict[str, Any]:
    return {
        "@timestamp": part.iso[0],
        "trace_id": TRACE_ID,
        "span_id": part.id,
        **({"parent_span_id": part.parent_id} if part.parent else {}),
        "name": part.name,
        "kind": "Internal",
        "duration": (part.end_ms - part.start_ms) * 10**6,
        "attributes": genai(part),
        "resource": {"attributes": {"service.name": "svc"}},
        "status": {"code": "Unset"},
    }


def prepared(part: Part) -> dict[str, Any]:
    return {
        "traceId": TRACE_ID,
        "spanId": part.id,
        "parentSpanId": part.parent_id,
        "name": part.name,
        "kind": "SPAN_KIND_INTERNAL",
        "startTime": part.iso[0],
        "endTime": part.iso[1],
        "durationInNanos": (part.end_ms - part.start_ms) * 10**6,
        "serviceName": "svc",
        "status.code": 0,
        **{f"span.attributes.{k.replace('.', '@')}": v for k, v in genai(part).items()},
    }


def signoz(part: Part) -> dict[str, Any]:
    return {
        "timestamp": part.ms[0],
        "durationNano": (part.end_ms - part.start_ms) * 10**6,
        "spanId": part.id,
        "rootSpanId": RUN[0].id,
        "traceId": TRACE_ID,
        "parentSpanId": part.parent_id,
        "hasError": False,
        "kind": 1,
        "serviceName": "svc",
        "name": part.name,
        "tagMap": genai(part),
        "event": [],
    }


def signoz_columns() -> Any:
    rows = [
        [
            part.ms[0],
            part.id,
            TRACE_ID,
            "svc",
            part.name,
            "1",
            str((part.end_ms - part.start_ms) * 10**6),
            list(genai(part)),
            list(genai(part).values()),
            [f"{{TraceId={TRACE_ID}, SpanId={part.parent_id}, RefType=CHILD_OF}}"]
            if not part.parent
            else f"{{TraceId={TRACE_ID}, SpanId={part.parent_id}, RefType=CHILD_OF}}",
            "false",
        ]
        for part in RUN
    ]
    columns = (
        "__time SpanId TraceId ServiceName Name Kind DurationNano TagsKeys TagsValues References "
        "HasError"
    )
    return [{"columns": columns.split(), "events": rows}]


def signoz_row(part: Part) -> dict[str, Any]:
    return {
        "timestamp": part.iso[0].replace("T", " ").removesuffix("+00:00"),
        "trace_id": TRACE_ID,
        "span_id": part.id,
        "parent_span_id": part.parent_id,
        "name": part.name,
        "kind": 1,
        "duration_nano": str((part.end_ms - part.start_ms) * 10**6),
        "has_error": False,
        "attributes_string": genai(part),
        "resources_string": {"service.name": "svc"},
    }


def clickhouse(part: Part) -> dict[str, Any]:
    return {
        "Timestamp": part.iso[0].replace("T", " ").removesuffix("+00:00"),
        "TraceId": TRACE_ID,
        "SpanId": part.id,
        "ParentSpanId": part.parent_id,
        "SpanName": part.name,
        "SpanKind": "Internal",
        "ServiceName": "svc",
        "ResourceAttributes": {"service.name": "svc"},
        "SpanAttributes": genai(part),
        "Duration": str((part.end_ms - part.start_ms) * 10**6),
        "StatusCode": "Unset",
        "Events.Timestamp": [],
        "Events.Name": [],
        "Events.Attributes": [],
    }


def tracetest() -> Any:
    parts = [
        {
            "id": part.id,
            "name": part.name,
            "startTime": part.ms[0],
            "endTime": part.ms[1],
            "attributes": genai(part),
            "children": [],
        }
        for part in RUN
    ]
    return {"traceId": TRACE_ID, "tree": {**parts[0], "children": parts[1:]}, "flat": {}}


def chrome() -> Any:
    events = [
        {
            "name": part.name,
            "ph": "X",
            "ts": part.ms[0] * 1000,
            "dur": (part.end_ms - part.start_ms) * 1000,
            "pid": 7,
            "tid": 2 if part.name == "prices" else 1,
            "args": genai(part),
        }
        for part in RUN
    ]
    return {"traceEvents": [*events, {"ph": "M", "name": "process_name", "pid": 7, "args": {}}]}


FORMS: dict[str, bytes] = {
    "Datadog": dumped([rows(datadog)]),
    "Datadog, page": dumped(datadog_page()),
    "Datadog, API": dumped(datadog_api()),
    "X-Ray": dumped(xray()),
    "X-Ray, answer": dumped(xray_answer()),
    "Elastic APM, sent": lines(apm_lines()),
    "Elastic APM, a search": dumped({"hits": {"hits": rows(apm_document)}}),
    "Elasticsearch, otel": lines(rows(collected)),
    "OpenSearch": dumped({"hits": {"hits": [{"_source": each} for each in rows(prepared)]}}),
    "SigNoz": dumped({"status": "success", "data": {"spans": rows(signoz)}}),
    "SigNoz, columns": dumped(signoz_columns()),
    "SigNoz, rows": lines(rows(signoz_row)),
    "ClickHouse": lines(rows(clickhouse)),
    "ClickHouse, answer": dumped({"meta": [], "data": rows(clickhouse), "rows": 5}),
    "Tracetest": dumped(tracetest()),
    "Tracetest, run": dumped({"id": 1, "state": "FINISHED", "trace": tracetest()}),
    "Chrome": dumped(chrome()),
}
