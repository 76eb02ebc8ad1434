"""Secrets are redacted by value and by pattern, in texts and on spans; other text stays."""

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, SpanContext, Status, StatusCode, TraceFlags

from trading_graph.otel.export.span_redaction import SpanRedactor
from trading_graph.otel.redaction import REDACTED, Redactor

PLAIN = Redactor(environment={})


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("key sk-proj-abcDEF1234567890xyz refused", "sk-proj-abcDEF1234567890xyz"),
        ("lsv2_pt_0123456789abcdef_99", "lsv2_pt_0123456789abcdef_99"),
        ("Authorization: Bearer abc.DEF-123456", "abc.DEF-123456"),
        ("headers={'authorization': 'Basic dXNlcjpwYXNz'}", "dXNlcjpwYXNz"),
        ("Cookie: A3=d=AQAB; B=secret-crumb", "secret-crumb"),
        ("{'set-cookie': 'session=4711abc; Path=/'}", "4711abc"),
        ("https://user:hunter22@example.org/v1", "hunter22"),
        ("GET https://example.org/q?symbol=NVDA&crumb=abCd12", "abCd12"),
        ("/v8/chart?apikey=abcd", "abcd"),
        ("password=hunter22 failed", "hunter22"),
        ('{"api_key": "0123abcd"}', "0123abcd"),
        ("x-api-key: 0123abcd", "0123abcd"),
        ("AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLE"),
        ("ghp_0123456789abcdefghijABCDEFGHIJ", "ghp_0123456789abcdefghijABCDEFGHIJ"),
        ("Authorization: Bearer TOKEN-abc123", "TOKEN-abc123"),
        ("Authorization: Bearer TOKEN.abc123", "TOKEN.abc123"),
        ("Authorization: Bearer TOKEN, Cookie: A3=d", "A3=d"),
        ("Authorization: Bearer token.", "token"),
        ("authorization=Basic TOKEN1", "TOKEN1"),
        ("postgresql://user:password@db/trading", "user:password"),
        ("postgresql://USER:PASSWORD1@db/trading", "PASSWORD1"),
        ("eyJhbGciOi.eyJzdWIiOi.SflKxwRJSM", "SflKxwRJSM"),
    ],
)
def test_a_secret_is_known_by_its_look(text: str, secret: str) -> None:
    redacted = PLAIN.text(text)
    assert secret not in redacted
    assert REDACTED in redacted


@pytest.mark.parametrize(
    "text",
    [
        "This needs a token; send it as Authorization: Bearer TOKEN.",
        "claude mcp add --header 'Bearer TOKEN'",
        "give one as postgresql://USER:PASSWORD@HOST:5432/NAME",
        "NVDA at 190.17, stop 180.2; why? because earnings=up",
        "market_analyst: 1,204 tokens in, 88 out",
        "risk-taking asks whether the key figure holds",
        "Was token use high? 5 of 6 calls",
        "http://localhost:16686/trace/019a9b1c2d3e7f40a1b2c3d4e5f60718",
        "⏱️ market_analyst START: 1763100000.123",
        "secretary bird, cookies and credentials of a CFO",
        "task-force-and-other-long-names-with-hyphens",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert PLAIN.text(text) == text


def test_a_secret_is_known_by_its_value_wherever_it_stands() -> None:
    redactor = Redactor(
        ["settings-value"],
        environment={
            "MY_API_KEY": "value.of(a)key",
            "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "x-tenant=tenant-one, authorization=Bearer%20b17",
            "DB_PASSWORD": "pw",
            "HOME": "/home/trader",
        },
    )
    text = "settings-value value.of(a)key tenant-one Bearer b17 pw /home/trader"
    assert redactor.text(text) == (f"{REDACTED} {REDACTED} {REDACTED} {REDACTED} pw /home/trader")


def test_a_key_that_begins_as_another_is_gone_whole() -> None:
    redactor = Redactor(["abcdef", "abcdef-ghi"], environment={})
    assert redactor.text("abcdef-ghi abcdef") == f"{REDACTED} {REDACTED}"


def test_every_text_of_a_span_is_redacted_and_the_rest_is_as_it_was() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource({"r": "planted-1"}), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    link = Link(SpanContext(1, 2, is_remote=False, trace_flags=TraceFlags(1)), {"l": "planted-1"})
    with provider.get_tracer("t").start_as_current_span("GET planted-1", links=[link]) as span:
        span.set_attributes({"a": "planted-1", "n": 1, "list": ["planted-1", "b"]})
        span.set_attribute("map", {"deep": ["planted-1"], "password": "short", "n": 1})
        span.set_attribute("http.request.header.authorization", ["anything"])
        span.add_event("e", {"e": "planted-1"})
        span.set_status(Status(StatusCode.ERROR, "planted-1"))
    (original,) = exporter.get_finished_spans()
    (redacted,) = SpanRedactor(Redactor(["planted-1"], environment={})).redact([original])
    assert "planted-1" not in redacted.to_json()
    assert redacted.attributes == {
        "a": REDACTED,
        "n": 1,
        "list": (REDACTED, "b"),
        "map": {"deep": (REDACTED,), "password": REDACTED, "n": 1},
        "http.request.header.authorization": (REDACTED,),
    }
    assert (redacted.start_time, redacted.end_time) == (original.start_time, original.end_time)
    assert redacted.get_span_context() == original.get_span_context()


def test_a_span_without_a_secret_is_the_same_object() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with provider.get_tracer("t").start_as_current_span("s", attributes={"a": ["b"]}) as span:
        span.add_event("e", {"k": "v"})
    (original,) = exporter.get_finished_spans()
    assert SpanRedactor(PLAIN).redact([original]) == [original]
    assert SpanRedactor(PLAIN).redact([original])[0] is original
