"""A backend that redirects to another host is not followed there, with keys, spans or prompts."""

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import openai
import pytest
import requests
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from trading_graph.graph.chat.client import ForeignRedirectError, model_client
from trading_graph.otel.errors import TraceError
from trading_graph.otel.export import LangSmithTarget, jaeger_exporter, langsmith_exporter
from trading_graph.otel.redirects import is_followed
from trading_graph.otel.same_host_session import SameHostSession
from trading_graph.otel.sources.jaeger_query import JaegerQuery
from trading_graph.otel.sources.langsmith_query import LangSmithQuery


@dataclass
class Redirecting:
    """A server on 127.0.0.1 that redirects to a host of another name, and what that one is asked.

    Both names lead to the same server, which knows by the Host header who was asked.
    """

    server: ThreadingHTTPServer
    status: int = 307
    to_own: bool = False
    foreign: list[str] = field(default_factory=list)
    own: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture(name="backend")
def redirecting_backend() -> Iterator[Redirecting]:
    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            host = self.headers["Host"]
            asked = backend.foreign if host.startswith("localhost") else backend.own
            asked.append(self.path)
            moved = host.startswith("127.") and not self.path.startswith("/moved")
            self.send_response(backend.status if moved else 200)
            if moved:
                port = self.server.server_port  # type: ignore[attr-defined]
                name = "127.0.0.1" if backend.to_own else "localhost"
                self.send_header("Location", f"http://{name}:{port}/moved{self.path}")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        do_GET = do_POST = answer

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    backend = Redirecting(server)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield backend
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("asked", "location", "followed"),
    [
        ("http://jaeger:16686/a", "http://jaeger:16686/b", True),
        ("http://jaeger/a", "https://jaeger/a", True),
        ("https://jaeger/a", "http://jaeger/a", False),
        ("http://jaeger/a", "http://jaeger.evil.example/a", False),
        ("http://jaeger/a", "http://169.254.169.254/latest", False),
        ("http://jaeger/a", "file:///etc/passwd", False),
        ("http://jaeger/a", "ftp://jaeger/a", False),
        ("http://jaeger/a", "http://[", False),
    ],
)
def test_only_the_same_host_over_http_is_followed(
    asked: str, location: str, followed: bool
) -> None:
    assert is_followed(asked, location) is followed


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_jaeger_is_not_followed_elsewhere(backend: Redirecting, status: int) -> None:
    backend.status = status
    with pytest.raises(TraceError, match="redirects to localhost, which is not followed"):
        JaegerQuery(backend.url).services()
    assert not backend.foreign
    backend.to_own = True
    assert JaegerQuery(backend.url).services() == []


@pytest.mark.parametrize("url", ["file:///etc", "ftp://localhost", "localhost:16686"])
def test_only_http_is_an_address_of_jaeger(url: str) -> None:
    with pytest.raises(TraceError, match="is no address of Jaeger"):
        JaegerQuery(url).services()


def test_langsmith_gets_no_key_elsewhere(backend: Redirecting) -> None:
    with pytest.raises(TraceError):
        LangSmithQuery(backend.url, "ls-secret", "default").trace("0" * 32)
    assert backend.own
    assert not backend.foreign


@pytest.mark.parametrize("status", [302, 307])
def test_spans_go_nowhere_else_and_are_not_called_sent(
    backend: Redirecting, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend.status = status
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", backend.url)
    memory, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    provider.get_tracer("test").start_span("a").end()
    target = LangSmithTarget(backend.url, "ls-secret", "default")
    for exporter in (jaeger_exporter(), langsmith_exporter(target)):
        assert not exporter.send(memory.get_finished_spans())
        exporter.close()
    assert backend.own
    assert not backend.foreign


def test_a_session_follows_its_own_host(backend: Redirecting) -> None:
    backend.to_own = True
    with SameHostSession() as session:
        assert session.get(f"{backend.url}/a", timeout=10).status_code == 200
        backend.to_own = False
        with pytest.raises(requests.ConnectionError):
            session.post(f"{backend.url}/a", data=b"spans", timeout=10)


def test_a_model_gets_no_prompt_elsewhere(backend: Redirecting) -> None:
    async def ask() -> None:
        async with model_client(backend.url) as http:
            client = openai.AsyncOpenAI(
                api_key="sk-secret", base_url=backend.url, http_client=http, max_retries=0
            )
            await client.models.list()

    with pytest.raises(openai.APIConnectionError) as error:
        asyncio.run(ask())
    assert isinstance(error.value.__cause__, ForeignRedirectError)
    assert not backend.foreign
    backend.to_own = True
    asyncio.run(ask())
    assert backend.own[-1].startswith("/moved")
