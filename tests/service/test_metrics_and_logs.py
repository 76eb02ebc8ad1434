"""Metrics and log records over OTLP: they say what the trace says, and cost nothing."""

import asyncio
import logging
import re
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import HistogramDataPoint, Metric

from tests.jaeger_process import free_ports
from tests.otlp_receiver import OtlpReceiver
from trading_graph.otel.errors import ExporterSettingsError
from trading_graph.otel.export import set_up
from trading_graph.otel.export.metrics import SpanMetrics
from trading_graph.otel.export.otlp import TIMEOUT_S
from trading_graph.otel.sources import read
from trading_graph.otel.trace import SpanTable, semconv
from trading_graph.service.cli import main
from trading_graph.service.run.monitoring import RunMetrics
from trading_graph.toolkit.embedded_server import make_app
from trading_graph.toolkit.loopback import LoopbackServer
from trading_graph.toolkit.pool import HttpPool

BOTH = {"OTEL_METRICS_EXPORTER": "otlp", "OTEL_LOGS_EXPORTER": "otlp"}
QUICK = {"TRADING_GRAPH_CHAT_LATENCY_S": "0.06", "TRADING_GRAPH_FETCH_LATENCY_S": "0.02"}


def run(**env: str) -> Result:
    return CliRunner().invoke(main, ["run", "AAPL", "--offline"], env={**QUICK, **env})


def the_trace(workdir: Path) -> SpanTable:
    (file,) = workdir.glob("runs/*/trace.jsonl")
    (trace,) = read(file)
    return trace


def values(attributes: Any) -> dict[str, object]:
    pairs: list[KeyValue] = list(attributes)
    return {pair.key: getattr(pair.value, str(pair.value.WhichOneof("value"))) for pair in pairs}


def by(metric: Metric, *names: str) -> dict[tuple[object, ...], HistogramDataPoint]:
    """The points of a histogram by the values of these attributes; there must be no other."""
    points = {}
    for point in metric.histogram.data_points:
        found = values(point.attributes)
        assert set(found) <= set(names), found
        points[tuple(found.get(name) for name in names)] = point
    return points


def durations(trace: SpanTable, prefix: str, *names: str) -> dict[tuple[object, ...], list[float]]:
    """The durations in seconds of the spans of one kind, by the values of these attributes."""
    found: dict[tuple[object, ...], list[float]] = {}
    for row in trace.rows(prefix):
        attributes = trace.attributes(row)
        key = tuple(attributes.get(name) for name in names)
        found.setdefault(key, []).append((trace.end[row] - trace.start[row]) / 1e9)
    return found


@pytest.fixture
def measured(workdir: Path) -> tuple[OtlpReceiver, SpanTable]:
    """One offline run whose every signal goes to one receiver."""
    receiver = OtlpReceiver()
    with receiver.served() as url:
        done = run(OTEL_EXPORTER_OTLP_ENDPOINT=url, OTEL_RESOURCE_ATTRIBUTES="team=desk", **BOTH)
    assert done.exit_code == 0, done.output
    assert receiver.paths == {"/v1/traces", "/v1/metrics", "/v1/logs"}
    return receiver, the_trace(workdir)


CALL = (
    semconv.OPERATION_NAME,
    semconv.PROVIDER_NAME,
    semconv.REQUEST_MODEL,
    semconv.RESPONSE_MODEL,
)


def test_metrics_say_what_the_trace_says(measured: tuple[OtlpReceiver, SpanTable]) -> None:
    receiver, trace = measured
    for metric, prefix, names in (
        ("gen_ai.client.operation.duration", "chat ", CALL),
        ("gen_ai.invoke_agent.duration", "invoke_agent ", (semconv.AGENT_NAME,)),
        (
            "gen_ai.execute_tool.duration",
            "execute_tool ",
            (semconv.TOOL_NAME, semconv.TOOL_TYPE),
        ),
        ("gen_ai.invoke_workflow.duration", "invoke_workflow ", (semconv.WORKFLOW_NAME,)),
        ("trading.fetch.duration", "fetch ", (semconv.SOURCE,)),
    ):
        points, spans = by(receiver.metrics[metric], *names), durations(trace, prefix, *names)
        assert receiver.metrics[metric].unit == "s"
        assert {key: point.count for key, point in points.items()} == {
            key: len(each) for key, each in spans.items()
        }, metric
        for key, each in spans.items():
            assert points[key].sum == pytest.approx(sum(each)), (metric, key)

    chats = [trace.attributes(row) for row in trace.rows("chat ")]
    tokens = by(receiver.metrics["gen_ai.client.token.usage"], *CALL, semconv.TOKEN_TYPE)
    for token_type, name in (
        ("input", semconv.USAGE_INPUT_TOKENS),
        ("output", semconv.USAGE_OUTPUT_TOKENS),
    ):
        counted = sum(point.sum for key, point in tokens.items() if key[-1] == token_type)
        assert counted == sum(chat[name] for chat in chats) > 0
    first = by(receiver.metrics["gen_ai.client.operation.time_to_first_chunk"], *CALL).values()
    assert sum(point.sum for point in first) == pytest.approx(
        sum(chat[semconv.RESPONSE_TIME_TO_FIRST_CHUNK] for chat in chats)
    )

    results = Counter[object]()
    for number in receiver.metrics["trading.cache.results"].sum.data_points:
        results[values(number.attributes)[semconv.CACHE]] += number.as_int
    gets = [trace.attributes(row).get(semconv.CACHE) for row in range(len(trace))]
    assert results == Counter(get for get in gets if get)
    assert {"miss", "shared"} <= results.keys()

    waits = by(receiver.metrics["trading.pool.queue_wait"], semconv.POOL_REUSED)
    assert sum(point.count for point in waits.values()) == len(trace.rows("GET"))


def test_the_example_of_a_measure_is_its_span(measured: tuple[OtlpReceiver, SpanTable]) -> None:
    receiver, trace = measured
    (point,) = receiver.metrics["gen_ai.invoke_workflow.duration"].histogram.data_points
    (example,) = point.exemplars
    assert example.trace_id.hex() == trace.trace_id
    (root,) = trace.roots
    assert example.span_id.hex() == trace.span_ids[root]


def test_the_last_metrics_tell_what_became_of_the_last_spans(
    measured: tuple[OtlpReceiver, SpanTable],
) -> None:
    receiver, trace = measured
    exported = {
        values(point.attributes).get(semconv.ERROR_TYPE): point.as_int
        for point in receiver.metrics["otel.sdk.exporter.span.exported"].sum.data_points
    }
    assert exported == {None: len(trace), "spooled": 0, "lost": 0}
    assert len(receiver.names) == len(trace)


def test_the_resource_is_the_same_for_every_signal(
    measured: tuple[OtlpReceiver, SpanTable],
) -> None:
    receiver, _ = measured
    described = [values(resource.attributes) for resource in receiver.resources]
    assert described[0]["service.name"] == "trading-graph"
    assert described[0]["team"] == "desk"
    assert all(each == described[0] for each in described)


def test_no_attribute_of_a_metric_tells_one_run_from_another(
    measured: tuple[OtlpReceiver, SpanTable],
) -> None:
    receiver, trace = measured
    told = " ".join(str(metric) for metric in receiver.metrics.values())
    for high in ("AAPL", trace.trace_id, "2025-11-14", "call_"):
        assert high not in told


def test_log_records_name_the_span_that_they_are_about(
    measured: tuple[OtlpReceiver, SpanTable], workdir: Path
) -> None:
    receiver, trace = measured
    agents = {
        trace.span_ids[row]: str(trace.attributes(row)[semconv.AGENT_NAME])
        for row in trace.rows("invoke_agent ")
    }
    starts = [record for record in receiver.logs if " START: " in record.body.string_value]
    assert len(starts) == len(agents) == 12
    for record in starts:
        assert record.trace_id.hex() == trace.trace_id
        assert f" {agents[record.span_id.hex()]} " in record.body.string_value
        assert record.severity_text == "INFO"

    lines = (workdir / "logs/trading_graph.log").read_text().splitlines()
    in_file = [
        match.group(1, 2)
        for line in lines
        if (match := re.search(rf"INFO \[{trace.trace_id}:([0-9a-f]{{16}})\] (.*)", line))
    ]
    sent = [(record.span_id.hex(), record.body.string_value) for record in receiver.logs]
    assert sorted(in_file) == sorted(sent)
    assert len(sent) == 25, "a start and an end of each agent, and the total"


def test_a_line_belongs_to_the_span_in_which_it_is_logged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    receiver = OtlpReceiver()
    with receiver.served() as url:
        for name, value in {**BOTH, "OTEL_EXPORTER_OTLP_ENDPOINT": url}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("PLANTED_TOKEN", "planted-4711")
        telemetry = set_up("logs", "1")
        log = logging.getLogger("somewhere")
        with telemetry.logs.attach():
            with telemetry.provider.get_tracer("test").start_as_current_span("around") as span:
                try:
                    raise ValueError("about planted-4711")
                except ValueError:
                    log.exception("failed with %s", "planted-4711")
            log.warning("outside")
        log.warning("afterwards")
        assert telemetry.shutdown(timeout_s=10)
    failed, outside = receiver.logs
    assert failed.span_id.hex() == f"{span.get_span_context().span_id:016x}"
    assert failed.body.string_value == "failed with [redacted]"
    assert values(failed.attributes) == {"exception.type": "ValueError"}
    assert (outside.body.string_value, outside.span_id) == ("outside", b"")
    assert b"planted-4711" not in b"".join(receiver.bodies)


def test_nothing_is_sent_unless_it_is_asked_for(workdir: Path) -> None:
    receiver = OtlpReceiver()
    with receiver.served() as url:
        assert run(OTEL_EXPORTER_OTLP_ENDPOINT=url).exit_code == 0
    assert receiver.paths == {"/v1/traces"}


def test_each_signal_has_a_place_of_its_own(workdir: Path) -> None:
    common, metrics, logs = OtlpReceiver(), OtlpReceiver(), OtlpReceiver()
    with common.served() as url, metrics.served() as metrics_url, logs.served() as logs_url:
        done = run(
            OTEL_EXPORTER_OTLP_ENDPOINT=url,
            OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=f"{metrics_url}/m/metrics",
            OTEL_EXPORTER_OTLP_LOGS_ENDPOINT=f"{logs_url}/l/logs",
            **BOTH,
        )
    assert done.exit_code == 0, done.output
    assert (common.paths, metrics.paths, logs.paths) == (
        {"/v1/traces"},
        {"/m/metrics"},
        {"/l/logs"},
    )


@pytest.mark.parametrize("signal", ["TRACES", "METRICS", "LOGS"])
def test_another_exporter_is_refused(workdir: Path, signal: str) -> None:
    done = run(**{f"OTEL_{signal}_EXPORTER": "prometheus"})
    assert done.exit_code == 2
    assert f"OTEL_{signal}_EXPORTER=prometheus is not known here; use otlp or none." in done.stderr
    assert not (workdir / "runs").exists()


@pytest.mark.parametrize("signal", ["METRICS", "LOGS"])
def test_an_unknown_protocol_is_refused(monkeypatch: pytest.MonkeyPatch, signal: str) -> None:
    monkeypatch.setenv(f"OTEL_{signal}_EXPORTER", "otlp")
    monkeypatch.setenv(f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL", "http/json")
    with pytest.raises(ExporterSettingsError, match="http/json is not known here"):
        set_up("metrics-test", "1")


@pytest.mark.parametrize("failure", ["refused", "404", "503", "hangs"])
def test_a_backend_that_fails_costs_one_line_and_no_time(
    monkeypatch: pytest.MonkeyPatch, workdir: Path, failure: str
) -> None:
    """Spans go to a backend that is well; what fails with metrics and logs does not touch them."""
    well, failing = OtlpReceiver(), OtlpReceiver()
    failing.status = int(failure) if failure.isdecimal() else 200
    if failure == "hangs":
        failing.released.clear()
    with well.served() as well_url, failing.served() as url:
        if failure == "refused":
            url = f"http://127.0.0.1:{free_ports(1)[0]}"
        done = run(
            OTEL_EXPORTER_OTLP_ENDPOINT=url,
            OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=f"{well_url}/v1/traces",
            OTEL_METRIC_EXPORT_INTERVAL="50",
            OTEL_BLRP_SCHEDULE_DELAY="50",
            **BOTH,
        )
    assert done.exit_code == 0, done.output
    trace = the_trace(workdir)
    assert len(well.names) == len(trace)
    (root,) = trace.roots
    took_s = (trace.end[root] - trace.start[root]) / 1e9
    assert took_s < TIMEOUT_S, "the run has waited for no exporter"
    assert "take metrics" not in done.output
    said = (workdir / "logs/trading_graph.log").read_text()
    assert said.count("does not take metrics") == 1
    assert said.count("does not take log records") <= 1
    assert said.count(" WARNING ") + said.count(" ERROR ") <= 2


def test_shutting_down_never_waits_for_one_that_hangs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    receiver = OtlpReceiver()
    receiver.released.clear()
    with receiver.served() as url:
        for name, value in {**BOTH, "OTEL_EXPORTER_OTLP_ENDPOINT": url}.items():
            monkeypatch.setenv(name, value)
        timeout_s = 30
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", str(timeout_s))
        telemetry = set_up("hung", "1")
        telemetry.metrics.meter.create_counter("counted").add(1)
        telemetry.provider.get_tracer("test").start_span("ended").end()
        with telemetry.logs.attach():
            logging.getLogger("somewhere").warning("said")
        started = time.monotonic()
        assert not telemetry.shutdown(timeout_s=1)
        assert time.monotonic() - started < timeout_s / 2


def test_a_disabled_sdk_sends_nothing(workdir: Path) -> None:
    receiver = OtlpReceiver()
    with receiver.served() as url:
        done = run(OTEL_EXPORTER_OTLP_ENDPOINT=url, OTEL_SDK_DISABLED="true", **BOTH)
    assert done.exit_code == 0, done.output
    assert receiver.paths == set()


def test_failures_and_made_up_names_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    from trading_graph.otel import spans

    receiver = OtlpReceiver()
    with receiver.served() as url:
        monkeypatch.setenv("OTEL_METRICS_EXPORTER", "otlp")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        telemetry = set_up("failures", "1")

        async def recorded() -> None:
            async with spans.run("t", provider=telemetry.provider, attributes={}) as run:
                run.recording.listen(SpanMetrics(telemetry.metrics.meter, {"get_prices"}))
                for name in ("get_prices", "made_up_1", "made_up_2"):
                    with (
                        pytest.raises(LookupError),
                        spans.tool(name, call_id="1", args_hash="1", turn=1),
                    ):
                        raise LookupError("nothing")

        asyncio.run(recorded())
        assert telemetry.shutdown(timeout_s=10)
    points = by(
        receiver.metrics["gen_ai.execute_tool.duration"],
        semconv.TOOL_NAME,
        semconv.TOOL_TYPE,
        semconv.ERROR_TYPE,
    )
    assert {key: point.count for key, point in points.items()} == {
        ("get_prices", "function", "LookupError"): 1,
        ("_OTHER", "function", "LookupError"): 2,
    }


def gauges(receiver: OtlpReceiver) -> dict[object, int]:
    found = {
        values(point.attributes)["http.connection.state"]: point.as_int
        for point in receiver.metrics["trading.pool.connections"].gauge.data_points
    }
    (waiting,) = receiver.metrics["trading.pool.waiting"].gauge.data_points
    return {**found, "waiting": waiting.as_int}


def test_gauges_of_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    receiver = OtlpReceiver()
    with receiver.served() as url, LoopbackServer(lambda: make_app(latency_s=0.5)) as data:
        monkeypatch.setenv("OTEL_METRICS_EXPORTER", "otlp")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        telemetry = set_up("pool", "1")
        metrics = RunMetrics(telemetry.metrics.meter)

        async def now() -> dict[object, int]:
            assert await asyncio.to_thread(telemetry.metrics.flush, 10)
            return gauges(receiver)

        async def watched() -> None:
            async with HttpPool(limit_per_host=2) as pool:
                with metrics.watching(pool):
                    assert await now() == {"active": 0, "idle": 0, "waiting": 0}
                    asked = [asyncio.create_task(pool.get_bytes(chart)) for _ in range(3)]
                    await asyncio.sleep(0.1)
                    assert await now() == {"active": 2, "idle": 0, "waiting": 1}
                    await asyncio.gather(*asked)
                    assert await now() == {"active": 0, "idle": 2, "waiting": 0}
                assert await now() == {"active": 0, "idle": 0, "waiting": 0}

        chart = (
            f"{data.url}/v8/finance/chart/AAPL?period1=1700000000&period2=1763000000&interval=1d"
        )
        asyncio.run(watched())
        assert telemetry.shutdown(timeout_s=10)
