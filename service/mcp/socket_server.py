"""The MCP server of the service: a process that answers over HTTP on a Unix socket.

The service alone reaches the socket, and asks for the token. Each request stands for itself, so a
process that was killed and started again is not missed.
"""

import os
import sys
import threading
from socket import socket

import uvicorn
from mcp.server.transport_security import TransportSecuritySettings

from trading_graph.service.mcp.protocol import make_server
from trading_graph.service.settings import read_settings

PATH = "/mcp"


def main() -> None:
    """Serve at the socket that the first argument names, until standard input is closed.

    Prints a line when it is ready.
    """
    app = make_server(read_settings(), None).streamable_http_app(
        streamable_http_path=PATH,
        stateless_http=True,
        json_response=True,
        # The service has checked the host, and passes on a name of its own.
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
    )
    config = uvicorn.Config(
        app, uds=sys.argv[1], log_level="error", access_log=False, ws="none", loop="asyncio"
    )
    threading.Thread(target=_end_with_service, daemon=True).start()
    _AnnouncedServer(config).run()


class _AnnouncedServer(uvicorn.Server):
    """A server that says when it listens."""

    async def startup(self, sockets: list[socket] | None = None) -> None:
        """Listen, then print a line."""
        await super().startup(sockets)
        sys.stdout.write("ready\n")
        sys.stdout.flush()


def _end_with_service() -> None:
    """End the process at once when the service has closed its end, or was killed."""
    sys.stdin.buffer.read()
    os._exit(0)
