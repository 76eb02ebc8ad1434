"""Traces sent to a real Jaeger and read back: by id, the newest, in a window, when complete."""

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.jaeger_process import JaegerProcess
from tests.patience import PATIENCE_S
from trading_graph.otel.errors import TraceError
from trading_graph.otel.sources.in_memory import from_spans
from trading_graph.otel.sources.jaeger_query import JaegerQuery
from trading_graph.otel.trace import semconv
from trading_graph.otel.verdict import completeness

pytestmark = pytest.mark.jaeger


class Backend:
    """Records small runs and sends them to Jaeger."""

    def __init__(self, jaeger: JaegerProcess) -> None:
        self.service = f"service-{time.time_ns()}"
        self._memory = InMemorySpanExporter()
        provider = TracerProvider(resource=Resource({"service.name": self.service}))
        provider.add_span_processor(SimpleSpanProcessor(self._memory))
        self._tracer = provider.get_tracer("test")
        self.exporter = OTLPSpanExporter(f"{jaeger.otlp_http_url}/v1/traces")

    def run(self) -> list[ReadableSpan]:
        """A run of three spans that declares them."""
        attributes: dict[str, str | int] = {
            "gen_ai.operation.name": "invoke_workflow",
            semconv.SPANS_STARTED: 3,
        }
        with self._tracer.start_as_current_span("invoke_workflow w", attributes=attributes):
            for name in ("one", "two"):
                with self._tracer.start_as_current_span(name):
                    pass
        spans = list(self._memory.get_finished_spans())
        self._memory.clear()
        return spans

    def detached(self) -> list[ReadableSpan]:
        attributes = {semconv.OPERATION: semconv.DETACHED}
        with self._tracer.start_as_current_span("revalidate bars", attributes=attributes):
            pass
        spans = list(self._memory.get_finished_spans())
        self._memory.clear()
        return spans


@pytest.fixture
def backend(jaeger: JaegerProcess) -> Iterator[Backend]:
    backend = Backend(jaeger)
    yield backend
    backend.exporter.shutdown()


@pytest.fixture
def query(jaeger: JaegerProcess) -> JaegerQuery:
    return JaegerQuery(jaeger.query_url)


def test_by_id_nothing_is_lost(backend: Backend, query: JaegerQuery) -> None:
    spans = backend.run()
    backend.exporter.export(spans)
    (here,) = from_spans(spans)
    there = query.complete(here.trace_id)
    assert there is not None
    assert (there.span_ids, there.names) == (here.span_ids, here.names)
    assert list(there.start) == list(here.start)
    assert list(there.end) == list(here.end)
    assert list(there.parent) == list(here.parent)
    upper = query.trace(here.trace_id.upper())
    assert upper is None or upper.trace_id == here.trace_id


def test_an_unknown_id_is_none(query: JaegerQuery) -> None:
    assert query.trace("0123456789abcdef" * 2) is None
    assert query.complete("0123456789abcdef" * 2, timeout_s=0.1) is None


def test_the_newest_of_a_service(backend: Backend, query: JaegerQuery) -> None:
    assert query.newest(backend.service) is None
    ids = []
    for _ in range(2):
        spans = backend.run()
        backend.exporter.export(spans)
        (trace,) = from_spans(spans)
        assert query.complete(trace.trace_id) is not None
        ids.append(trace.trace_id)
    aside = backend.detached()
    backend.exporter.export(aside)
    (trace,) = from_spans(aside)
    assert query.complete(trace.trace_id, timeout_s=1) is not None
    newest = query.newest(backend.service)
    assert newest is not None
    assert newest.trace_id == ids[-1], "what a run set off beside itself is no run"
    assert backend.service in query.services()
    now = datetime.now(UTC)
    traces = query.search(backend.service, now - timedelta(minutes=5), now + timedelta(minutes=1))
    assert [each.trace_id for each in traces] == [trace.trace_id, *ids[::-1]]
    long_ago = now - timedelta(days=30)
    assert query.search(backend.service, long_ago, long_ago + timedelta(days=1)) == []


def test_a_trace_is_waited_for_until_its_count_is_there(
    backend: Backend, query: JaegerQuery
) -> None:
    spans = backend.run()
    backend.exporter.export(spans[1:])  # the root, and one of two
    (whole,) = from_spans(spans)

    def send_the_rest() -> None:
        time.sleep(0.5)
        backend.exporter.export(spans[:1])

    late = threading.Thread(target=send_the_rest)
    late.start()
    trace = query.complete(whole.trace_id)
    late.join()
    assert trace is not None
    assert len(trace) == 3
    assert completeness(trace).exact


def test_the_wait_is_bounded_and_gives_what_there_is(backend: Backend, query: JaegerQuery) -> None:
    spans = backend.run()
    backend.exporter.export(spans[1:])
    (whole,) = from_spans(spans)
    trace = query.complete(whole.trace_id, timeout_s=1)
    assert trace is not None
    assert len(trace) == 2
    assert not completeness(trace).complete


def test_spans_that_are_sent_twice_count_once(backend: Backend, query: JaegerQuery) -> None:
    spans = backend.run()
    backend.exporter.export(spans)
    backend.exporter.export(spans)
    (whole,) = from_spans(spans)
    deadline = time.monotonic() + PATIENCE_S
    while True:
        trace = query.trace(whole.trace_id)
        if (trace is not None and trace.repeated) or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    assert trace is not None
    assert len(trace) == 3
    assert completeness(trace).exact


def test_an_error_names_the_address() -> None:
    with pytest.raises(TraceError, match=r"127\.0\.0\.1:9"):
        JaegerQuery("http://127.0.0.1:9").services()
