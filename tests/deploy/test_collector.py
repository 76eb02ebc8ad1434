"""deploy/collector.yml and its configuration: both backends get every span, and only their own key.

The contrib collector itself is not here; Jaeger's binary is a collector without the disk queue. So
everything of the configuration but `file_storage` runs for real.
"""

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from ruamel.yaml import YAML

from tests.jaeger_process import JaegerProcess, binary_or_skip, free_ports
from tests.otlp_receiver import OtlpReceiver
from tests.patience import PATIENCE_S
from trading_graph.otel.sources.jaeger_query import JaegerQuery

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
KEY = "ls-key-of-the-collector"


def loaded(name: str) -> dict[str, Any]:
    found = YAML(typ="safe").load(DEPLOY / name)
    assert isinstance(found, dict)
    return found


def test_what_the_configuration_needs_is_given_to_the_container() -> None:
    needed = set(re.findall(r"\$\{env:(\w+)\}", (DEPLOY / "otel-collector.yaml").read_text()))
    collector = loaded("collector.yml")["services"]["collector"]
    assert needed == set(collector["environment"])
    assert ":?" in collector["environment"]["LANGSMITH_API_KEY"], "without a key it does not start"
    assert "./otel-collector.yaml:/etc/otel-collector.yaml:ro" in collector["volumes"]
    assert collector["command"] == ["--config=/etc/otel-collector.yaml"]


def test_the_queue_of_each_exporter_is_on_the_mounted_volume() -> None:
    config = loaded("otel-collector.yaml")
    assert config["service"]["extensions"] == ["file_storage"]
    for name, exporter in config["exporters"].items():
        assert exporter["sending_queue"]["storage"] == "file_storage", name
        assert exporter["retry_on_failure"]["max_elapsed_time"] == "0s", name
    folder = config["extensions"]["file_storage"]["directory"]
    volumes = loaded("collector.yml")["services"]["collector"]["volumes"]
    mounted = [volume.split(":")[1] for volume in volumes]
    assert any(folder.startswith(f"{path}/") for path in mounted)


def test_every_port_is_on_loopback_and_taken_once() -> None:
    services = loaded("collector.yml")["services"]
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert sorted(port.split(":")[1] for port in ports) == ["16686", "4317", "4318"]
    assert services["jaeger"]["image"] == loaded("jaeger.yml")["services"]["jaeger"]["image"]


def until(holds: Callable[[], bool], within_s: float = PATIENCE_S) -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


@contextmanager
def collecting(folder: Path, jaeger: JaegerProcess, langsmith_url: str) -> Iterator[str]:
    """Run the configuration without its disk queue; gives the OTLP base URL."""
    config = loaded("otel-collector.yaml")
    del config["extensions"]["file_storage"]
    config["service"] |= {"extensions": [], "telemetry": {"metrics": {"level": "none"}}}
    for exporter in config["exporters"].values():
        del exporter["sending_queue"]["storage"]
        exporter["retry_on_failure"]["initial_interval"] = "50ms"
    config["exporters"]["otlp/jaeger"]["endpoint"] = jaeger.otlp_grpc_url.removeprefix("http://")
    grpc, http = free_ports(2)
    protocols = config["receivers"]["otlp"]["protocols"]
    protocols["grpc"]["endpoint"] = f"127.0.0.1:{grpc}"
    protocols["http"]["endpoint"] = f"127.0.0.1:{http}"
    path = folder / "collector.yaml"
    YAML(typ="safe").dump(config, path)
    environment = {
        **os.environ,
        "LANGSMITH_API_KEY": KEY,
        "LANGSMITH_ENDPOINT": langsmith_url,
        "LANGSMITH_PROJECT": "trading",
    }
    with (folder / "collector.log").open("wb") as log:
        process = subprocess.Popen(
            [str(binary_or_skip()), "--config", str(path)], stdout=log, stderr=log, env=environment
        )
    try:
        yield f"http://127.0.0.1:{http}"
    finally:
        process.terminate()
        process.wait(timeout=PATIENCE_S)


@pytest.mark.jaeger
def test_both_backends_get_every_span_and_langsmith_alone_its_key(
    tmp_path: Path, jaeger: JaegerProcess
) -> None:
    langsmith = OtlpReceiver()
    langsmith.status = 503
    with langsmith.served() as langsmith_url, collecting(tmp_path, jaeger, langsmith_url) as url:
        until(lambda: "Everything is ready" in (tmp_path / "collector.log").read_text())
        provider = TracerProvider()
        exporter = OTLPSpanExporter(f"{url}/v1/traces", headers={"authorization": "app-secret"})
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        with provider.get_tracer("test").start_as_current_span("collected") as span:
            trace_id = f"{span.get_span_context().trace_id:032x}"
        provider.shutdown()
        until(lambda: JaegerQuery(jaeger.query_url).trace(trace_id) is not None)
        until(lambda: bool(langsmith.headers))
        assert langsmith.names == [], "it was down"
        langsmith.status = 200
        until(lambda: langsmith.names == ["collected"])
    assert langsmith.paths == {"/otel/v1/traces"}
    for headers in langsmith.headers:
        assert headers["x-api-key"] == KEY
        assert headers["langsmith-project"] == "trading"
        assert "app-secret" not in str(headers)
    assert KEY not in (tmp_path / "collector.log").read_text()
