"""How spans are sent: over HTTP or gRPC, by the standard variables."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from otel.errors import BadExporterSettings
from otel.export import set_up
from otel.sources.jaeger import JaegerQuery
from service.cli import main
from tests.jaeger_process import JaegerProcess, free_ports


def sent(monkeypatch: pytest.MonkeyPatch, env: dict[str, str]) -> tuple[str, int, int]:
    """Send one span; gives its trace id and what was delivered and what was not."""
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    telemetry = set_up("export-test", "1")
    assert telemetry.jaeger is not None
    with telemetry.provider.get_tracer("test").start_as_current_span("sent") as span:
        trace_id = f"{span.get_span_context().trace_id:032x}"
    assert telemetry.shutdown(timeout_s=10)
    delivery = telemetry.jaeger.delivery
    return trace_id, delivery.delivered, delivery.failed


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
    # Each port speaks its own protocol only, so that what arrives was sent by the right one.
    endpoint = jaeger.otlp_grpc_url if grpc else jaeger.otlp_http_url
    trace_id, delivered, failed = sent(
        monkeypatch, {name: protocol, "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}
    )
    assert (delivered, failed) == (1, 0)
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
    assert sent(monkeypatch, env)[1:] == (0, 1), "nobody listens, and that is counted"


def test_an_unknown_protocol_is_refused(monkeypatch: pytest.MonkeyPatch, workdir: Path) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")
    with pytest.raises(BadExporterSettings, match="http/json is not known here; use http/protobuf"):
        set_up("export-test", "1")
    done = CliRunner().invoke(main, ["run", "AAPL", "--offline"])
    assert done.exit_code == 2
    assert "OTEL_EXPORTER_OTLP_PROTOCOL=http/json is not known" in done.stderr
    assert not (workdir / "runs").exists()
