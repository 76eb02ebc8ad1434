"""Retries: events, requests that say how often they were sent before, and answers 429."""

from collections.abc import Sequence
from typing import Any

import pytest

from tests.otel.verdict.drawn import BEGIN, MS, Drawn, drawn
from trading_graph.otel.diagnosis import Diagnosis, FindingKind, diagnose
from trading_graph.otel.trace import Event, SpanTable
from trading_graph.otel.verdict import CheckResult, Gate, Outcome, judge, measures

GATE = Gate.from_toml(
    """
    version = 1
    [sets.everything]
    name = ["*"]
    [[checks]]
    id = "errors"
    title = "No errors"
    relation = "no_errors"
    set = "everything"
    """,
    "the test's gate",
)


def request(
    span_id: str, start: int, end: int, resend: int = 0, status: int = 200, parent: str = "run"
) -> Drawn:
    said: dict[str, Any] = {"http.request.method": "GET", "http.response.status_code": status}
    return (
        span_id,
        parent,
        start,
        end,
        said | ({"http.request.resend_count": resend} if resend else {}),
    )


def trace(*requests: Drawn, failed: tuple[str, ...] = ()) -> SpanTable:
    names = {each[0]: "GET" for each in requests}
    return drawn(("run", "", 0, 1000, {}), *requests, failed=failed, names=names)


def errors(of: SpanTable) -> CheckResult:
    (result,) = judge(of, GATE).checks
    return result


def retries(of: SpanTable) -> int:
    return measures(of, of.roots[0]).retries


@pytest.mark.parametrize(
    ("resends", "expected"),
    [
        ((0, 0, 0), 0),
        ((0, 1, 2), 2),  # one request, sent three times, a span each
        ((3,), 3),  # one span holds all attempts
        ((0, 1, 0, 1), 2),  # two requests, one resend each
        ((0, 3), 3),
    ],
)
def test_resends_count_once_however_they_are_recorded(
    resends: tuple[int, ...], expected: int
) -> None:
    found = trace(*(request(f"r{n}", 100 * n, 100 * n + 90, c) for n, c in enumerate(resends)))
    assert retries(found) == expected
    assert errors(found).outcome is (Outcome.FAIL if expected else Outcome.PASS)


def test_what_follows_a_redirect_is_no_retry() -> None:
    moved = trace(request("a", 0, 90, status=302), request("b", 100, 200, 1))
    refused = trace(request("a", 0, 90, status=503), request("b", 100, 200, 1))
    assert (retries(moved), retries(refused)) == (0, 1)
    assert errors(moved).outcome is Outcome.PASS


def test_too_many_requests_are_named_and_counted_once_on_their_way_up() -> None:
    tool: Drawn = (
        "t",
        "run",
        0,
        100,
        {"gen_ai.operation.name": "execute_tool", "http.status_code": 429},
    )
    found = trace(
        tool,
        request("a", 0, 90, status=429, parent="t"),
        request("b", 200, 290, status=429),
        request("c", 300, 390, 1, status=429),
        request("d", 400, 490, 2),
        failed=("t", "a", "b", "c"),
    )
    measured = errors(found).measured
    assert "3 answers were 429 Too Many Requests" in measured
    one = trace(request("a", 0, 90, status=429), failed=("a",))
    assert "1 answer was 429" in errors(one).measured
    other = trace(request("a", 0, 90, status=503), failed=("a",))
    assert "429" not in errors(other).measured


def call(*said: dict[str, Any], below: Sequence[Drawn] = ()) -> SpanTable:
    """An LLM call of 900 ms that holds all attempts; what each of its retries says."""
    events = [
        Event("retry", BEGIN + (300 + 100 * number) * MS, {"attempt": number + 1, **each})
        for number, each in enumerate(said)
    ]
    chat: Drawn = ("c", "run", 0, 900, {"gen_ai.operation.name": "chat"})
    return drawn(("run", "", 0, 1000, {}), chat, *below, events={"c": events})


@pytest.mark.parametrize(
    ("said", "times"),
    [
        ({"error.type": "RateLimitError"}, 1),
        ({"error.type": "openai.RateLimitError"}, 1),
        ({"error.type": "429"}, 1),
        ({"http.response.status_code": 429}, 1),
        ({"error.type": "RateLimitError", "http.response.status_code": 503}, 0),
        ({"error.type": "TimeoutError"}, 0),
        ({}, 0),
    ],
)
def test_a_429_that_only_a_retry_says_is_named(said: dict[str, Any], times: int) -> None:
    found = call(said, {"error.type": "TimeoutError"})
    evidence = finding(found).evidence
    for text in (errors(found).measured, evidence):
        assert ("1 answer was 429" in text) == bool(times)
    assert retries(found) == 2


def test_each_retry_after_a_429_counts_unless_a_span_of_the_attempt_said_so() -> None:
    limited = {"error.type": "RateLimitError"}
    assert "2 answers were 429" in errors(call(limited, limited)).measured
    attempt = request("a", 0, 290, status=429, parent="c")
    assert "1 answer was 429" in finding(call(limited, below=[attempt])).evidence


def finding(of: SpanTable) -> Any:
    found = diagnose(of, GATE)
    assert isinstance(found, Diagnosis)
    return next((each for each in found.findings if each.kind is FindingKind.RETRIES), None)


def test_attempts_before_a_resend_are_a_finding_that_names_429() -> None:
    found = finding(trace(request("a", 0, 390, status=429), request("b", 400, 1000, 1)))
    assert found is not None
    assert "1 answer was 429 Too Many Requests" in found.evidence
    assert [span.id for span in found.spans] == ["a"]
    assert found.gain.high_s >= 0.39
    assert found.gain.low_s == 0


def test_a_span_that_holds_all_attempts_is_a_finding_too() -> None:
    found = finding(trace(request("a", 0, 1000, 3)))
    assert found is not None
    assert found.gain.likely_s == pytest.approx(0.75)
    assert found.only_if
    assert finding(trace(request("a", 0, 1000))) is None
