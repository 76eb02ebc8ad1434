"""What telemetry costs: CPU on the caller's thread, CPU of all of it in a run, memory of the queue.

    python tests/bench/bench_telemetry.py [--spans 5000] [--rounds 7]

The spans have ten attributes. The bare SDK has the same exporters: its batch processors, one over
HTTP to a receiver in another process and one to a file. Rounds alternate, CPU times are compared
(not wall times, whose noise is larger), and the median of the rounds' ratios is what counts.
"""

import argparse
import asyncio
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

from opentelemetry.exporter.otlp.json.file.trace_exporter import FileSpanExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from trading_graph.graph.analysis import analyse, record_run
from trading_graph.graph.backend_choice import BackendChoice
from trading_graph.graph.backends import open_backends
from trading_graph.graph.options import Options
from trading_graph.otel import spans
from trading_graph.otel.export import TraceFile, set_up
from trading_graph.toolkit.as_of import AsOf

ATTRIBUTES = {f"bench.attribute_{number}": f"value {number}" for number in range(10)}
OPTIONS = Options(symbol="AAPL", as_of=AsOf.parse("2025-11-14"))
CHOICE = BackendChoice(None, "offline", chat_latency_s=0.8, fetch_latency_s=0.15)

RECEIVER = """
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200); self.send_header("content-length", "0"); self.end_headers()
    def log_message(self, *args): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


def bare(url: str, folder: Path, count: int) -> float:
    """CPU microseconds a span on the caller's thread, with the SDK alone."""
    provider = TracerProvider(shutdown_on_exit=False)
    exporters = (OTLPSpanExporter(f"{url}/v1/traces"), FileSpanExporter(folder / "bare.jsonl"))
    for exporter in exporters:
        queue = 4 * count
        provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=queue))
    tracer = provider.get_tracer("bench")
    with tracer.start_as_current_span("root"):
        before = time.thread_time_ns()
        for _ in range(count):
            with tracer.start_as_current_span("step", attributes=ATTRIBUTES):
                pass
        took = time.thread_time_ns() - before
    provider.shutdown()
    return took / count / 1e3


def ours(url: str, folder: Path, count: int) -> float:
    """CPU microseconds a span on the caller's thread, with everything that we add."""
    os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = url
    return asyncio.run(_ours(folder, count))


async def _ours(folder: Path, count: int) -> float:
    telemetry = set_up("bench", "0", spool=folder / "spool")
    file = await asyncio.to_thread(TraceFile, folder / "ours.jsonl", telemetry.redactor)
    async with spans.run("bench", provider=telemetry.provider, attributes={}) as run:
        run.recording.listen(file)
        before = time.thread_time_ns()
        for _ in range(count):
            with spans.open_span("step", attributes=ATTRIBUTES):
                pass
        took = time.thread_time_ns() - before
    await asyncio.to_thread(file.close)
    await asyncio.to_thread(telemetry.shutdown, 30)
    return took / count / 1e3


async def run_cpu(folder: Path) -> tuple[float, float]:
    """CPU and wall seconds of an offline run; OTEL_SDK_DISABLED says whether it is recorded."""
    telemetry = await asyncio.to_thread(set_up, "bench", "0", spool=folder / "spool")
    path = folder / f"{time.time_ns()}.jsonl"
    async with open_backends(CHOICE) as backends:
        before, began = time.process_time(), time.perf_counter()
        file = await asyncio.to_thread(TraceFile, path, telemetry.redactor)
        async with record_run(OPTIONS, backends, telemetry.provider) as run:
            run.recording.listen(file)
            await analyse(OPTIONS, backends, run)
        await asyncio.to_thread(file.close)
        await asyncio.to_thread(telemetry.shutdown)
        return time.process_time() - before, time.perf_counter() - began


def held(count: int) -> float:
    """Bytes a span in the queue, none being sent."""
    os.environ["OTEL_BSP_SCHEDULE_DELAY"] = "600000"
    os.environ["OTEL_BSP_MAX_EXPORT_BATCH_SIZE"] = str(10 * count)
    telemetry = set_up("bench", "0")
    tracer = telemetry.provider.get_tracer("bench")
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(count):
        values = {key: f"{value} {number}" for key, value in ATTRIBUTES.items()}
        with tracer.start_as_current_span("step", attributes=values):
            pass
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    os.environ["OTEL_BSP_SCHEDULE_DELAY"] = "500"
    del os.environ["OTEL_BSP_MAX_EXPORT_BATCH_SIZE"]
    telemetry.shutdown(0.1)
    return taken / count


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=7)
    asked = parser.parse_args()
    receiver = subprocess.Popen([sys.executable, "-c", RECEIVER], stdout=subprocess.PIPE, text=True)
    assert receiver.stdout is not None
    url = f"http://127.0.0.1:{int(receiver.stdout.readline())}"
    try:
        with tempfile.TemporaryDirectory() as name:
            _print(url, Path(name), asked.spans, asked.rounds)
    finally:
        receiver.kill()


def _print(url: str, folder: Path, count: int, rounds: int) -> None:
    measures: tuple[Callable[[str, Path, int], float], ...] = (bare, ours)
    pairs = [[measure(url, folder, count) for measure in measures] for _ in range(rounds)]
    sdk, mine = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(after / before for before, after in pairs)
    print(f"caller's thread, {count} spans of 10 attributes, {rounds} rounds:")
    print(f"  bare SDK {sdk:.1f} us, ours {mine:.1f} us a span, ratio {ratio:.2f} (bar 1.3)")
    print(f"memory: {held(count):.0f} bytes a span held (bar 4096)")
    asyncio.run(run_cpu(folder))  # imports and first uses
    differences, wall = [], 0.0
    for _ in range(rounds):
        os.environ["OTEL_SDK_DISABLED"] = "true"
        without, _ = asyncio.run(run_cpu(folder))
        del os.environ["OTEL_SDK_DISABLED"]
        recorded, wall = asyncio.run(run_cpu(folder))
        differences.append(recorded - without)
    cost = statistics.median(differences)
    print(f"a run: {cost * 1e3:.0f} ms of CPU for telemetry in {wall:.2f} s")
    print(f"  {cost / wall:.2%} of wall (bar 2 %), median of {rounds} pairs with and without")
    print(f"peak memory of the process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss} kB")


if __name__ == "__main__":
    main()
