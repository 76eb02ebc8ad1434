"""What a failed request means: its error, and whether a retry may help.

A message names host and path, never the query, which may hold a key; and never an exception's own
text, which may repeat the query.
"""

import datetime
import re
from email.utils import parsedate_to_datetime

import aiohttp
from yarl import URL

from trading_graph.toolkit.errors import (
    BadAnswerError,
    DataError,
    HttpStatusError,
    RateLimitError,
    SourceTimeoutError,
    SourceUnavailableError,
)

MAX_REASON_BYTES = 65536
"""How much of an unsuccessful answer is read to explain it, in bytes."""

# What aiohttp's parsers say, in C and in Python.
_TOO_LONG = "Got more than"

_SECONDS = re.compile(r"\d{1,9}(\.\d{1,9})?")


class ConnectionBrokenError(aiohttp.ClientConnectionError):
    """The connection ended before the answer's headers; `reused` if it had served before.

    A server may close an idle connection at the wrong moment: that is nobody's fault.
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

    `in_queue` says that the time ran out while the request waited for a free connection. That says
    nothing of the host, and a retry would only lengthen the queue.
    """
    where = place(url)
    match error:
        case aiohttp.ConnectionTimeoutError():
            return SourceTimeoutError(
                f"{where} gave no connection in time (limit {limits.connect:g} s, the wait for a "
                "free one included): try again later, or ask for less at once.",
                transient=not in_queue,
            )
        case aiohttp.SocketTimeoutError():
            return SourceTimeoutError(
                f"{where} fell silent for {limits.sock_read:g} s: try again later.",
                transient=True,
            )
        case TimeoutError():
            return SourceTimeoutError(
                f"{where} did not finish its answer within {total_s:g} s: try again later.",
                transient=not in_queue,
            )
        case aiohttp.ClientConnectorError():
            return SourceUnavailableError(
                f"{where} cannot be reached ({error.strerror or type(error).__name__}): "
                "check the network and the address.",
                transient=not isinstance(error, aiohttp.ClientSSLError),
            )
        case aiohttp.TooManyRedirects():
            return SourceUnavailableError(f"{where} redirects in circles: check the address.")
        case aiohttp.ClientResponseError() if error.message.startswith(_TOO_LONG):
            return BadAnswerError(
                f"{where} sent a header line of more than 32 KiB: check the address."
            )
        case aiohttp.ClientResponseError():
            return BadAnswerError(f"{where} sent an answer that is not HTTP: check the address.")
        case aiohttp.ClientConnectionError() | aiohttp.ClientPayloadError():
            return SourceUnavailableError(
                f"{where} broke off its answer: try again later.", transient=True
            )
    return SourceUnavailableError(
        f"{where} cannot be asked ({type(error).__name__}): check the address."
    )


def refusal(answer: aiohttp.ClientResponse, body: bytes) -> DataError:
    """The error for a status that is not success; `body` is what explains it."""
    status = answer.status
    outcome = f"{place(answer.url)} answered {status}"
    wait_s = retry_after_s(answer.headers.get("Retry-After", ""))
    when = "later" if wait_s is None else f"in {wait_s:g} s"
    match status:
        case 429:
            return RateLimitError(
                f"{outcome}, too many requests: try again {when}.",
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
    return HttpStatusError(
        f"{outcome}: {advice}",
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
