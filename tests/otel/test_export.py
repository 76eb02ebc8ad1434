"""Sending spans: over HTTP or gRPC, as the standard variables say, and to each backend alone."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.jaeger_process import JaegerProcess, free_ports
from tests.otlp_receiver import OtlpReceiver
from trading_graph.otel.errors import ExporterSettingsError
from trading_graph.otel.export import LangSmithTarget, set_up
from trading_graph.otel.sources.jaeger_query import JaegerQuery
from trading_graph.service.cli import main


def send(monkeypatch: pytest.MonkeyPatch, env: dict[str, str]) -> tuple[str, int, int]:
    """Send one span; return its trace id, the number delivered and the number lost."""
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    telemetry = set_up("export-test", "1")
    with telemetry.provider.get_tracer("test").start_as_current_span("sent") as span:
        trace_id = f"{span.get_span_context().trace_id:032x}"
    assert telemetry.shutdown(timeout_s=10)
    (delivery,) = telemetry.deliveries
    return trace_id, delivery.delivered, delivery.lost


@pytest.mark.jaeger
@pytest.mark.parametrize(
    ("name", "protocol"),
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "gRPC"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
    ],
)
def test_the_protocol_is_the_one_that_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, jaeger: JaegerProcess, name: str, protocol: str
) -> None:
    grpc = protocol.lower() == "grpc"
    # Each port speaks one protocol only: a span that arrives was sent by the right one.
    endpoint = jaeger.otlp_grpc_url if grpc else jaeger.otlp_http_url
    trace_id, delivered, losses = send(
        monkeypatch, {name: protocol, "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}
    )
    assert (delivered, losses) == (1, 0)
    trace = JaegerQuery(jaeger.query_url).complete(trace_id)
    assert trace is not None
    assert trace.names == ("sent",)


def test_the_variable_for_traces_outranks_the_common_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (port,) = free_ports(1)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")
    env = {
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
    }
    assert send(monkeypatch, env)[1:] == (0, 1), "nobody listens, and that is counted"


def test_an_unknown_protocol_is_refused(monkeypatch: pytest.MonkeyPatch, workdir: Path) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")
    with pytest.raises(
        ExporterSettingsError, match="http/json is not known here; use http/protobuf"
    ):
        set_up("export-test", "1")
    result = CliRunner().invoke(main, ["run", "AAPL", "--offline"])
    assert result.exit_code == 2
    assert "OTEL_EXPORTER_OTLP_PROTOCOL=http/json is not known" in result.stderr
    assert not (workdir / "runs").exists()


def test_each_backend_gets_every_span_and_its_own_headers_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    jaeger, langsmith = OtlpReceiver(), OtlpReceiver()
    with jaeger.served() as jaeger_url, langsmith.served() as langsmith_url:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", jaeger_url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=jaegers-secret")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "x-tenant=jaegers-tenant")
        before = dict(os.environ)
        telemetry = set_up("t", "1", LangSmithTarget(langsmith_url, "langsmiths-key", "trading"))
        assert dict(os.environ) == before, "the variables are there again"
        telemetry.provider.get_tracer("test").start_span("sent").end()
        assert telemetry.shutdown(timeout_s=10)
    assert jaeger.names == langsmith.names == ["sent"]
    assert [(each.backend, each.delivered) for each in telemetry.deliveries] == [
        ("Jaeger", 1),
        ("LangSmith", 1),
    ]
    (theirs,), (ours,) = langsmith.headers, jaeger.headers
    assert theirs["x-api-key"] == "langsmiths-key"
    assert theirs["langsmith-project"] == "trading"
    assert "jaegers" not in str(theirs)
    assert ours["x-tenant"] == "jaegers-tenant"
    assert "langsmith" not in str(ours).lower()


def test_a_backend_that_hangs_does_not_delay_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    jaeger, langsmith = OtlpReceiver(), OtlpReceiver()
    jaeger.released.clear()
    with jaeger.served() as jaeger_url, langsmith.served() as langsmith_url:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", jaeger_url)
        telemetry = set_up("t", "1", LangSmithTarget(langsmith_url, "key", "trading"))
        telemetry.provider.get_tracer("test").start_span("sent").end()
        assert not telemetry.flush(timeout_s=1), "Jaeger hangs, and flush says so"
        assert langsmith.names == ["sent"], "before Jaeger has answered"
        jaeger.released.set()
        assert telemetry.shutdown(timeout_s=10)
