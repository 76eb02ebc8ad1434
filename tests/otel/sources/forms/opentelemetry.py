"""The run as OpenTelemetry writes it: OTLP, and what the SDKs of three languages print."""

import json
import struct
from typing import Any

from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from tests.otel.sources.forms.run import (
    RUN,
    TRACE_ID,
    Part,
    dumped,
    genai,
    lines,
    otlp_attributes,
    rows,
)


def otlp_span(part: Part) -> dict[str, Any]:
    start, end = part.ms
    return {
        "traceId": TRACE_ID,
        "spanId": part.id,
        "parentSpanId": part.parent_id,
        "name": part.name,
        "kind": 1,
        "startTimeUnixNano": f"{start}000000",
        "endTimeUnixNano": f"{end}000000",
        "attributes": otlp_attributes(genai(part)),
        "status": {},
    }


def resource_spans() -> list[dict[str, Any]]:
    resource = {"attributes": otlp_attributes({"service.name": "svc"})}
    return [{"resource": resource, "scopeSpans": [{"spans": [otlp_span(each) for each in RUN]}]}]


def otlp() -> Any:
    return {"resourceSpans": resource_spans()}


def otlp_message() -> TracesData:
    message = TracesData()
    group = message.resource_spans.add()
    service = group.resource.attributes.add(key="service.name")
    service.value.string_value = "svc"
    scope = group.scope_spans.add()
    for part in RUN:
        span = scope.spans.add(
            trace_id=bytes.fromhex(TRACE_ID),
            span_id=bytes.fromhex(part.id),
            parent_span_id=bytes.fromhex(part.parent_id),
            name=part.name,
            kind=1,
            start_time_unix_nano=part.ms[0] * 10**6,
            end_time_unix_nano=part.ms[1] * 10**6,
        )
        for key, value in genai(part).items():
            span.attributes.add(key=key).value.string_value = value
    return message


def python_span(part: Part) -> dict[str, Any]:
    first, last = (each.replace("+00:00", ".000000Z") for each in part.iso)
    return {
        "name": part.name,
        "context": {
            "trace_id": f"0x{TRACE_ID}",
            "span_id": f"0x{part.id}",
            "trace_state": "[]",
        },
        "kind": "SpanKind.INTERNAL",
        "parent_id": f"0x{part.parent_id}" if part.parent else None,
        "start_time": first if "." not in part.iso[0] else part.iso[0].replace("+00:00", "Z"),
        "end_time": last if "." not in part.iso[1] else part.iso[1].replace("+00:00", "Z"),
        "status": {"status_code": "UNSET"},
        "attributes": genai(part),
        "events": [],
        "links": [],
        "resource": {"attributes": {"service.name": "svc"}, "schema_url": ""},
    }


def go_span(part: Part) -> dict[str, Any]:
    return {
        "Name": part.name,
        "SpanContext": {"TraceID": TRACE_ID, "SpanID": part.id, "TraceFlags": "01"},
        "Parent": {"TraceID": TRACE_ID, "SpanID": part.parent_id or "0" * 16},
        "SpanKind": 1,
        "StartTime": part.iso[0],
        "EndTime": part.iso[1],
        "Attributes": [
            {"Key": k, "Value": {"Type": "STRING", "Value": v}} for k, v in genai(part).items()
        ],
        "Events": None,
        "Links": None,
        "Status": {"Code": "Unset", "Description": ""},
        "Resource": [{"Key": "service.name", "Value": {"Type": "STRING", "Value": "svc"}}],
    }


def javascript_span(part: Part) -> dict[str, Any]:
    start, end = ([ms // 1000, ms % 1000 * 10**6] for ms in part.ms)
    return {
        "_spanContext": {"traceId": TRACE_ID, "spanId": part.id, "traceFlags": 1},
        "parentSpanContext": {"traceId": TRACE_ID, "spanId": part.parent_id}
        if part.parent
        else None,
        "name": part.name,
        "kind": 0,
        "startTime": start,
        "endTime": end,
        "attributes": genai(part),
        "status": {"code": 0},
        "resource": {"_rawAttributes": [["service.name", "svc"]]},
    }


def javascript_printed(part: Part) -> dict[str, Any]:
    start, end = part.ms
    return {
        "resource": {"attributes": {"service.name": "svc"}},
        "traceId": TRACE_ID,
        "parentId": part.parent_id or None,
        "name": part.name,
        "id": part.id,
        "kind": 0,
        "timestamp": start * 1000,
        "duration": (end - start) * 1000,
        "attributes": genai(part),
        "status": {"code": 0},
        "events": [],
        "links": [],
    }


def printed() -> bytes:
    """What a program prints that has Python's console exporter beside prints of its own."""
    texts = ["[INFO] started", "hello {world}"]
    for part in RUN:
        texts += [json.dumps(python_span(part), indent=4), f"{part.name} ended"]
    return "\n".join(texts).encode()


def framed() -> bytes:
    message: bytes = otlp_message().SerializeToString()
    return struct.pack(">I", len(message)) + message


FORMS: dict[str, bytes] = {
    "OTLP": dumped(otlp()),
    "OTLP, metrics and logs between": lines(
        [{"resourceMetrics": []}, {"resourceLogs": []}, otlp(), {"resourceLogs": []}]
    ),
    "OTLP, the spans of one resource": dumped(resource_spans()[0]),
    "OTLP, spans alone": dumped(rows(otlp_span)),
    "OTLP protobuf": otlp_message().SerializeToString(),
    "OTLP protobuf, after its length": framed(),
    "Tempo, batches": dumped({"batches": resource_spans()}),
    "Tempo, trace": dumped({"trace": {"resourceSpans": resource_spans()}}),
    "Python, array": dumped(rows(python_span)),
    "Python, lines": lines(rows(python_span)),
    "Python, printed": printed(),
    "Go, lines": lines(rows(go_span)),
    "Go, array": dumped(rows(go_span)),
    "Go, indented": "\n".join(json.dumps(each, indent="\t") for each in rows(go_span)).encode(),
    "JavaScript": dumped(rows(javascript_span)),
    "JavaScript, printed": dumped(rows(javascript_printed)),
}
