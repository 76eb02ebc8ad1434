"""Received spans sent on to another backend that takes OTLP, such as Jaeger.

What is sent on waits in memory, bounded; nobody waits for it. While the backend does not answer it
is tried again and again, and what there is no room for is counted and said: it is in the files.
"""

import asyncio
import contextlib
import logging
import time
from collections import deque
from http import HTTPStatus

import aiohttp

_LOG = logging.getLogger(__name__)

_MOST_BYTES = 32 * 2**20
_MESSAGE_BYTES = 2**20
_TIMEOUT_S = 10.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0
_LAST_S = 2.0
"""How long the end of the service waits for the rest to be sent."""
_SAY_EVERY_S = 60.0
_AGAIN = frozenset({408, 429, 502, 503, 504})
"""Statuses after which the specification of OTLP lets a client send again."""
_HEAD, _TAIL = b'{"resourceSpans":[', b"]}"


class Forwarding:
    """The way to one backend, at the base URL of its OTLP over HTTP."""

    def __init__(self, url: str) -> None:
        self._url = f"{url.rstrip('/')}/v1/traces"
        self._parts: deque[bytes] = deque()
        self._size = 0
        self._filled = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._said = -_SAY_EVERY_S
        self.lost = 0
        """How many messages were not sent on."""
        self.problem: str | None = None
        """Why nothing is sent on now, if so."""

    def put(self, line: bytes) -> None:
        """Send a line of OTLP JSON on, some time."""
        part = line.strip().removeprefix(_HEAD).removesuffix(_TAIL)
        if self._size + len(part) > _MOST_BYTES:
            self._lose(1, "too much waits")
            return
        self._parts.append(part)
        self._size += len(part)
        self._empty.clear()
        self._filled.set()

    async def run(self) -> None:
        """Send what waits, until cancelled."""
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout) as http:
            pause = _FIRST_PAUSE_S
            while True:
                await self._filled.wait()
                count, message = self._next_message()
                if await self._is_over(http, count, message):
                    self._drop(count)
                    pause = _FIRST_PAUSE_S
                else:
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, _LONGEST_PAUSE_S)

    async def finish(self) -> None:
        """Wait a little for the rest; what is left then is lost to the backend, and said."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._empty.wait(), _LAST_S)
        if self._parts:
            self._said = -_SAY_EVERY_S
            self._lose(len(self._parts), "the service stops")

    def _next_message(self) -> tuple[int, bytes]:
        """As many parts as make one message; they stay until it is over."""
        parts, size = list[bytes](), 0
        for part in self._parts:
            if parts and size + len(part) > _MESSAGE_BYTES:
                break
            parts.append(part)
            size += len(part)
        return len(parts), _HEAD + b",".join(parts) + _TAIL

    def _drop(self, count: int) -> None:
        for _ in range(count):
            self._size -= len(self._parts.popleft())
        if not self._parts:
            self._filled.clear()
            self._empty.set()

    async def _is_over(self, http: aiohttp.ClientSession, count: int, message: bytes) -> bool:
        """Send a message; false if it is to be sent again."""
        headers = {"Content-Type": "application/json"}
        try:
            async with http.post(
                self._url, data=message, headers=headers, allow_redirects=False
            ) as answer:  # a redirect could lead spans to another host
                status = answer.status
        except (aiohttp.ClientError, TimeoutError, OSError):
            self._note_problem("it does not answer")
            return False
        if status in _AGAIN:
            self._note_problem(f"it answers HTTP {status}")
            return False
        if status != HTTPStatus.OK:
            self._lose(count, f"it answers HTTP {status}")
        elif self.problem is not None:
            _LOG.info("Spans are sent on to %s again.", self._url)
            self.problem = None
        return True

    def _note_problem(self, reason: str) -> None:
        if self.problem is None:
            _LOG.warning("Spans wait to be sent on to %s: %s.", self._url, reason)
        self.problem = reason

    def _lose(self, count: int, reason: str) -> None:
        self.lost += count
        now = time.monotonic()
        if now - self._said >= _SAY_EVERY_S:
            self._said = now
            _LOG.warning(
                "%d messages so far were not sent on to %s: %s. Their spans are in the service's "
                "files.",
                self.lost,
                self._url,
                reason,
            )
