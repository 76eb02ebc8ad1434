"""One run of an agent, written in every format that is read.

An agent asks a model, calls the two tools that it names at once, and asks the model again. Each
writer says where its form was seen: in the documentation or the source of what writes it.
"""

import base64
import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

TRACE_ID = "5f29ab21dddddddddddddddddddddd01"
UUID = "5f29ab21-dddd-dddd-dddd-dddddddddd01"
START_MS = 1_763_100_000_000

OPERATION = "gen_ai.operation.name"
CALLS = [{"id": "call_1", "name": "search"}, {"id": "call_2", "name": "prices"}]
ANSWER = {"generations": [[{"message": {"kwargs": {"content": "", "tool_calls": CALLS}}}]]}


@dataclass(frozen=True)
class Part:
    """A span: its number, that of its parent (0 without), and its times in ms after the start."""

    number: int
    parent: int
    name: str
    role: str
    start_ms: int
    end_ms: int
    call: str = ""

    @property
    def id(self) -> str:
        return f"{0xA0 + self.number:016x}"

    @property
    def parent_id(self) -> str:
        return f"{0xA0 + self.parent:016x}" if self.parent else ""

    @property
    def ms(self) -> tuple[int, int]:
        return START_MS + self.start_ms, START_MS + self.end_ms

    @property
    def iso(self) -> tuple[str, str]:
        first, last = (datetime.fromtimestamp(ms / 1000, UTC).isoformat() for ms in self.ms)
        return first, last


RUN = (
    Part(1, 0, "researcher", "agent", 0, 5000),
    Part(2, 1, "ask", "llm", 100, 1000),
    Part(3, 1, "search", "tool", 1100, 2100, "call_1"),
    Part(4, 1, "prices", "tool", 1100, 2000, "call_2"),
    Part(5, 1, "answer", "llm", 2200, 4800),
)


def genai(part: Part) -> dict[str, Any]:
    """The attributes of a span as OpenTelemetry's conventions have them."""
    if part.role == "agent":
        return {OPERATION: "invoke_agent"}
    if part.role == "tool":
        return {
            OPERATION: "execute_tool",
            "gen_ai.tool.name": part.name,
            "gen_ai.tool.call.id": part.call,
        }
    answer = {"role": "assistant", "tool_calls": CALLS if part.name == "ask" else []}
    return {OPERATION: "chat", "gen_ai.output.messages": json.dumps([answer])}


def openinference(part: Part) -> dict[str, Any]:
    if part.role == "tool":
        return {"tool.name": part.name, "tool_call.id": part.call}
    if part.role != "llm":
        return {}
    calls = CALLS if part.name == "ask" else []
    return {
        "llm.output_messages": [
            {
                "message.role": "assistant",
                "message.tool_calls": [
                    {"tool_call.id": each["id"], "tool_call.function.name": each["name"]}
                    for each in calls
                ],
            }
        ]
    }


def otlp_attributes(attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": {"stringValue": each}} for key, each in attributes.items()]


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


def jaeger_span(part: Part, **more: Any) -> dict[str, Any]:
    start, end = part.ms
    reference = {"refType": "CHILD_OF", "traceID": TRACE_ID, "spanID": part.parent_id}
    return {
        "traceID": TRACE_ID,
        "spanID": part.id,
        "operationName": part.name,
        "references": [reference] if part.parent else [],
        "startTime": start * 1000,
        "duration": (end - start) * 1000,
        "tags": [{"key": k, "type": "string", "value": v} for k, v in genai(part).items()],
        "logs": [],
        "warnings": None,
        **more,
    }


PROCESS = {"serviceName": "svc", "tags": []}


def jaeger_trace() -> dict[str, Any]:
    spans = [jaeger_span(each, processID="p1") for each in RUN]
    return {"traceID": TRACE_ID, "spans": spans, "processes": {"p1": PROCESS}}


def jaeger_hit(part: Part) -> dict[str, Any]:
    """A document of Jaeger's index, with its tags as fields (`--es.tags-as-fields.all`)."""
    source = jaeger_span(part, process={**PROCESS, "tag": {"host@name": "h"}})
    source["tag"] = {key.replace(".", "@"): each for key, each in genai(part).items()}
    return {"_index": "jaeger-span-2025-11-14", "_source": {**source, "tags": []}}


def base64_of(id: str) -> str:
    return base64.b64encode(bytes.fromhex(id)).decode()


def jaeger_model(part: Part) -> dict[str, Any]:
    start, end = part.ms
    reference = {"traceId": base64_of(TRACE_ID), "spanId": base64_of(part.parent_id)}
    return {
        "traceId": base64_of(TRACE_ID),
        "spanId": base64_of(part.id),
        "operationName": part.name,
        "references": [reference] if part.parent else [],
        "startTime": part.iso[0].replace("+00:00", "Z"),
        "duration": f"{(end - start) * 10**6}ns",
        "tags": [{"key": k, "vType": "STRING", "vStr": v} for k, v in genai(part).items()],
        "process": {"serviceName": "svc"},
    }


def zipkin(part: Part) -> dict[str, Any]:
    start, end = part.ms
    return {
        "traceId": TRACE_ID,
        "id": part.id,
        **({"parentId": part.parent_id} if part.parent else {}),
        "name": part.name,
        "timestamp": start * 1000,
        "duration": (end - start) * 1000,
        "localEndpoint": {"serviceName": "svc"},
        "tags": genai(part),
    }


def zipkin_1(part: Part) -> dict[str, Any]:
    row = zipkin(part)
    endpoint = {"endpoint": row.pop("localEndpoint")}
    annotations = [{"key": k, "value": v, **endpoint} for k, v in row.pop("tags").items()]
    return {**row, "annotations": [], "binaryAnnotations": annotations}


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


def uuid(number: int) -> str:
    return f"{UUID[:-2]}{number:02d}"


def langsmith_run(part: Part) -> dict[str, Any]:
    kind = {"agent": "chain"}.get(part.role, part.role)
    outputs: Any = {}
    if part.name == "ask":
        outputs = ANSWER
    elif part.role == "llm":
        outputs = {"generations": [[{"text": "done"}]]}
    elif part.role == "tool":
        outputs = {"output": {"content": "1", "tool_call_id": part.call}}
    return {
        "id": uuid(part.number),
        "name": part.name,
        "run_type": kind,
        "start_time": part.iso[0].removesuffix("+00:00"),
        "end_time": part.iso[1].removesuffix("+00:00"),
        "parent_run_id": uuid(part.parent) if part.parent else None,
        "trace_id": uuid(1),
        "dotted_order": f"20251114T060000000000Z{uuid(1)}",
        "status": "success",
        "inputs": {},
        "outputs": outputs,
        "extra": {"metadata": {}},
    }


def langsmith_nested() -> Any:
    first, *others = (langsmith_run(each) for each in RUN)
    for each in others:
        del each["trace_id"], each["parent_run_id"]
    return {**first, "child_runs": others}


def langfuse_observation(part: Part) -> dict[str, Any]:
    output: Any = None
    if part.role == "llm":
        output = {"role": "assistant", "tool_calls": CALLS if part.name == "ask" else []}
    return {
        "id": part.id,
        "traceId": TRACE_ID,
        "type": {"agent": "AGENT", "llm": "GENERATION", "tool": "TOOL"}[part.role],
        "name": part.name,
        "startTime": part.iso[0].replace("+00:00", "Z"),
        "endTime": part.iso[1].replace("+00:00", "Z"),
        "parentObservationId": part.parent_id or None,
        "level": "DEFAULT",
        "model": "m" if part.role == "llm" else None,
        "input": {},
        "output": output,
        "metadata": {},
    }


def langfuse_row(part: Part) -> dict[str, Any]:
    row = langfuse_observation(part)
    return {
        "id": row["id"],
        "trace_id": TRACE_ID,
        "type": row["type"],
        "name": row["name"],
        "parent_observation_id": row["parentObservationId"],
        "start_time": part.iso[0].replace("T", " ").removesuffix("+00:00"),
        "end_time": part.iso[1].replace("T", " ").removesuffix("+00:00"),
        "provided_model_name": row["model"],
        "output": json.dumps(row["output"]),
    }


def phoenix_span(part: Part) -> dict[str, Any]:
    return {
        "id": f"U3Bhbjo{part.number}",
        "name": part.name,
        "context": {"trace_id": TRACE_ID, "span_id": part.id},
        "span_kind": part.role.upper(),
        "parent_id": part.parent_id or None,
        "start_time": part.iso[0],
        "end_time": part.iso[1],
        "status_code": "OK",
        "status_message": "",
        "attributes": openinference(part),
        "events": [],
    }


def phoenix_row(part: Part) -> dict[str, Any]:
    start, end = part.ms
    return {
        "name": part.name,
        "span_kind": part.role.upper(),
        "parent_id": part.parent_id or None,
        "start_time": start,
        "end_time": end,
        "status_code": "OK",
        "context.span_id": part.id,
        "context.trace_id": TRACE_ID,
        **{f"attributes.{key}": each for key, each in openinference(part).items()},
    }


def phoenix_columns() -> Any:
    rows = {each.id: phoenix_row(each) for each in RUN}
    for row in rows.values():
        del row["context.span_id"]
    names = dict.fromkeys(name for row in rows.values() for name in row)
    return {name: {id: row.get(name) for id, row in rows.items()} for name in names}


def phoenix_split() -> Any:
    rows = [phoenix_row(each) for each in RUN]
    names = list(dict.fromkeys(name for row in rows for name in row))
    data = [[row.get(name) for name in names] for row in rows]
    return {"columns": names, "index": list(range(len(rows))), "data": data}


def mlflow_attributes(part: Part) -> dict[str, str]:
    kind = {"agent": "AGENT", "llm": "CHAT_MODEL", "tool": "TOOL"}[part.role]
    found: dict[str, Any] = {"mlflow.spanType": kind, "mlflow.spanInputs": {"q": part.name}}
    if part.role == "llm":
        found["mlflow.spanOutputs"] = {"tool_calls": CALLS if part.name == "ask" else []}
    return {key: json.dumps(each) for key, each in found.items()}


def mlflow_3(part: Part) -> dict[str, Any]:
    start, end = part.ms
    return {
        "trace_id": base64_of(TRACE_ID),
        "span_id": base64_of(part.id),
        "parent_span_id": base64_of(part.parent_id) if part.parent else None,
        "name": part.name,
        "start_time_unix_nano": start * 10**6,
        "end_time_unix_nano": end * 10**6,
        "status": {"code": "STATUS_CODE_OK", "message": ""},
        "attributes": mlflow_attributes(part),
    }


def mlflow_2(part: Part) -> dict[str, Any]:
    start, end = part.ms
    return {
        "name": part.name,
        "context": {"trace_id": f"0x{TRACE_ID}", "span_id": f"0x{part.id}"},
        "parent_id": f"0x{part.parent_id}" if part.parent else None,
        "start_time": start * 10**6,
        "end_time": end * 10**6,
        "status_code": "OK",
        "attributes": mlflow_attributes(part),
        "events": [],
    }


def mlflow(span: Callable[[Part], dict[str, Any]]) -> Any:
    return {"info": {"trace_id": f"tr-{TRACE_ID}"}, "data": {"spans": [span(each) for each in RUN]}}


def nested(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes with the parts of their names inside each other."""
    tree: dict[str, Any] = {}
    for name, value in attributes.items():
        *above, last = name.split(".")
        node = tree
        for each in above:
            node = node.setdefault(each, {})
        node[last] = value
    return tree


def agentops() -> Any:
    spans = [
        {
            "span_id": part.id,
            "parent_span_id": part.parent_id,
            "span_name": part.name,
            "span_kind": "Internal",
            "service_name": "svc",
            "start_time": part.iso[0],
            "end_time": part.iso[1],
            "duration": (part.end_ms - part.start_ms) * 10**6,
            "status_code": "OK",
            "attributes": {},
            "resource_attributes": {},
            "span_attributes": nested(
                {"agentops.span.kind": part.role, **({} if part.role == "agent" else genai(part))}
            ),
        }
        for part in RUN
    ]
    return {"trace": {"trace_id": TRACE_ID, "span_count": 5}, "spans": spans}


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


def lines(rows: list[Any]) -> bytes:
    return "\n".join(json.dumps(each) for each in rows).encode()


def rows(write: Callable[[Part], Any]) -> list[Any]:
    return [write(each) for each in RUN]


def dumped(value: Any) -> bytes:
    return json.dumps(value).encode()


def printed() -> bytes:
    """What a program prints that has Python's console exporter beside prints of its own."""
    texts = ["[INFO] started", "hello {world}"]
    for part in RUN:
        texts += [json.dumps(python_span(part), indent=4), f"{part.name} ended"]
    return "\n".join(texts).encode()


def framed() -> bytes:
    message: bytes = otlp_message().SerializeToString()
    return struct.pack(">I", len(message)) + message


WRITTEN: dict[str, bytes] = {
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
    "Jaeger": dumped({"data": [jaeger_trace()], "total": 0, "errors": None}),
    "Jaeger, data is a trace": dumped({"data": jaeger_trace()}),
    "Jaeger, one trace": dumped(jaeger_trace()),
    "Jaeger, traces": dumped([jaeger_trace()]),
    "Jaeger, spans": dumped([jaeger_span(each, process=PROCESS) for each in RUN]),
    "Jaeger, a search": dumped({"hits": {"total": 5, "hits": rows(jaeger_hit)}}),
    "Jaeger, elasticdump": lines(rows(jaeger_hit)),
    "Jaeger's model": dumped({"spans": rows(jaeger_model)}),
    "Jaeger's model, lines": lines(rows(jaeger_model)),
    "Zipkin": dumped(rows(zipkin)),
    "Zipkin, traces": dumped([rows(zipkin)]),
    "Zipkin 1": dumped(rows(zipkin_1)),
    "Python, array": dumped(rows(python_span)),
    "Python, lines": lines(rows(python_span)),
    "Python, printed": printed(),
    "Go, lines": lines(rows(go_span)),
    "Go, array": dumped(rows(go_span)),
    "Go, indented": "\n".join(json.dumps(each, indent="\t") for each in rows(go_span)).encode(),
    "JavaScript": dumped(rows(javascript_span)),
    "JavaScript, printed": dumped(rows(javascript_printed)),
    "LangSmith": dumped(rows(langsmith_run)),
    "LangSmith, lines": lines(rows(langsmith_run)),
    "LangSmith, runs": dumped({"runs": rows(langsmith_run)}),
    "LangSmith, nested": dumped(langsmith_nested()),
    "Langfuse": dumped({"trace": {"id": TRACE_ID}, "observations": rows(langfuse_observation)}),
    "Langfuse, trace": dumped({"id": TRACE_ID, "observations": rows(langfuse_observation)}),
    "Langfuse, observations": dumped(rows(langfuse_observation)),
    "Langfuse, answer": dumped({"data": rows(langfuse_observation), "meta": {"page": 1}}),
    "Langfuse, export": lines(rows(langfuse_row)),
    "Phoenix": dumped(rows(phoenix_span)),
    "Phoenix, answer": dumped({"data": rows(phoenix_span), "next_cursor": None}),
    "Phoenix, lines of a dataframe": lines(rows(phoenix_row)),
    "Phoenix, columns": dumped(phoenix_columns()),
    "Phoenix, split": dumped(phoenix_split()),
    "MLflow 3": dumped(mlflow(mlflow_3)),
    "MLflow 2": dumped(mlflow(mlflow_2)),
    "MLflow, artifact": dumped({"spans": rows(mlflow_2)}),
    "MLflow, lines": lines([mlflow(mlflow_3)]),
    "AgentOps": dumped(agentops()),
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
