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
_named: dict[str, float] = {}
_MOST_NAMED = 1_000


def is_preface(data: bytes) -> bool:
    """Whether a connection begins as HTTP/2."""
    return data.startswith(_PREFACE)


def refuse_grpc(transport: asyncio.BaseTransport) -> None:
    """Close a connection, and say what to set: to the client, and in the log once a minute."""
    assert isinstance(transport, asyncio.WriteTransport)
    advice = _ADVICE.encode()
    transport.write(_frame(_SETTINGS, b""))
    transport.write(_frame(_GOAWAY, struct.pack(">II", 0, _PROTOCOL_ERROR) + advice))
    transport.close()
    peer = transport.get_extra_info("peername")
    client = str(peer[0]) if peer else "a client"
    now = asyncio.get_running_loop().time()
    if now - _named.get(client, now - _EVERY_S) >= _EVERY_S:
        if len(_named) >= _MOST_NAMED:
            _named.clear()
        _named[client] = now
        _LOG.warning("From %s: %s", client, _ADVICE)


def _frame(kind: int, payload: bytes) -> bytes:
    """A frame of the connection itself, without flags."""
    return len(payload).to_bytes(3, "big") + bytes((kind, 0)) + bytes(4) + payload
