"""What sharing connections gains: `python tests/bench/bench_pool.py`.

The pool against a new session and connection for every request (`pooled=False`, otherwise the same
code), over HTTP and TLS, one request after the other and twice 400 at once. The server runs in a
process of its own and answers at once, so the figures are overhead without any network distance.
The TLS certificate is made on the spot by `openssl`; without that program TLS is left out.
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
from pathlib import Path

BODY_BYTES = 20_000
SEQUENTIAL = 200
CONCURRENT = 400
WAVES = 2
ROUNDS = 5


def serve(folder: str, scheme: str) -> None:
    """Serve until stdin closes; prints the URL first."""
    from aiohttp import web

    from toolkit.loopback import LoopbackServer

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


async def measure(url: str) -> None:
    """Print both ways side by side for one server."""
    from toolkit.pool import HttpPool

    scheme = url.partition(":")[0]
    times: dict[tuple[bool, str], list[float]] = {}
    cpus: dict[bool, list[float]] = {}
    done: dict[bool, str] = {}
    for _ in range(ROUNDS):
        for pooled in (True, False):
            async with HttpPool(pooled=pooled) as pool:
                began, cpu = time.perf_counter(), time.process_time()
                for _ in range(SEQUENTIAL):
                    await pool.get_bytes(url)
                one_by_one = time.perf_counter() - began
                used = time.process_time() - cpu
            times.setdefault((pooled, "sequential"), []).append(one_by_one / SEQUENTIAL * 1e3)
            cpus.setdefault(pooled, []).append(used / SEQUENTIAL * 1e3)
            async with HttpPool(pooled=pooled) as pool:
                began = time.perf_counter()
                for _ in range(WAVES):
                    await asyncio.gather(*(pool.get_bytes(url) for _ in range(CONCURRENT)))
                at_once = time.perf_counter() - began
            times.setdefault((pooled, "concurrent"), []).append(at_once / CONCURRENT / WAVES * 1e3)
            did = pool.statistics
            done[pooled] = (
                f"{did.connections_created} connections, {did.reused} reuses "
                f"({did.reused / did.requests:.1%}), {did.queued} queued, "
                f"longest wait {did.queue_wait_ms_max:.0f} ms"
            )
    for way, count in (("sequential", SEQUENTIAL), ("concurrent", CONCURRENT)):
        shared = statistics.median(times[True, way])
        own = statistics.median(times[False, way])
        print(
            f"{scheme:<5} {count} {way}: pooled {shared:.3f} ms a request, "
            f"a session each {own:.3f} ms, ratio {own / shared:.1f}"
        )
    # What other programs on the machine cannot distort.
    shared, own = statistics.median(cpus[True]), statistics.median(cpus[False])
    print(
        f"      {SEQUENTIAL} sequential, the client's CPU time: pooled {shared:.3f} ms a request, "
        f"a session each {own:.3f} ms, ratio {own / shared:.1f}"
    )
    print(f"      {WAVES} x {CONCURRENT} concurrent, pooled: {done[True]}")
    print(f"      {WAVES} x {CONCURRENT} concurrent, a session each: {done[False]}")


def main() -> None:
    """Make a certificate, start the servers, and measure."""
    print(
        f"Python {sys.version.split()[0]}, {os.cpu_count()} CPUs, body {BODY_BYTES} bytes, "
        f"median of {ROUNDS} rounds"
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
            # aiohttp makes its TLS context when it is imported, which is later, in `measure`.
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
                asyncio.run(measure(server.stdout.readline().strip()))
            finally:
                server.stdin.close()
                server.wait()
                server.stdout.close()


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve(*sys.argv[2:])
    else:
        main()
