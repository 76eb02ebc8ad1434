"""What a connection may do before there is a request: how long it may take, and what is no HTTP."""

import asyncio
from http import HTTPStatus

from aiohttp import web

from trading_graph.otel.redaction import Redactor
from trading_graph.service.server import access
from trading_graph.service.server.problems import Problem, answer

REQUEST_S = 15.0
"""So long a connection may take to its first whole request, and to each that follows."""

LINGER_S = 5.0
"""So long the rest of a body that nobody reads may come, for the client to see the answer."""


class Connection(web.RequestHandler):
    """One connection; what is no HTTP is answered as everything else is."""

    def __init__(self, server: web.Server, redactor: Redactor) -> None:
        # A compressed body is refused and not inflated: see reading.py.
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type] # None is what switches it off.
            keepalive_timeout=REQUEST_S,
            lingering_time=LINGER_S,
            auto_decompress=False,
        )
        self._redactor = redactor

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """A problem; what was sent is neither repeated nor logged, for anybody may send a lot."""
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
