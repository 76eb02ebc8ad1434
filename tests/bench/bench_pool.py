"""What sharing connections gains: `python tests/bench/bench_pool.py`.

The pool against a new session and connection for every request (`pooled=False`, otherwise the same
code), over HTTP and TLS: one request after the other, under no run and under one that records, and
waves of 400 at once. Plain aiohttp stands beside, without rules, spans, limits or typed errors.

The server is a process of its own and answers at once, so the figures are overhead without any
network distance: each round trip more counts against new connections (one for TCP, one for TLS
1.3). A new TLS connection means a whole handshake, as always in asyncio, which resumes no session;
the certificate is for a P-256 key, the cheapest in use, made on the spot by `openssl`. Without that
program TLS is left out. Ways alternate; a ratio is that of neighbours, the median over all rounds
stands before the least and the greatest.
"""

import asyncio
import os
import shutil
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

BODY_BYTES = 20_000
SEQUENTIAL = 200
CONCURRENT = 400
WAVES = 2
ROUNDS = 11

Way = Callable[[], Awaitable[tuple[float, float]]]


def serve(folder: str, scheme: str) -> None:
    """Serve until stdin closes; prints the URL first."""
    from aiohttp import web

    from trading_graph.toolkit.loopback import LoopbackServer

    body = b'"' + b"x" * (BODY_BYTES - 2) + b'"'

    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    def make_app() -> web.Application:
        app = web.Application()
        app.router.add_get("/", answer)
        return app

    tls = None
    if scheme == "https":
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(f"{folder}/cert.pem", f"{folder}/key.pem")
    with LoopbackServer(make_app, tls=tls) as server:
        print(server.url, flush=True)
        sys.stdin.read()


@contextmanager
def clock() -> Iterator[list[float]]:
    """Milliseconds of the block a request, by the wall and of this process's CPU time."""
    took: list[float] = []
    began, cpu = time.perf_counter(), time.process_time()
    yield took
    took += [
        (time.perf_counter() - began) / SEQUENTIAL * 1e3,
        (time.process_time() - cpu) / SEQUENTIAL * 1e3,
    ]


def sequential_ways(url: str) -> dict[str, Way]:
    """Every way to ask one after the other, by its name; the first two are the pool's bar."""
    import aiohttp
    from opentelemetry import context
    from opentelemetry.sdk.trace import TracerProvider

    from trading_graph.otel import spans
    from trading_graph.otel.spans.recording import context_with
    from trading_graph.toolkit.pool import HttpPool

    async def ours(*, pooled: bool, recorded: bool) -> tuple[float, float]:
        run = context_with(spans.Recording("bench", TracerProvider())) if recorded else None
        token = context.attach(run or context.get_current())
        async with HttpPool(pooled=pooled) as pool:
            with clock() as took:
                for _ in range(SEQUENTIAL):
                    await pool.get_bytes(url)
        context.detach(token)
        return took[0], took[1]

    async def plain(*, pooled: bool) -> tuple[float, float]:
        async with aiohttp.ClientSession() as shared:
            with clock() as took:
                for _ in range(SEQUENTIAL):
                    if pooled:
                        async with shared.get(url) as answer:
                            await answer.read()
                    else:
                        async with aiohttp.ClientSession() as own, own.get(url) as answer:
                            await answer.read()
        return took[0], took[1]

    return {
        "pooled": lambda: ours(pooled=True, recorded=False),
        "a session each": lambda: ours(pooled=False, recorded=False),
        "pooled, recorded": lambda: ours(pooled=True, recorded=True),
        "a session each, recorded": lambda: ours(pooled=False, recorded=True),
        "plain aiohttp": lambda: plain(pooled=True),
        "a session each, plain": lambda: plain(pooled=False),
    }


async def one_by_one(url: str) -> None:
    """Print how long a request takes when one follows the other."""
    scheme = url.partition(":")[0]
    wall: dict[str, list[float]] = defaultdict(list)
    cpu: dict[str, list[float]] = defaultdict(list)
    ways = sequential_ways(url)
    for _ in range(ROUNDS):
        for name, way in ways.items():
            took, used = await way()
            wall[name].append(took)
            cpu[name].append(used)
    names = list(ways)
    for shared, own in zip(names[::2], names[1::2], strict=True):
        print(
            f"{scheme:<5} {shared:<16} {spread(wall[shared], 3)} ms a request, "
            f"a session each {spread(wall[own], 3)} ms, ratio {ratios(wall[shared], wall[own])}; "
            f"of the client's CPU time {ratios(cpu[shared], cpu[own])}"
        )


async def at_once(url: str) -> None:
    """Print how waves of requests share connections."""
    from trading_graph.toolkit.pool import HttpPool

    scheme = url.partition(":")[0]
    took: dict[bool, list[float]] = defaultdict(list)
    waves: list[str] = []
    for _ in range(ROUNDS):
        for pooled in (True, False):
            waves_now: list[str] = []
            async with HttpPool(pooled=pooled) as pool:
                began = time.perf_counter()
                for _ in range(WAVES):
                    await asyncio.gather(*(pool.get_bytes(url) for _ in range(CONCURRENT)))
                    made, asked = pool.connections.idle, CONCURRENT * (len(waves_now) + 1)
                    waves_now.append(
                        f"{made} connections, {asked - made} of {asked} "
                        f"reuse one ({1 - made / asked:.1%})"
                    )
                took[pooled].append((time.perf_counter() - began) / CONCURRENT / WAVES * 1e3)
            if pooled:
                waves = waves_now
    print(
        f"{scheme:<5} {WAVES} x {CONCURRENT} at once: pooled {spread(took[True], 3)} ms a request, "
        f"a session each {spread(took[False], 3)} ms, ratio {ratios(took[True], took[False])}"
    )
    for number, said in enumerate(waves, 1):
        print(f"      after wave {number}: {said}")


def spread(values: list[float], digits: int) -> str:
    """The median, with the least and the greatest."""
    middle = statistics.median(values)
    return f"{middle:.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def ratios(shared: list[float], own: list[float]) -> str:
    """How many times as long the second takes, round by round."""
    return spread([each / base for base, each in zip(shared, own, strict=True)], 1)


def main() -> None:
    """Make a certificate, start the servers, and measure."""
    print(
        f"Python {sys.version.split()[0]}, {ssl.OPENSSL_VERSION}, {os.cpu_count()} CPUs under a "
        f"load of {os.getloadavg()[0]:.1f}, body {BODY_BYTES} bytes, {ROUNDS} rounds of "
        f"{SEQUENTIAL} requests a way"
    )
    with tempfile.TemporaryDirectory() as folder:
        schemes = ["http"]
        if shutil.which("openssl"):
            subprocess.run(
                f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "
                f"-days 1 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1 "
                f"-keyout {folder}/key.pem -out {folder}/cert.pem".split(),
                check=True,
                capture_output=True,
            )
            # aiohttp makes its TLS context when it is imported, which is later, where it measures.
            os.environ["SSL_CERT_FILE"] = f"{folder}/cert.pem"
            schemes.append("https")
        else:
            print("https: left out, there is no openssl here")
        for scheme in schemes:
            server = subprocess.Popen(
                [sys.executable, str(Path(__file__)), "serve", folder, scheme],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            assert server.stdin is not None
            assert server.stdout is not None
            try:
                url = server.stdout.readline().strip()
                asyncio.run(one_by_one(url))
                asyncio.run(at_once(url))
            finally:
                server.stdin.close()
                server.wait()
                server.stdout.close()


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve(*sys.argv[2:])
    else:
        main()
