"""A connection that begins with HTTP/2, as OTLP over gRPC does: refused with the line to set.

The client is told in a GOAWAY frame, which gRPC shows as the reason, and the log says it too.
Source of the frames: RFC 9113, sections 3.4, 6.5 and 6.8.
"""

import asyncio
import logging
import struct

_LOG = logging.getLogger(__name__)

_PREFACE = b"PRI * HTTP/2.0\r\n"
_SETTINGS, _GOAWAY = 4, 7
_PROTOCOL_ERROR = 1
"""HTTP_1_1_REQUIRED would be the right one, but gRPC's library ends the whole program at it."""
_ADVICE = (
    "This port takes OTLP over HTTP, and a connection over gRPC came; start its program with "
    "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"
)
_EVERY_S = 60.0
_MOST_CLIENTS = 1_000


def is_preface(data: bytes) -> bool:
    """Whether a connection begins as HTTP/2."""
    return data.startswith(_PREFACE)


class GrpcRefusal:
    """Closes connections over gRPC, and says what to set: to the client, and in the log."""

    def __init__(self) -> None:
        self._last_named: dict[str, float] = {}

    def refuse(self, transport: asyncio.BaseTransport) -> None:
        """Close a connection; the log names its client once a minute."""
        assert isinstance(transport, asyncio.WriteTransport)
        transport.write(_frame(_SETTINGS, b""))
        reason = struct.pack(">II", 0, _PROTOCOL_ERROR) + _ADVICE.encode()
        transport.write(_frame(_GOAWAY, reason))
        transport.close()
        peer = transport.get_extra_info("peername")
        client = str(peer[0]) if peer else "a client"
        now = asyncio.get_running_loop().time()
        if now - self._last_named.get(client, now - _EVERY_S) >= _EVERY_S:
            if len(self._last_named) >= _MOST_CLIENTS:
                self._last_named.clear()
            self._last_named[client] = now
            _LOG.warning("From %s: %s", client, _ADVICE)


def _frame(kind: int, payload: bytes) -> bytes:
    """A frame of the connection itself, without flags."""
    return len(payload).to_bytes(3, "big") + bytes((kind, 0)) + bytes(4) + payload
