"""Input that is not a trace, or a broken one: the error is always a TraceError of one sentence."""

import json
import os
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.otel.sources.test_shapes import CHILD, LINES, ROOT, SPANS, TRACE_ID, WHOLE, document
from trading_graph.graph.gate_loader import own_gate
from trading_graph.otel.errors import TraceError
from trading_graph.otel.sources import parse, read
from trading_graph.otel.sources.jaeger_query import JaegerQuery
from trading_graph.otel.trace import SpanTable
from trading_graph.otel.verdict import judge


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"  \n ", "is empty"),
        (WHOLE[:200].encode(), "is cut off"),
        (WHOLE[:-1].encode(), "is cut off"),
        (b"\x00\xff\xfe\x80" * 50, "is no trace that can be read"),
        (b"<html><body>Welcome</body></html>", "is no trace that can be read"),
        (b"[1, 2]", "is no trace that can be read"),
        (b'"text"', "is no trace that can be read"),
        (b'{"resourceSpans": [{"scopeSpans": 7}]}', "is no trace that can be read"),
        (WHOLE.replace(f'"{ROOT}"', "7").encode(), "is no trace that can be read"),
        (WHOLE.replace('"kind": 1', '"kind": 900').encode(), "is no trace that can be read"),
        (WHOLE.replace('Nano": "1', 'Nano": "-1').encode(), "is no trace that can be read"),
        (WHOLE.replace('Nano": "1', 'Nano": "99999999').encode(), "is no trace that can be read"),
        (f"{LINES}\nnonsense\n{LINES}".encode(), "line 4"),
        (b"{bad", r"line 1 is not JSON: object keys must be strings \(column 2\)"),
        (b'{"a": 1,\n "b": bad}', "line 2 is not JSON: "),
        (b'{"resourceSpans": [],\n\n bad}', r"line 3 is not JSON: .* \(column 2\)"),
        (b'[{"a": 1}, bad]', "line 1 is not JSON: "),
        (b'{"a": 1}\n{"b": 2}', "it is JSON with the fields 'a', which is no format"),
        (b'[INFO] started\n{"a": 1}', "it is JSON with the fields 'a', which is no format"),
        (b'{"result":' * 100_000 + b"{}" + b"}" * 100_000, "nested too deeply"),
        (b"[" * 100_000 + b"]" * 100_000, "o"),
    ],
)
def test_what_is_no_trace_is_one_sentence(content: bytes, says: str) -> None:
    with pytest.raises(TraceError, match=says) as raised:
        parse(content, "trace.json")
    sentence = str(raised.value)
    assert sentence.startswith("trace.json")
    assert "\n" not in sentence
    assert len(sentence) < 300


@pytest.mark.parametrize("content", [b"[]", b"{}", b'{"data": null}', b'{"resourceSpans": null}'])
def test_a_document_without_spans_has_no_trace(content: bytes) -> None:
    assert parse(content, "empty") == []


def test_two_gigabytes_are_refused_without_reading_them(tmp_path: Path) -> None:
    path = tmp_path / "huge.json"
    path.touch()
    os.truncate(path, 2 * 2**30)
    with pytest.raises(TraceError, match=r"too large \(2\.0 GiB; at most 1 GiB is read\)"):
        read(path)


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(TraceError, match="cannot be read"):
            read(path)


def missing(*spans: dict[str, Any]) -> str:
    """List what a trace of these spans lacks for a verdict."""
    (trace,) = parse(json.dumps(document(list(spans))).encode(), "broken")
    verdict = judge(trace, own_gate())
    assert not verdict.judged
    assert verdict.checks == ()
    assert all("\n" not in sentence for sentence in verdict.missing)
    return " ".join(verdict.missing)


CHILD_SPAN, LATER_SPAN, ROOT_SPAN = SPANS


def test_a_line_that_is_cut_off_leaves_no_verdict() -> None:
    """After a killed writer the complete lines are read, and the cut line is reported."""
    (trace,) = parse(f"{LINES}\n{WHOLE[:150]}".encode(), "trace.jsonl")
    assert len(trace) == 3
    verdict = judge(trace, own_gate())
    assert verdict.missing == ("The last line of trace.jsonl is cut off.",)


def test_spans_that_say_nothing_true() -> None:
    assert "no parent" in missing(ROOT_SPAN, {**LATER_SPAN, "parentSpanId": ""})
    assert "orphans" in missing(ROOT_SPAN, {**LATER_SPAN, "parentSpanId": "f" * 16})
    assert "root span is missing" in missing(CHILD_SPAN)
    backwards = {**LATER_SPAN, "endTimeUnixNano": LATER_SPAN["startTimeUnixNano"][:-2] + "00"}
    assert "end before they start" in missing(ROOT_SPAN, backwards)
    for never in ("0", 0):
        assert "have not ended" in missing(ROOT_SPAN, {**LATER_SPAN, "endTimeUnixNano": never})
        assert "no start time" in missing(ROOT_SPAN, {**LATER_SPAN, "startTimeUnixNano": never})


def test_parents_in_a_circle() -> None:
    in_circle = [
        {**LATER_SPAN, "parentSpanId": CHILD},
        {**CHILD_SPAN, "parentSpanId": "00f067aa0ba902b8"},
    ]
    assert "their parents form a circle" in missing(ROOT_SPAN, *in_circle)
    itself = {**LATER_SPAN, "parentSpanId": LATER_SPAN["spanId"]}
    assert "their parents form a circle" in missing(ROOT_SPAN, itself)


def test_attributes_that_are_none() -> None:
    text = json.dumps(document([{**ROOT_SPAN, "attributes": {"key": "value"}}]))
    with pytest.raises(TraceError, match=r"no trace that can be read .*spans\[0\].attributes"):
        parse(text.encode(), "wrong")


def test_events_that_are_none_are_found_when_they_are_asked_for() -> None:
    text = json.dumps(document([{**ROOT_SPAN, "events": {"name": "retry"}}]))
    (trace,) = parse(text.encode(), "lazy")
    with pytest.raises(TraceError, match=f"The events of span {ROOT} are not OTLP JSON"):
        judge(trace, own_gate())


class Answers:
    """The answer of a server, and the requests that it got."""

    def __init__(self) -> None:
        self.by_path: dict[str, tuple[int, str, bytes]] = {}
        self.default: tuple[int, str, bytes] = (404, "text/plain", b"")
        self.requests: list[str] = []


@pytest.fixture
def answers() -> Answers:
    return Answers()


@pytest.fixture
def query(answers: Answers) -> Iterator[JaegerQuery]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answers.requests.append(self.path)
            path = self.path.partition("?")[0]
            status, kind, body = answers.by_path.get(path, answers.default)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield JaegerQuery(f"http://127.0.0.1:{server.server_port}", timeout_s=5)
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ((200, "text/html; charset=utf-8", b"<html></html>"), "answers with a page"),
        ((500, "text/plain", b"broken"), "answered HTTP 500"),
        ((200, "application/json", WHOLE[:99].encode()), "is cut off"),
        ((200, "application/json", b"nonsense"), "no trace that can be read"),
    ],
)
def test_a_server_that_is_no_jaeger(
    answers: Answers, query: JaegerQuery, answer: tuple[int, str, bytes], says: str
) -> None:
    answers.default = answer
    with pytest.raises(TraceError, match=says) as raised:
        query.trace(TRACE_ID)
    assert "\n" not in str(raised.value)
    assert query.base_url in str(raised.value)


def test_nobody_and_nothing_there() -> None:
    with pytest.raises(TraceError, match="does not answer at"):
        JaegerQuery("http://127.0.0.1:9").trace(TRACE_ID)
    with pytest.raises(TraceError, match="no address"):
        JaegerQuery("localhost").trace(TRACE_ID)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        with pytest.raises(TraceError, match="does not answer at"):
            JaegerQuery(f"http://127.0.0.1:{port}", timeout_s=0.2).trace(TRACE_ID)


def test_where_the_new_path_is_missing_the_old_one_is_asked(
    answers: Answers, query: JaegerQuery
) -> None:
    assert query.trace(TRACE_ID) is None
    jaeger_trace = {"traceID": TRACE_ID, "spans": [{"traceID": TRACE_ID, "spanID": ROOT}]}
    old = (200, "application/json", json.dumps({"data": [jaeger_trace]}).encode())
    answers.by_path[f"/api/traces/{TRACE_ID}"] = old
    trace = query.trace(TRACE_ID)
    assert isinstance(trace, SpanTable)
    assert trace.span_ids == (ROOT,)


def test_a_search_speaks_both_spellings(answers: Answers, query: JaegerQuery) -> None:
    now = datetime(2025, 11, 14, tzinfo=UTC)
    assert query.search("our service", now, now) == []
    (request,) = answers.requests
    for name in (
        "query.service_name=",
        "query.serviceName=",
        "query.num_traces=",
        "query.searchDepth=",
    ):
        assert name in request
    assert "our+service" in request or "our%20service" in request
