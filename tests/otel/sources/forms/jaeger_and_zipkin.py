"""The run as Jaeger and Zipkin export and store it."""

from typing import Any

from tests.otel.sources.forms.run import RUN, TRACE_ID, Part, base64_of, dumped, genai, lines, rows


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


FORMS: dict[str, bytes] = {
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
}
