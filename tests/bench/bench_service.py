"""What the service costs: `python tests/bench/bench_service.py [--runs N] [PART]...`.

The parts are `ready`, `get`, `watchers`, `ten`, `fifty` and `memory`; each runs in a process of its
own. Everything is on loopback and offline: the model's and the data's servers are threads of the
service's process, so their CPU time counts as the service's.

    ready     from start to the printed address, and to the first step of a run asked for at once;
              CPU time against that of importing libraries
    get       GET /v1/runs/{id} against a bare aiohttp application, load from another process
    watchers  200 followers of one run, by its own stream and by the feed, against none
    ten       10 runs at once against one, 0.2 s a call; how late the event loop was
    fifty     50 runs of which 4 are made at once: none fails; CPU time of a run
    memory    resident memory over N runs (300), three analysts fewer and no latency
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("ready", "get", "watchers", "ten", "fifty", "memory")
REQUESTS, CONNECTIONS, ROUNDS = 3_000, 8, 5
WATCHERS = 200
QUICK = {"symbol": "AAPL", "analysts": ["market"]}
WHOLE = {"symbol": "AAPL"}
TICK_S = 0.01
LIBRARIES = "import langchain_openai, langgraph.graph, pandas, stockstats, aiohttp"
CLOCK = os.sysconf("SC_CLK_TCK")
TINY: dict[str, Any] = {"chat_latency_s": 0.0, "fetch_latency_s": 0.0}


@contextlib.asynccontextmanager
async def service(**changed: Any) -> AsyncIterator[Any]:
    """A service in this process, and a client of it."""
    from tests.service.server.open_service import opened

    os.environ["OTEL_TRACES_EXPORTER"] = "none"
    with tempfile.TemporaryDirectory() as folder:
        async with opened(Path(folder), **changed) as found:
            yield found


def cpu_s(pid: int) -> float:
    """The CPU time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK


def ready() -> None:
    """From start to the printed address, to a run that runs, and to the end after a signal."""
    waits, begins, cpus, ends = [], [], [], []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(ROUNDS):
            began = time.perf_counter()
            command = "from trading_graph.service.cli import main; main()"
            with subprocess.Popen(
                [sys.executable, "-c", command, "serve", "--offline", "--port", "0"],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": str(ROOT), "OTEL_TRACES_EXPORTER": "none"},
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            ) as process:
                assert process.stdout is not None
                address = process.stdout.readline().strip()
                waits.append(time.perf_counter() - began)
                begins.append(wait_for_a_run(address) - began)
                cpus.append(cpu_s(process.pid))
                began = time.perf_counter()
                process.send_signal(signal.SIGTERM)
                process.wait()
                ends.append(time.perf_counter() - began)
    libraries = []
    for _ in range(ROUNDS):
        before = os.times()
        subprocess.run([sys.executable, "-c", LIBRARIES], check=True)
        after = os.times()
        libraries.append(
            after.children_user
            + after.children_system
            - before.children_user
            - before.children_system
        )
    share = statistics.median(cpus) / statistics.median(libraries)
    print(
        f"ready: {min(waits):.2f} s at best, {statistics.median(waits):.2f} s in the middle of "
        f"{ROUNDS} (bar 3 s); a run asked for then begins at {statistics.median(begins):.2f} s; "
        f"CPU until then {statistics.median(cpus):.2f} s, {share:.2f} times that of only importing "
        f"its libraries; "
        f"stopped {statistics.median(ends):.2f} s after the signal"
    )


def wait_for_a_run(address: str) -> float:
    """Ask a service for a run, and cancel it at its first event; gives when that was."""
    run = f"{address}/v1/runs/{post(f'{address}/v1/runs', QUICK)['id']}"
    with urllib.request.urlopen(f"{run}/events") as events:
        events.readline()
        began = time.perf_counter()
    post(f"{run}/cancel", {})
    return began


def post(url: str, body: object) -> Any:
    """Send JSON, and give what is answered."""
    kind = {"Content-Type": "application/json"}
    asked = urllib.request.Request(url, json.dumps(body).encode(), kind)
    with urllib.request.urlopen(asked) as answer:
        return json.load(answer)


@contextlib.contextmanager
def child(part: str) -> Iterator[tuple[int, list[str]]]:
    """A serving process of this file; gives its id and the words that it prints."""
    with subprocess.Popen(
        [sys.executable, __file__, part],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        yield process.pid, process.stdout.readline().split()
        assert process.stdin is not None
        process.stdin.close()


async def serve_bare() -> None:
    """Serve a constant until stdin closes."""
    from aiohttp import web

    async def hello(request: web.Request) -> web.Response:
        return web.Response(text="hello")

    app = web.Application()
    app.router.add_get("/", hello)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], "/", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


async def serve_run() -> None:
    """Serve one finished run until stdin closes."""
    async with service(**TINY, serve_requests_per_s=1e9, serve_burst=10**9) as found:
        run = await found.start()
        await found.over(run["id"])
        print(found.url.rpartition(":")[2], f"/v1/runs/{run['id']}", flush=True)
        await asyncio.to_thread(sys.stdin.read)


async def load(port: int, path: str) -> float:
    """Requests a second, over a few connections that stay open."""
    wanted = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()

    async def ask(times: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(times):
            writer.write(wanted)
            head = await reader.readuntil(b"\r\n\r\n")
            assert b" 200 OK" in head
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length))
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(ask(REQUESTS // CONNECTIONS) for _ in range(CONNECTIONS)))
    return REQUESTS / (time.perf_counter() - began)


def get() -> None:
    """One run's document against a constant of a bare application."""
    rates: dict[str, list[float]] = {"serve_bare": [], "serve_run": []}
    costs: dict[str, list[float]] = {"serve_bare": [], "serve_run": []}
    with child("serve_bare") as bare, child("serve_run") as ours:
        for _ in range(ROUNDS):
            for name, (pid, (port, path)) in (("serve_bare", bare), ("serve_run", ours)):
                before = cpu_s(pid)
                rates[name].append(asyncio.run(load(int(port), path)))
                costs[name].append((cpu_s(pid) - before) / REQUESTS * 1e6)
    (bare_rate, rate), (bare_cost, cost) = (
        [statistics.median(values) for values in found.values()] for found in (rates, costs)
    )
    best = max(
        mine / theirs for mine, theirs in zip(rates["serve_run"], rates["serve_bare"], strict=True)
    )
    print(
        f"get: {rate:.0f} requests/s of {bare_rate:.0f} of a bare application: "
        f"{rate / bare_rate:.0%}, {best:.0%} in its best round (bar 25 %); "
        f"{cost:.0f} us of CPU against {bare_cost:.0f} us"
    )


async def follow(port: int, path: str) -> None:
    """Follow a stream to the end of a run as many watchers."""

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**22)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        await reader.readuntil(b'"finished"')
        writer.close()

    await asyncio.gather(*(one() for _ in range(WATCHERS)))


async def watchers() -> None:
    """One run that many watch, by its own stream or by the feed, against one that nobody does."""
    seconds: dict[str, list[float]] = {"": [], "its own stream": [], "the feed": []}
    limits = {"serve_requests_per_s": 1e9, "serve_burst": 10**9}
    async with service(chat_latency_s=0.3, fetch_latency_s=0.05, **limits) as found:
        await found.over((await found.start(**WHOLE))["id"])
        port = found.url.rpartition(":")[2]
        for _ in range(ROUNDS):
            for name, taken in seconds.items():
                run = await found.start(**WHOLE)
                path = "/v1/feed" if name == "the feed" else f"/v1/runs/{run['id']}/events"
                followers = name and await asyncio.create_subprocess_exec(
                    sys.executable, __file__, "follow", port, path
                )
                taken.append((await found.over(run["id"]))["seconds"])
                assert not followers or await followers.wait() == 0
    plain, *more = (statistics.median(taken) for taken in seconds.values())
    for name, watched in zip(list(seconds)[1:], more, strict=True):
        print(
            f"watchers: {watched:.2f} s with {WATCHERS} of them on {name}, {plain:.2f} s without: "
            f"{watched / plain - 1:+.1%} (bar +10 %)"
        )


async def lateness(late: list[float]) -> None:
    """Note how late the event loop wakes a sleeper, on and on."""
    while True:
        began = time.perf_counter()
        await asyncio.sleep(TICK_S)
        late.append((time.perf_counter() - began - TICK_S) * 1e3)


async def ten() -> None:
    """Ten runs at once against one."""
    late: list[float] = []
    async with service(chat_latency_s=0.2, fetch_latency_s=0.05, serve_runs_at_once=10) as found:
        await found.over((await found.start(**WHOLE))["id"])
        single = [
            (await found.over((await found.start(**WHOLE))["id"]))["seconds"] for _ in range(3)
        ]
        sampling = asyncio.create_task(lateness(late))
        began = time.perf_counter()
        runs = await asyncio.gather(*(found.start(**WHOLE) for _ in range(10)))
        over = [await found.over(run["id"]) for run in runs]
        wall = time.perf_counter() - began
        sampling.cancel()
    assert all(run["state"] == "done" for run in over)
    one = statistics.median(single)
    longest = max(run["seconds"] for run in over)
    p99 = sorted(late)[int(len(late) * 0.99)]
    print(
        f"ten: all in {wall:.2f} s, the longest {longest:.2f} s; one alone {one:.2f} s: "
        f"{wall / one:.2f} times as long (bar 2); loop late p99 {p99:.0f} ms, at most "
        f"{max(late):.0f} ms (bar 100 ms)"
    )


async def fifty() -> None:
    """Fifty runs past the limit, and the CPU time of one."""
    async with service(chat_latency_s=0.2, fetch_latency_s=0.05) as found:
        await found.over((await found.start(**WHOLE))["id"])
        began, cpu = time.perf_counter(), time.process_time()
        runs = await asyncio.gather(*(found.start(**WHOLE) for _ in range(50)))
        state = await found.get("/readyz")
        while any(run["state"] in ("queued", "running") for run in runs):
            await asyncio.sleep(0.5)
            runs = (await found.get("/v1/runs?limit=50"))["runs"]
        wall, used = time.perf_counter() - began, time.process_time() - cpu
    failed = sum(run["state"] != "done" for run in runs)
    print(
        f"fifty: {state['running']} made at once and {state['waiting']} in line, {failed} failed; "
        f"{used / 50:.3f} s of CPU a run (bar 0.25 s), servers of model and data included; "
        f"all in {wall:.1f} s"
    )


def resident_mib() -> float:
    """The memory that this process has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


async def memory(many: int) -> None:
    """Resident memory over many runs."""
    samples = []
    async with service(**TINY, serve_runs_in_line=many) as found:
        for batch in range(10):
            runs = [(await found.start(**QUICK))["id"] for _ in range(many // 10)]
            for run_id in runs:
                assert (await found.over(run_id))["state"] == "done"
            samples.append(resident_mib())
            del batch
    later = samples[3:]
    print(
        f"memory: {' '.join(f'{each:.0f}' for each in samples)} MiB after each tenth of {many} "
        f"runs; {(later[-1] - later[0]) / (many * 0.6) * 1024:.1f} KiB a run in the last six tenths"
    )


def main() -> None:
    """Run the parts, each in a process of its own."""
    sys.path.insert(0, str(ROOT))
    parser = argparse.ArgumentParser()
    parser.add_argument("parts", nargs="*")
    parser.add_argument("--runs", type=int, default=300)
    asked = parser.parse_args()
    words: list[str] = asked.parts
    if len(words) == 1 and words[0] in PARTS:
        if words[0] in ("ready", "get"):
            globals()[words[0]]()
        else:
            work = memory(asked.runs) if words[0] == "memory" else globals()[words[0]]()
            asyncio.run(work)
    elif words[:1] == ["follow"]:
        asyncio.run(follow(int(words[1]), words[2]))
    elif words and words[0].startswith("serve_"):
        asyncio.run(globals()[words[0]]())
    else:
        print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)
        for part in words or PARTS:
            command = [sys.executable, __file__, part, "--runs", str(asked.runs)]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
