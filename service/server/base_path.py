"""The base path: where clients find the service below its host, such as `/trading`.

A proxy may give the service a part of its addresses. Paths of the service's own begin at its root,
and every one that a client gets, in a page, a document or a header, is made by `address`.
"""

import contextlib
import re
from collections.abc import Iterator
from contextvars import ContextVar

_PATH = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*){1,16}")
_LONGEST = 200
_current: ContextVar[str] = ContextVar("base_path", default="")


def parse_base_path(text: str) -> str:
    """A base path from `/trading`, `trading` or `/trading/`, empty from `/`; raises ValueError."""
    path = f"/{text.strip('/')}" if text.strip("/") else ""
    if path and (len(path) > _LONGEST or not _PATH.fullmatch(path)):
        raise ValueError("is no path; give one such as /trading")
    return path


@contextlib.contextmanager
def below(base_path: str) -> Iterator[None]:
    """Let `address` make addresses for a client that finds the service below a base path."""
    token = _current.set(base_path)
    try:
        yield
    finally:
        _current.reset(token)


def address(path: str) -> str:
    """Where the client of the current request finds a path of the service."""
    return f"{_current.get()}{path}"
