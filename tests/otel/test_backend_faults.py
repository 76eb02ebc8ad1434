"""Backends that fail: no span is lost or stored twice, and nobody waits."""

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.jaeger_process import JaegerProcess, JaegerServer
from tests.otlp_receiver import OtlpReceiver
from trading_graph.otel import spans
from trading_graph.otel.export import (
    JAEGER,
    LangSmithTarget,
    Replay,
    Telemetry,
    TraceFile,
    jaeger_exporter,
    set_up,
    spool_of,
)
from trading_graph.otel.files.sdk_spans import from_lines
from trading_graph.otel.sources.jaeger_query import JaegerQuery

SPANS = 40


def telemetry_to(
    monkeypatch: pytest.MonkeyPatch, url: str, spool: Path, langsmith: str | None = None
) -> Telemetry:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    target = LangSmithTarget(langsmith, "key", "trading") if langsmith else None
    return set_up("faults", "1", target, spool=spool)


def record(
    telemetry: Telemetry,
    *,
    count: int = SPANS,
    file: Path | None = None,
    halfway: Callable[[], object] = lambda: None,
) -> str:
    """Record a run of spans and shut down; return its trace id."""
    return asyncio.run(_record(telemetry, count, file, halfway))


async def _record(
    telemetry: Telemetry, count: int, file: Path | None, halfway: Callable[[], object]
) -> str:
    async with spans.run("faults", provider=telemetry.provider, attributes={}) as run:
        trace_file = await asyncio.to_thread(TraceFile, file, telemetry.redactor) if file else None
        if trace_file:
            run.recording.listen(trace_file)
        for number in range(count - 1):
            if number == count // 2:
                await asyncio.to_thread(telemetry.flush)
                await asyncio.to_thread(halfway)
            with spans.open_span(f"step {number}"):
                pass
    if trace_file:
        await asyncio.to_thread(trace_file.close)
    await asyncio.to_thread(telemetry.shutdown)
    assert run.trace_id
    return run.trace_id


def replay_to(jaeger: JaegerProcess) -> Replay:
    query = JaegerQuery(jaeger.query_url)

    def look_up(trace_id: str) -> tuple[str, ...]:
        trace = query.trace(trace_id)
        return trace.span_ids if trace else ()

    return Replay(jaeger_exporter(10), look_up)


def spans_in(jaeger: JaegerProcess, trace_id: str) -> tuple[int, int]:
    """Count the spans of a trace in Jaeger, and those that it has twice."""
    trace = JaegerQuery(jaeger.query_url).complete(trace_id, timeout_s=5)
    return (len(trace), trace.repeated) if trace else (0, 0)


def hang(receiver: OtlpReceiver) -> None:
    receiver.released.clear()


def slow(receiver: OtlpReceiver) -> None:
    receiver.delay_s = 3.0  # longer than a batch may take, although Jaeger has it at once


def answers(status: int) -> Callable[[OtlpReceiver], None]:
    def fault(receiver: OtlpReceiver) -> None:
        receiver.status = status

    return fault


@pytest.mark.jaeger
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(hang, id="hangs"),
        pytest.param(slow, id="slow"),
        pytest.param(answers(429), id="429"),
        pytest.param(answers(503), id="503"),
        pytest.param(answers(400), id="400"),
    ],
)
def test_every_span_is_there_once_after_a_replay(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    jaeger: JaegerProcess,
    caplog: pytest.LogCaptureFixture,
    fault: Callable[[OtlpReceiver], None],
) -> None:
    front = OtlpReceiver(forward=jaeger.otlp_http_url)
    with front.served() as url:
        telemetry = telemetry_to(monkeypatch, url, tmp_path)
        trace_id = record(telemetry, halfway=lambda: fault(front))
        (delivery,) = telemetry.deliveries
        assert 0 < delivery.delivered < SPANS, "the first half"
        assert delivery.delivered + delivery.spooled == SPANS
        assert delivery.lost == 0
        warnings = [each for each in caplog.records if each.levelno >= logging.WARNING]
        assert len(warnings) == 1, "one line, however many batches"
        front.status, front.delay_s = 200, 0.0
        front.released.set()
        spool = spool_of(tmp_path, JAEGER)
        results = list(replay_to(jaeger).spool(spool))
        assert sum(each.sent + each.present for each in results) == delivery.spooled
        if fault is slow:
            assert sum(each.present for each in results), "a batch that was given up on had arrived"
        assert spool.batches() == []
    assert spans_in(jaeger, trace_id) == (SPANS, 0)


@pytest.mark.jaeger
def test_a_jaeger_that_is_down_from_the_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, jaeger_factory: Callable[[], JaegerServer]
) -> None:
    server = jaeger_factory()
    place = server.start()
    server.stop()
    telemetry = telemetry_to(monkeypatch, place.otlp_http_url, tmp_path)
    trace_id = record(telemetry)
    assert telemetry.deliveries[0].spooled == SPANS
    place = server.start()
    for each in replay_to(place).spool(spool_of(tmp_path, JAEGER)):
        assert each.sent
    assert spans_in(place, trace_id) == (SPANS, 0)


@pytest.mark.jaeger
def test_a_jaeger_that_is_killed_and_restarted_has_all_of_a_runs_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, jaeger_factory: Callable[[], JaegerServer]
) -> None:
    """Jaeger loses what it held in memory; the run's file restores it, and no span twice."""
    server = jaeger_factory()
    place = server.start()
    telemetry = telemetry_to(monkeypatch, place.otlp_http_url, tmp_path)
    file = tmp_path / "trace.jsonl"
    trace_id = record(telemetry, file=file, halfway=server.restart)
    there, _ = spans_in(place, trace_id)
    assert there < SPANS
    file_spans = from_lines(file.read_bytes(), "file")
    results = list(replay_to(place).spans(file_spans))
    assert sum(each.present for each in results) == there
    assert spans_in(place, trace_id) == (SPANS, 0)


@pytest.mark.jaeger
def test_a_burst(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, jaeger: JaegerProcess) -> None:
    telemetry = telemetry_to(monkeypatch, jaeger.otlp_http_url, tmp_path)
    trace_id = record(telemetry, count=10_000)
    for _ in replay_to(jaeger).spool(spool_of(tmp_path, JAEGER)):
        pass
    assert telemetry.deliveries[0].lost == 0
    assert spans_in(jaeger, trace_id) == (10_000, 0)


def test_a_hanging_langsmith_costs_jaeger_nothing_and_loses_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    jaeger, langsmith = OtlpReceiver(), OtlpReceiver()
    langsmith.released.clear()
    with jaeger.served() as url, langsmith.served() as langsmith_url:
        telemetry = telemetry_to(monkeypatch, url, tmp_path, langsmith_url)
        record(telemetry)
        assert len(jaeger.names) == SPANS
    ours, theirs = telemetry.deliveries
    assert (ours.delivered, ours.spooled) == (SPANS, 0)
    assert (theirs.delivered, theirs.spooled) == (0, SPANS)
    assert spool_of(tmp_path, "LangSmith").spans == SPANS


def test_a_spool_that_cannot_be_written_is_counted_and_said_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spool = tmp_path / "spool"
    spool.write_text("no folder")
    front = OtlpReceiver()
    front.status = 503
    with front.served() as url:
        telemetry = telemetry_to(monkeypatch, url, spool)
        record(telemetry)
    assert telemetry.deliveries[0].lost == SPANS
    (warning,) = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert "cannot be kept" in warning.message


def test_the_exit_waits_for_a_hanging_backend_no_longer_than_it_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    front = OtlpReceiver()
    front.released.clear()
    with front.served() as url:
        telemetry = telemetry_to(monkeypatch, url, tmp_path)
        telemetry.provider.get_tracer("t").start_span("s").end()
        told_s = 0.4
        before = time.monotonic()
        assert not telemetry.shutdown(told_s)
        assert time.monotonic() - before < 2 * told_s
    assert spool_of(tmp_path, JAEGER).spans == 1
