"""deploy/otel-collector-by-trace.yaml: several services share the traces, and each gets whole ones.

Jaeger's binary stands in for the contrib collector; it is one without the disk queue.
"""

import asyncio
import contextlib
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from ruamel.yaml import YAML

from tests.jaeger_process import binary_or_skip, free_ports
from tests.patience import PATIENCE_S
from tests.service.server.open_service import opened
from tests.service.server.otlp_client import files, message, root, span, verdict
from tests.service.server.raw_http import GUARDED, TOKEN

CONFIG = Path(__file__).resolve().parents[2] / "deploy" / "otel-collector-by-trace.yaml"
TRACES = range(0x100, 0x120)


def write_config(path: Path) -> int:
    """Write the configuration without its disk queue; gives the port of OTLP over HTTP."""
    config = YAML(typ="safe").load(CONFIG)
    del config["extensions"]
    config["service"] |= {"extensions": [], "telemetry": {"metrics": {"level": "none"}}}
    for exporter in config["exporters"].values():
        del exporter["sending_queue"]["storage"]
    grpc, http = free_ports(2)
    protocols = config["receivers"]["otlp"]["protocols"]
    protocols["grpc"]["endpoint"] = f"127.0.0.1:{grpc}"
    protocols["http"]["endpoint"] = f"127.0.0.1:{http}"
    YAML(typ="safe").dump(config, path)
    return http


@contextlib.asynccontextmanager
async def collecting(folder: Path, one: str, two: str) -> AsyncIterator[str]:
    """Run the configuration; gives the OTLP base URL."""
    path, log = folder / "collector.yaml", folder / "collector.log"
    port = await asyncio.to_thread(write_config, path)
    output = await asyncio.to_thread(log.open, "wb")
    process = await asyncio.create_subprocess_exec(
        str(await asyncio.to_thread(binary_or_skip)),
        *("--config", str(path)),
        stdout=subprocess.DEVNULL,
        stderr=output,
        env={**os.environ, "SERVICE_ONE": one, "SERVICE_TWO": two, "SERVICE_TOKEN": TOKEN},
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                if "Everything is ready" in await asyncio.to_thread(log.read_text):
                    break
                await asyncio.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()
        output.close()


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """A folder for each service."""
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
    return folders


@pytest.mark.full
@pytest.mark.jaeger
async def test_each_trace_is_whole_at_one_service(tmp_path: Path, folders: list[Path]) -> None:
    low = {trace for trace in TRACES if trace % 16 < 8}
    one, two = (opened(folder, begun=False, **GUARDED) for folder in folders)
    async with (
        one as first,
        two as second,
        collecting(tmp_path, first.url, second.url) as url,
        aiohttp.ClientSession(url) as http,
    ):
        for number in (1, 2, 3):  # the spans of each trace come one by one
            spans = [
                root(declared=3, trace=trace) if number == 1 else span(number, 1, trace)
                for trace in TRACES
            ]
            async with http.post("/v1/traces", json=message(*spans)) as answer:
                assert answer.status == 200, await answer.text()
        for service in (first, second):
            service.http.headers["Authorization"] = f"Bearer {TOKEN}"
        for trace in TRACES:
            await verdict(first if trace in low else second, f"{trace:032x}")
    kept = [await files(folder) for folder in folders]
    assert [{int(trace, 16) for trace in each} for each in kept] == [low, set(TRACES) - low]
    assert {len(spans) for each in kept for spans in each.values()} == {3}
