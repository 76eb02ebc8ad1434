"""What the OTLP receiver takes: `PYTHONPATH=. python tests/bench/bench_receiver.py [PART]...`.

The service runs in a process of its own, and so does each judge; this process sends.

    rate      spans into verdicts on one core: CPU time of the service and its judge from the first
              request to the last verdict, against one process that reads and judges the same files;
              the bar is 0.6 of its spans a CPU second. Messages hold 512 spans, as exporters send
              by default, and then one trace each. One number of each span differs
    latency   from the answer to the last span of a trace to its verdict; the bar is 1 s
    overload  senders that never wait, for 20 s: what was taken, what was refused, resident memory
"""

import argparse
import asyncio
import base64
import collections
import contextlib
import os
import random
import re
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.bench.bench_verdict import write
from tests.bench.spans import TRACE_ID

PARTS = ("rate", "latency", "overload")
TRACES, SPANS, WARM = 1_000, 50, 100
DEFAULT_MESSAGE = 512 // SPANS
"""How many traces a message holds with the defaults of an SDK."""
SINGLE = 30
OVERLOAD_S = 20.0
OVERLOAD_TRACES = 10_000
CONNECTIONS = 4
CLOCK = os.sysconf("SC_CLK_TCK")
KIND = {"Content-Type": "application/x-protobuf"}
SERVE = [sys.executable, "-c", "from trading_graph.service.cli import main; main()", "serve"]


@contextlib.contextmanager
def service(folder: Path, *, cores: int | None = None) -> Iterator[tuple[str, int]]:
    """A service with its files in a folder, on so many cores; gives its address and process id."""
    usable = sorted(os.sched_getaffinity(0))[:cores]
    process = subprocess.Popen(
        ["taskset", "-c", ",".join(map(str, usable)), *SERVE, "--offline", "--port", "0"],
        cwd=folder,
        env={**os.environ, "OTEL_TRACES_EXPORTER": "none", "PYTHONPATH": str(Path.cwd())},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip(), process.pid
    finally:
        process.terminate()
        process.wait()


def bodies(folder: Path, count: int) -> list[bytes]:
    """Messages of one trace each, as an exporter sends them."""
    path = folder / "run.jsonl"
    write(path, "run", SPANS)
    message = ExportTraceServiceRequest()
    for line in path.read_text().splitlines():
        part = json_format.Parse(_ID.sub(_as_base64, line), ExportTraceServiceRequest())
        message.MergeFrom(part)
    whole = message.SerializeToString()
    trace_id = bytes.fromhex(TRACE_ID)
    assert whole.count(trace_id) >= SPANS
    ids = (number.to_bytes(16, "big") for number in range(1, count + 1))
    return [_varied(whole.replace(trace_id, each)) for each in ids]


_LAG = b"!" + struct.pack("<d", 1.2)
"""The lag of the event loop in protobuf, which a program measures anew for each span."""
_RANDOM = random.Random(1)


def _varied(message: bytes) -> bytes:
    """A message whose spans each measured another lag of the event loop."""
    first, *rest = message.split(_LAG)
    assert rest
    lags = (b"!" + struct.pack("<d", _RANDOM.uniform(0.1, 2)) for _ in rest)
    return first + b"".join(lag + part for lag, part in zip(lags, rest, strict=True))


_ID = re.compile(r'"(traceId|spanId|parentSpanId)":\s*"([0-9a-f]+)"')


def _as_base64(match: re.Match[str]) -> str:
    """An id in the JSON of protobuf, where that of OTLP has hexadecimal."""
    return f'"{match[1]}":"{base64.b64encode(bytes.fromhex(match[2])).decode()}"'


def processes(parent: int) -> list[int]:
    """A process and its children."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [parent, *map(int, children)]


def cpu_s(parent: int) -> float:
    """The CPU time of a process and its children so far."""
    ticks = 0
    for pid in processes(parent):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / CLOCK


def resident_mib(parent: int) -> float:
    """The resident memory of a process alone."""
    pages = int(Path(f"/proc/{parent}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


async def send(http: aiohttp.ClientSession, pending: list[bytes]) -> None:
    """Send bodies, one after the other; each has to be taken, at once or later."""
    while pending:
        body = pending.pop()
        while True:
            async with http.post("/v1/traces", data=body, headers=KIND) as answer:
                if answer.status == 200:
                    break
                assert answer.status == 429, await answer.text()
                await asyncio.sleep(int(answer.headers["Retry-After"]))


async def begun(http: aiohttp.ClientSession) -> None:
    """Wait until a service has loaded what makes runs, which costs CPU time of its own."""
    while True:
        async with http.get("/readyz") as answer:
            if (await answer.json()).get("begun"):
                return
        await asyncio.sleep(0.2)


async def all_judged(folder: Path, count: int) -> None:
    """Wait until as many traces are judged."""
    judged = folder / "runs" / "received" / "judged"
    while True:
        if await asyncio.to_thread(lambda: sum(1 for _ in judged.glob("*"))) >= count:
            return
        await asyncio.sleep(0.05)


async def rate(folder: Path) -> None:
    """Print spans a CPU second of the receiver, and of reading and judging alone."""
    for traces in (DEFAULT_MESSAGE, 1):
        below = folder / str(traces)
        await asyncio.to_thread(below.mkdir)
        await _rate(below, traces)


async def _rate(folder: Path, traces: int) -> None:
    """The same with so many traces in a message."""
    each = bodies(folder, TRACES + WARM)
    warm, pending = _joined(each[:WARM], traces), _joined(each[WARM:], traces)
    with service(folder, cores=1) as (url, pid):
        async with aiohttp.ClientSession(url) as http:
            await begun(http)
            await send(http, warm)
            await all_judged(folder, WARM)
            before, began = cpu_s(pid), time.perf_counter()
            await asyncio.gather(*(send(http, pending) for _ in range(CONNECTIONS)))
            sent = time.perf_counter() - began
            await all_judged(folder, TRACES + WARM)
            seconds, used = time.perf_counter() - began, cpu_s(pid) - before
    spans = TRACES * SPANS
    paths = sorted((folder / "runs" / "received" / "judged").glob("*"))[:TRACES]
    print(f"messages of {traces * SPANS} spans, {traces} traces each")
    print(f"  received and judged: {spans / used:,.0f} spans a CPU second ({used:.1f} s of CPU)")
    for with_document, what in ((False, "read and judged"), (True, "and printed as JSON")):
        alone = _judge_alone(paths, with_document)
        print(f"  {what} alone: {spans / alone:,.0f} a CPU second; ratio {alone / used:.2f}")
    print(f"  in {seconds:.1f} s; the last request was answered after {sent:.1f} s")


def _joined(messages: list[bytes], traces: int) -> list[bytes]:
    """Messages of so many traces; those of protobuf are put together one after the other."""
    starts = range(0, len(messages), traces)
    return [b"".join(messages[start : start + traces]) for start in starts]


def _judge_alone(paths: list[Path], with_document: bool) -> float:
    """The CPU time to read and judge files one after the other, in a process that is warm."""
    from trading_graph.graph.gate_loader import default_gate
    from trading_graph.otel.report import as_json
    from trading_graph.otel.sources import read
    from trading_graph.otel.verdict import judge

    begin = 0.0
    for number, path in enumerate([*paths[:WARM], *paths]):
        if number == WARM:
            begin = time.process_time()
        (trace,) = read(path)
        verdict = judge(trace, default_gate(trace))
        assert verdict.judged
        if with_document:
            as_json(verdict)
    return time.process_time() - begin


async def latency(folder: Path) -> None:
    """Print how long a trace takes from the last answer to its verdict."""
    waits = []
    with service(folder) as (url, _):
        async with aiohttp.ClientSession(url) as http:
            for number, body in enumerate(bodies(folder, SINGLE), 1):
                await send(http, [body])
                began = time.perf_counter()
                await _is_newest(http, f"{number:032x}")
                waits.append(time.perf_counter() - began)
                await asyncio.sleep(0.1)
    middle, most = statistics.median(waits[1:]), max(waits[1:])
    print(f"last span to verdict: {middle:.2f} s in the middle, {most:.2f} s at most of {SINGLE}")
    print(f"the first trace of a service that has just started: {waits[0]:.2f} s")


async def _is_newest(http: aiohttp.ClientSession, trace_id: str) -> None:
    """Wait until the verdict on a trace is the newest."""
    while True:
        async with http.get("/v1/verdicts?limit=1") as answer:
            if any(each["id"] == trace_id for each in (await answer.json())["verdicts"]):
                return
        await asyncio.sleep(0.03)


async def overload(folder: Path) -> None:
    """Print what a service does whose senders do not wait, and send again what was refused."""
    pending = _joined(bodies(folder, OVERLOAD_TRACES), DEFAULT_MESSAGE)
    statuses, waits, most = collections.Counter[int](), list[int](), 0.0
    with service(folder) as (url, pid):
        async with aiohttp.ClientSession(url) as http:
            await begun(http)
            before, end = resident_mib(pid), time.monotonic() + OVERLOAD_S

            async def hurry() -> None:
                while pending and time.monotonic() < end:
                    body = pending.pop()
                    async with http.post("/v1/traces", data=body, headers=KIND) as answer:
                        statuses[answer.status] += 1
                        if answer.status == 429:
                            waits.append(int(answer.headers["Retry-After"]))
                            pending.append(body)

            began = time.monotonic()
            senders = [asyncio.create_task(hurry()) for _ in range(32)]
            while not all(sender.done() for sender in senders):
                most = max(most, resident_mib(pid))
                await asyncio.sleep(0.1)
            sent = time.monotonic() - began
            await all_judged(folder, statuses[200] * DEFAULT_MESSAGE)
            seconds = time.monotonic() - began
    taken, refused = (statuses[status] * DEFAULT_MESSAGE * SPANS for status in (200, 429))
    print(f"asked in {sent:.0f} s: {(taken + refused) / sent:,.0f} spans a second")
    print(
        f"taken {taken:,} spans, refused {refused:,}; other answers: {set(statuses) - {200, 429}}"
    )
    print(f"all that was taken is judged after {seconds:.0f} s: {taken / seconds:,.0f} a second")
    if waits:
        print(f"Retry-After: {min(waits)} to {max(waits)} s")
    print(f"resident memory of the service: {before:.0f} MiB before, {most:.0f} MiB at most")


def main() -> None:
    """Run the parts that are asked for, each with a service of its own."""
    parser = argparse.ArgumentParser()
    parser.add_argument("parts", nargs="*", choices=(*PARTS, []), default=PARTS)
    for part in parser.parse_args().parts:
        with tempfile.TemporaryDirectory() as folder:
            asyncio.run(
                {"rate": rate, "latency": latency, "overload": overload}[part](Path(folder))
            )


if __name__ == "__main__":
    main()
