"""One trace in every form of OTLP JSON and Jaeger's JSON: it is always read the same."""

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest

from trading_graph.otel.sources import parse, read
from trading_graph.otel.trace import SpanTable

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
ROOT, CHILD, LATER = "b7ad6b7169203331", "00f067aa0ba902b7", "00f067aa0ba902b8"
START = 1_763_100_000_000_000_001

ATTRIBUTES = [
    {"key": "text", "value": {"stringValue": 'a "quoted" trace_id'}},
    {"key": "number", "value": {"intValue": "9007199254740993"}},
    {"key": "ratio", "value": {"doubleValue": 0.25}},
    {"key": "yes", "value": {"boolValue": True}},
    {"key": "list", "value": {"arrayValue": {"values": [{"intValue": "1"}, {"intValue": "2"}]}}},
    {"key": "map", "value": {"kvlistValue": {"values": [{"key": "a", "value": {}}]}}},
]

SPANS: list[dict[str, Any]] = [
    {
        "traceId": TRACE_ID,
        "spanId": CHILD,
        "parentSpanId": ROOT,
        "name": "child",
        "kind": 3,
        "startTimeUnixNano": str(START + 10),
        "endTimeUnixNano": str(START + 20),
        "attributes": ATTRIBUTES,
        "events": [{"name": "retry", "timeUnixNano": str(START + 15), "attributes": ATTRIBUTES}],
        "links": [{"traceId": TRACE_ID, "spanId": LATER}],
        "status": {"code": 2, "message": "no"},
    },
    {
        "traceId": TRACE_ID,
        "spanId": LATER,
        "parentSpanId": ROOT,
        "name": "later",
        "kind": 1,
        "startTimeUnixNano": str(START + 30),
        "endTimeUnixNano": str(START + 40),
        "status": {},
    },
    {
        "traceId": TRACE_ID,
        "spanId": ROOT,
        "name": "root",
        "kind": 1,
        "startTimeUnixNano": str(START),
        "endTimeUnixNano": str(START + 50),
    },
]


def document(spans: list[dict[str, Any]] = SPANS) -> dict[str, Any]:
    return {
        "resourceSpans": [
            {"resource": {"attributes": []}, "scopeSpans": [{"scope": {}, "spans": spans}]}
        ]
    }


def changed(text: str, **names: Any) -> str:
    """Rewrite the ids of the spans in the text."""
    for span_id in (TRACE_ID, ROOT, CHILD, LATER):
        text = text.replace(f'"{span_id}"', json.dumps(names["write"](span_id)))
    return text


def in_base64(span_id: str) -> str:
    return base64.b64encode(bytes.fromhex(span_id)).decode()


def in_snake_case(text: str) -> str:
    return re.sub(
        r'"(\w+)":', lambda name: re.sub(r"([A-Z])", lambda c: "_" + c[1].lower(), name[0]), text
    )


WHOLE = json.dumps(document())
LINES = "\n".join(json.dumps(document([span])) for span in SPANS)
ENUM_NAMES = (
    WHOLE.replace('"kind": 3', '"kind": "SPAN_KIND_CLIENT"')
    .replace('"kind": 1', '"kind": "SPAN_KIND_INTERNAL"')
    .replace('"code": 2', '"code": "STATUS_CODE_ERROR"')
)

SHAPES = {
    "one document": WHOLE,
    "indented": json.dumps(document(), indent=2),
    "lines": LINES,
    "lines with empty ones": f"\n{LINES}\n\n".replace("\n", "\r\n"),
    "envelope": json.dumps({"result": document()}),
    "lines of envelopes": "\n".join(json.dumps({"result": document([s])}) for s in SPANS),
    "array of documents": json.dumps([document([span]) for span in SPANS]),
    "snake case": in_snake_case(WHOLE),
    "upper-case ids": changed(WHOLE, write=str.upper),
    "base64 ids": changed(WHOLE, write=in_base64),
    "numbers as numbers": re.sub(r'Nano": "(\d+)"', r'Nano": \1', WHOLE),
    "integer attribute as a number": WHOLE.replace('"9007199254740993"', "9007199254740993"),
    "enum names": ENUM_NAMES,
    "old scopes": WHOLE.replace("scopeSpans", "instrumentationLibrarySpans"),
    "byte order mark": "\ufeff" + WHOLE,
    "unknown fields": WHOLE.replace('"name": "root"', '"name": "root", "future": [{"a": 1}]'),
    "parent of zeros": WHOLE.replace(
        '"name": "root"', f'"name": "root", "parentSpanId": "{"0" * 16}"'
    ),
    "null parent": WHOLE.replace('"name": "root"', '"name": "root", "parentSpanId": null'),
    "null lists": WHOLE.replace('"name": "root"', '"name": "root", "links": null, "events": null'),
    "null status": WHOLE.replace('"status": {}', '"status": null'),
    "root first": json.dumps(document([SPANS[2], *SPANS[:2]])),
    "every span twice": json.dumps(document([*SPANS, *SPANS])),
}


def facts(trace: SpanTable) -> list[tuple[object, ...]]:
    """Collect everything that a trace holds about its spans."""
    return [
        (
            trace.span_ids[row],
            trace.names[row],
            int(trace.start[row]),
            int(trace.end[row]),
            int(trace.parent[row]),
            int(trace.kind[row]),
            int(trace.status[row]),
            trace.attributes(row),
            list(trace.events(row)),
            list(trace.links(row)),
        )
        for row in range(len(trace))
    ]


def test_the_reference_is_what_it_says() -> None:
    (trace,) = parse(WHOLE.encode(), "the document")
    assert trace.trace_id == TRACE_ID
    assert trace.names == ("root", "child", "later")
    assert list(trace.start - START) == [0, 10, 30]
    assert list(trace.end - START) == [50, 20, 40]
    assert list(trace.parent) == [-1, 0, 0]
    assert list(trace.kind) == [1, 3, 1]
    assert list(trace.status) == [0, 2, 0]
    assert trace.attributes(1) == {
        "text": 'a "quoted" trace_id',
        "number": 9007199254740993,
        "ratio": 0.25,
        "yes": True,
        "list": [1, 2],
        "map": {"a": None},
    }
    (event,) = trace.events(1)
    assert (event.name, event.time_ns) == ("retry", START + 15)
    (link,) = trace.links(1)
    assert (link.trace_id, link.span_id) == (TRACE_ID, LATER)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_is_the_same_trace(shape: str) -> None:
    (reference,) = parse(WHOLE.encode(), "reference")
    (trace,) = parse(SHAPES[shape].encode(), shape)
    assert trace.trace_id == TRACE_ID
    assert trace.flaws == ()
    assert facts(trace) == facts(reference)


def test_several_traces_in_a_file() -> None:
    other = LINES.replace(TRACE_ID, "f" * 32)
    traces = parse(f"{LINES}\n{other}".encode(), "two")
    assert [trace.trace_id for trace in traces] == [TRACE_ID, "f" * 32]
    assert [len(trace) for trace in traces] == [3, 3]


def test_parts_in_several_files(tmp_path: Path) -> None:
    paths = []
    for number, line in enumerate(LINES.splitlines()):
        paths.append(tmp_path / f"{number}.json")
        paths[-1].write_text(line)
    (reference,) = parse(WHOLE.encode(), "reference")
    (trace,) = read(*reversed(paths))
    assert facts(trace) == facts(reference)


def test_of_two_versions_the_ended_one_counts() -> None:
    unended = {key: value for key, value in SPANS[1].items() if key != "endTimeUnixNano"}
    for spans in ([unended, *SPANS], [*SPANS, unended]):
        (trace,) = parse(json.dumps(document(spans)).encode(), "both")
        assert trace.end[2] == START + 40
        assert trace.repeated == 1
        assert trace.flaws == ()


def test_two_spans_with_one_id_are_a_flaw() -> None:
    other = {**SPANS[1], "name": "somebody else"}
    (trace,) = parse(json.dumps(document([*SPANS, other])).encode(), "both")
    assert trace.flaws == (f"Two different spans have the id {LATER}.",)


def jaeger_span(span: dict[str, Any]) -> dict[str, Any]:
    start, end = int(span["startTimeUnixNano"]), int(span["endTimeUnixNano"])
    tags: list[dict[str, Any]] = [{"key": "span.kind", "type": "string", "value": "client"}] * (
        span["kind"] == 3
    )
    tags += [{"key": "error", "type": "bool", "value": True}] * (
        "message" in span.get("status", {})
    )
    parent = {"refType": "CHILD_OF", "traceID": TRACE_ID, "spanID": span.get("parentSpanId")}
    follows = {"refType": "FOLLOWS_FROM", "traceID": TRACE_ID, "spanID": LATER}
    return {
        "traceID": TRACE_ID,
        "spanID": span["spanId"],
        "operationName": span["name"],
        "references": [parent] * ("parentSpanId" in span) + [follows] * ("links" in span),
        "startTime": start // 1000,
        "duration": (end - start) // 1000,
        "tags": tags,
        "logs": [
            {
                "timestamp": START // 1000,
                "fields": [{"key": "event", "type": "string", "value": "retry"}],
            }
        ]
        * ("events" in span),
        "processID": "p1",
        "warnings": None,
    }


@pytest.mark.parametrize("wrapped", [True, False])
def test_jaegers_own_json(wrapped: bool) -> None:
    slower = [
        {
            **span,
            "startTimeUnixNano": str(START + (int(span["startTimeUnixNano"]) - START) * 1000),
            "endTimeUnixNano": str(START + (int(span["endTimeUnixNano"]) - START) * 1000),
        }
        for span in SPANS
    ]
    jaeger_trace = {"traceID": TRACE_ID, "spans": [jaeger_span(s) for s in slower], "processes": {}}
    text = json.dumps({"data": [jaeger_trace], "errors": None} if wrapped else jaeger_trace)
    (trace,) = parse(text.encode(), "Jaeger's")
    assert trace.names == ("root", "child", "later")
    assert list((trace.start - START // 1000 * 1000) // 1000) == [0, 10, 30]
    assert list(trace.duration // 1000) == [50, 10, 10]
    assert list(trace.parent) == [-1, 0, 0]
    assert trace.kind[1] == 3
    assert list(trace.status) == [0, 2, 0]
    assert [event.name for event in trace.events(1)] == ["retry"]
    assert [link.span_id for link in trace.links(1)] == [LATER]
