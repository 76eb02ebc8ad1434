"""What a trace is packed in: gzip and zstd, one inside the other, and text in UTF-16.

Nothing larger than a limit is unpacked, whatever the packed data say of their size.
"""

import sys
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from trading_graph.otel.errors import TraceError

_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_UTF_8 = b"\xef\xbb\xbf"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_DEEPEST = 3
_PIECE = 2**12
"""The packed bytes that are unpacked at a time. A block of zstd has 4 bytes at least and gives
128 KiB at most, so that what comes out at once stays below 128 MiB."""


def unpack(content: bytes, origin: str, limit: int) -> bytes:
    """The content without its containers and byte order mark; raises TraceError.

    `limit` is the most bytes that it may have, and `origin` names it in errors.
    """
    for _ in range(_DEEPEST):
        if content.startswith(_GZIP):
            content = _inflate(content, origin, limit, "gzip", _gzip_parts)
        elif content.startswith(_ZSTD):
            content = _inflate(content, origin, limit, "zstd", _zstd_parts)
        else:
            break
    if content.startswith(_UTF_16):
        try:
            return content.decode("utf-16").encode()
        except UnicodeError:
            raise TraceError(
                f"{origin} is no trace that can be read: it is not the UTF-16 text "
                "that it begins as."
            ) from None
    return content.removeprefix(_UTF_8)


def _inflate(
    content: bytes,
    origin: str,
    limit: int,
    name: str,
    parts: Callable[[bytes, str], Iterator[bytes]],
) -> bytes:
    unpacked = bytearray()
    for part in parts(content, origin):
        unpacked += part
        if len(unpacked) > limit:
            raise TraceError(
                f"{origin} is too large: more than {limit / 2**30:g} GiB come out of its {name}; "
                "split it by trace."
            )
    return bytes(unpacked)


def _gzip_parts(content: bytes, origin: str) -> Iterator[bytes]:
    """Inflate the members of a gzip file, one after the other."""
    while content.startswith(_GZIP):
        member, at = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16), 0
        while not member.eof:
            if at >= len(content):
                raise _cut_off(origin, "gzip")
            pending = content[at : at + _PIECE]
            at += _PIECE
            try:
                yield member.decompress(pending)
            except zlib.error:
                raise _damaged(origin, "gzip") from None
        content = member.unused_data + content[at:]


class _Decompressor(Protocol):
    """What Python's own zstd and the package have in common."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes) -> bytes: ...


def _zstd_parts(content: bytes, origin: str) -> Iterator[bytes]:
    """Decompress the frames of a zstd file, one after the other."""
    start, error = _zstd(origin)
    while content:
        frame = start()
        at = 0
        while not frame.eof:
            if at >= len(content):
                raise _cut_off(origin, "zstd")
            try:
                part = frame.decompress(content[at : at + _PIECE])
            except error:
                raise _damaged(origin, "zstd") from None
            at += _PIECE
            yield part
        content = frame.unused_data + content[at:]


def _zstd(origin: str) -> tuple[Callable[[], _Decompressor], type[Exception]]:
    """What decompresses a frame of zstd, and the error that it raises."""
    # Not above: few traces are packed like this.
    if sys.version_info >= (3, 14):
        from compression import zstd

        return zstd.ZstdDecompressor, zstd.ZstdError
    try:
        import zstandard
    except ImportError:
        raise TraceError(
            f"{origin} is packed with zstd, which takes one more package; install "
            "trading-graph[zstd], or unpack it with: zstd -d"
        ) from None
    context: Any = zstandard.ZstdDecompressor()
    return context.decompressobj, zstandard.ZstdError


def _damaged(origin: str, name: str) -> TraceError:
    return TraceError(f"{origin} is no trace that can be read: its {name} is damaged.")


def _cut_off(origin: str, name: str) -> TraceError:
    return TraceError(f"{origin} is cut off: its {name} ends in the middle.")
