"""Which redirects of a backend are followed: those to its own host, over http or https.

What answers at a backend's address may be somebody else. Followed anywhere, it could have this
program read what only it can reach, or take its key and its spans to another host.
"""

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


def is_followed(asked: str, location: str) -> bool:
    """Whether a redirect from one address to another is followed; https never becomes http."""
    try:
        first, then = urlsplit(asked), urlsplit(location)
        same = first.hostname == then.hostname
    except ValueError:
        return False
    if then.scheme not in _SCHEMES or (first.scheme == "https" and then.scheme != "https"):
        return False
    return same


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
