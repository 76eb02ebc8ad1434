"""What it means when a request fails: the typed error, and whether asking again may help.

A message names host and path, never the query, which may hold a key; and never an exception's own
text, which may repeat it.
"""

import datetime
import re
from contextlib import suppress
from email.utils import parsedate_to_datetime

import aiohttp
from yarl import URL

from trading_graph.toolkit.body import read_body
from trading_graph.toolkit.errors import (
    BadAnswer,
    DataError,
    HttpStatus,
    RateLimited,
    SourceTimeout,
    SourceUnavailable,
)

# Of an answer that is not success, as much as explains it.
_REASON_BYTES = 65536

# What aiohttp's parsers say, in C and in Python.
_TOO_LONG = "Got more than"

_SECONDS = re.compile(r"\d{1,9}(\.\d{1,9})?")


class ConnectionBroken(aiohttp.ClientConnectionError):
    """The connection ended before the answer's headers; `reused` if it had served before.

    A kept connection that the server closes at the wrong moment is nobody's fault.
    """

    def __init__(self, reused: bool) -> None:
        super().__init__("connection broken")
        self.reused = reused


def place(url: URL) -> str:
    """Host, port if unusual, and path: what a message may name."""
    port = "" if url.is_default_port() else f":{url.port}"
    return f"{url.host}{port}{url.raw_path}"


def failure(
    url: URL,
    error: Exception,
    limits: aiohttp.ClientTimeout,
    total_s: float,
    *,
    in_queue: bool = False,
) -> DataError:
    """The error for an exchange that ended without an answer.

    `in_queue`: it waited for a free connection until its time was up, which tells nothing of the
    host, and asking again would only lengthen the queue.
    """
    where = place(url)
    match error:
        case aiohttp.ConnectionTimeoutError():
            return SourceTimeout(
                f"{where} gave no connection in time (limit {limits.connect:g} s, the wait for a "
                "free one included): try again later, or ask for less at once.",
                transient=not in_queue,
            )
        case aiohttp.SocketTimeoutError():
            return SourceTimeout(
                f"{where} fell silent for {limits.sock_read:g} s: try again later.",
                transient=True,
            )
        case TimeoutError():
            return SourceTimeout(
                f"{where} did not finish its answer within {total_s:g} s: try again later.",
                transient=not in_queue,
            )
        case aiohttp.ClientConnectorError():
            return SourceUnavailable(
                f"{where} cannot be reached ({error.strerror or type(error).__name__}): "
                "check the network and the address.",
                transient=not isinstance(error, aiohttp.ClientSSLError),
            )
        case aiohttp.TooManyRedirects():
            return SourceUnavailable(f"{where} redirects in circles: check the address.")
        case aiohttp.ClientResponseError() if error.message.startswith(_TOO_LONG):
            return BadAnswer(f"{where} sent a header line of more than 32 KiB: check the address.")
        case aiohttp.ClientResponseError():
            return BadAnswer(f"{where} sent an answer that is not HTTP: check the address.")
        case aiohttp.ClientConnectionError() | aiohttp.ClientPayloadError():
            return SourceUnavailable(
                f"{where} broke off its answer: try again later.", transient=True
            )
    return SourceUnavailable(
        f"{where} cannot be asked ({type(error).__name__}): check the address."
    )


async def refusal(answer: aiohttp.ClientResponse) -> DataError:
    """The error for a status that is not success; its body is read, so the connection serves on."""
    body = b""
    with suppress(aiohttp.ClientError):
        body = await read_body(answer, _REASON_BYTES) or b""
    status = answer.status
    said = f"{place(answer.url)} answered {status}"
    wait_s = retry_after_s(answer.headers.get("Retry-After", ""))
    when = "later" if wait_s is None else f"in {wait_s:g} s"
    match status:
        case 429:
            return RateLimited(
                f"{said}, too many requests: try again {when}.",
                transient=True,
                retry_after_s=wait_s,
            )
        case 401 | 403:
            advice = "check the key and the User-Agent."
        case 404:
            advice = "nothing is there, check what was asked for."
        case _ if status >= 500:
            advice = f"try again {when}."
        case _:
            advice = "check what was asked for."
    return HttpStatus(
        f"{said}: {advice}",
        status=status,
        body=body,
        transient=status >= 500,
        retry_after_s=wait_s if status >= 500 else None,
    )


def retry_after_s(text: str, now: datetime.datetime | None = None) -> float | None:
    """The seconds that a Retry-After header asks for: a number or an HTTP date; None if neither."""
    text = text.strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    if when.tzinfo is None:  # "-0000": UTC, of an unknown place
        when = when.replace(tzinfo=datetime.UTC)
    now = now or datetime.datetime.now(datetime.UTC)
    return float(max(0, round((when - now).total_seconds())))
