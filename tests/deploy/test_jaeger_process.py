"""The Jaeger that tests start: a span goes in over OTLP and comes back over the query API."""

import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

from tests import jaeger_process
from tests.jaeger_process import JaegerProcess, JaegerServer

pytestmark = pytest.mark.jaeger

TRACE_ID = "5b0c6d1f27e84f0b9d0a7e3c4f816e52"  # no other test's: they share a Jaeger
START_NS = 1_763_164_800_000_000_001


def send_span(jaeger: JaegerProcess, trace_id: str) -> None:
    """POST one span as OTLP JSON."""
    span = {
        "traceId": trace_id,
        "spanId": "b7ad6b7169203331",
        "name": "fetch yahoo_chart",
        "kind": 1,
        "startTimeUnixNano": str(START_NS),
        "endTimeUnixNano": str(START_NS + 7),
    }
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "test"}}]}
    body = {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [span]}]}]}
    request = urllib.request.Request(
        f"{jaeger.otlp_http_url}/v1/traces",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=5) as answer:
        assert answer.status == 200


def ask(jaeger: JaegerProcess, trace_id: str) -> tuple[int, dict[str, Any]]:
    """Ask once for a trace, by both spellings of the parameter."""
    url = f"{jaeger.query_url}/api/v3/traces/{trace_id}?rawTraces=true&raw_traces=true"
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def read_back(jaeger: JaegerProcess, trace_id: str) -> dict[str, Any]:
    """Ask until the trace is searchable."""
    deadline = time.monotonic() + 10
    while True:
        status, answer = ask(jaeger, trace_id)
        if status == 200 or time.monotonic() > deadline:
            assert status == 200, answer
            return answer
        time.sleep(0.05)


@pytest.mark.smoke
def test_a_span_sent_over_otlp_comes_back_to_the_nanosecond(jaeger: JaegerProcess) -> None:
    send_span(jaeger, TRACE_ID)
    answer = read_back(jaeger, TRACE_ID)
    [resource] = answer["result"]["resourceSpans"]
    [span] = resource["scopeSpans"][0]["spans"]
    assert (span["traceId"], span["name"]) == (TRACE_ID, "fetch yahoo_chart")
    assert int(span["startTimeUnixNano"]) == START_NS
    assert int(span["endTimeUnixNano"]) == START_NS + 7


def test_an_unknown_trace_is_404(jaeger: JaegerProcess) -> None:
    status, answer = ask(jaeger, "f" * 32)
    assert status == 404
    assert answer["error"]["httpCode"] == 404


def test_a_restarted_jaeger_has_the_same_addresses_and_an_empty_memory(
    jaeger: JaegerProcess, jaeger_factory: Callable[[], JaegerServer]
) -> None:
    server = jaeger_factory()
    first = server.start()
    assert first.query_url != jaeger.query_url
    send_span(first, TRACE_ID)
    read_back(first, TRACE_ID)
    server.stop()
    assert not server.running
    with pytest.raises(urllib.error.URLError, match="refused"):
        ask(first, TRACE_ID)
    second = server.start()
    assert (second.query_url, second.otlp_http_url) == (first.query_url, first.otlp_http_url)
    assert second.pid != first.pid
    assert ask(second, TRACE_ID)[0] == 404


def test_a_jaeger_that_cannot_start_says_why(jaeger_factory: Callable[[], JaegerServer]) -> None:
    server = jaeger_factory()
    server._config.write_text("nonsense: true\n")
    with pytest.raises(RuntimeError, match="nonsense"):
        server.start()


def test_a_missing_binary_skips_unless_one_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jaeger_process, "NAMED", os.devnull)
    monkeypatch.setattr(jaeger_process, "REQUIRED", False)
    with pytest.raises(pytest.skip.Exception, match="JAEGER_BIN"):
        jaeger_process.binary_or_skip()
    monkeypatch.setattr(jaeger_process, "REQUIRED", True)
    with pytest.raises(pytest.fail.Exception, match="TRADING_GRAPH_REQUIRE_JAEGER"):
        jaeger_process.binary_or_skip()
