"""Which redirects are followed: those of a host to itself, over http or https.

What answers at an address may be somebody else. Followed anywhere, it could have this
program read what only it can reach, or take its key and its spans to another host.
"""

from collections.abc import Collection
from http.client import HTTPMessage
from typing import IO
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import (
    HTTPRedirectHandler,
    OpenerDirector,
    Request,
    build_opener,
)

_SCHEMES = ("http", "https")


def is_followed(asked: str, location: str, also: Collection[str] = ()) -> bool:
    """Whether a redirect from one address to another is followed; https never becomes http.

    `also` are hosts that belong to the one that was asked; `.example.com` is all below that name.
    """
    try:
        first, then = urlsplit(asked), urlsplit(location)
        host, next_host = first.hostname, then.hostname or ""
    except ValueError:
        return False
    if then.scheme not in _SCHEMES or (first.scheme == "https" and then.scheme != "https"):
        return False
    return host == next_host or any(
        next_host.endswith(each) if each.startswith(".") else next_host == each for each in also
    )


class RedirectRefusedError(URLError):
    """An address redirects to another host."""

    def __init__(self, location: str) -> None:
        super().__init__(f"it redirects to {urlsplit(location).hostname or 'another scheme'}")


class _SameHost(HTTPRedirectHandler):
    def redirect_request(
        self,
        req: Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> Request | None:
        """The next request; raises RedirectRefusedError."""
        if not is_followed(req.full_url, newurl):
            raise RedirectRefusedError(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def same_host_opener() -> OpenerDirector:
    """An opener of addresses that follows redirects to the same host only."""
    return build_opener(_SameHost)
