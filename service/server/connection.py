"""One connection to the service: how long it may idle, and what is answered to what is no HTTP."""

import asyncio
from http import HTTPStatus

from aiohttp import web

from trading_graph.otel.redaction import Redactor
from trading_graph.service.server import access
from trading_graph.service.server.clients import Shares
from trading_graph.service.server.problems import Problem, answer
from trading_graph.service.server.receiving.preface import GrpcRefusal, is_preface

REQUEST_S = 15.0
"""Time for a connection to send its first whole request, and each further one, in seconds."""

LINGER_S = 5.0
"""Time to receive the rest of an unread body, so that the client sees the answer, in seconds."""


_TOO_MANY = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nRetry-After: 5\r\n"
    b"Connection: close\r\n\r\n"
    b"This client has as many connections as it may (TRADING_GRAPH_SERVE_CONNECTIONS).\n"
)


class Connection(web.RequestHandler):
    """One connection; input that is not HTTP gets a problem as its answer too."""

    def __init__(
        self, server: web.Server, redactor: Redactor, connections: Shares, grpc: GrpcRefusal
    ) -> None:
        # A compressed body is refused and not inflated: see inputs.py.
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type] # None is what switches it off.
            keepalive_timeout=REQUEST_S,
            lingering_time=LINGER_S,
            auto_decompress=False,
        )
        self._redactor = redactor
        self._grpc = grpc
        self._connections = connections
        self._client: str | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Refuse the connection of a client that has many already."""
        assert isinstance(transport, asyncio.Transport)
        peer = transport.get_extra_info("peername")
        client = str(peer[0]) if peer else ""
        if self._connections.take(client):
            self._client = client
            super().connection_made(transport)
        else:
            transport.write(_TOO_MANY)
            transport.close()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Count the connection no longer."""
        if self._client is not None:
            self._connections.give_back(self._client)
            super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Refuse HTTP/2, with which only exporters over gRPC come; all else is HTTP."""
        if is_preface(data) and self.transport is not None:
            self._grpc.refuse(self.transport)
        else:
            super().data_received(data)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """A problem that neither repeats nor logs the input, of which anybody may send a lot."""
        if request.writer.output_size > 0:
            raise ConnectionError("A response is on its way already.")
        broken = status == HTTPStatus.BAD_REQUEST
        detail = "This is no HTTP that the service takes; send a plain request of HTTP/1.1."
        failed = "The service failed; its log says why, at this time."
        if not broken:
            self.log_exception("A request failed", exc_info=exc)
        response = answer(Problem(HTTPStatus(status), detail if broken else failed), self._redactor)
        response.headers.update(access.HEADERS)
        response.force_close()
        return response
