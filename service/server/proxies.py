"""The request as its client made it, where a trusted proxy passed it on.

`X-Forwarded-For`, `-Proto`, `-Host` and `-Prefix` are believed only from the proxies of the
settings: anybody else may write there what they like.
"""

import contextlib
import ipaddress
from collections.abc import Sequence

from aiohttp import web
from aiohttp.typedefs import Handler
from yarl import URL

from trading_graph.service.server.base_path import below, parse_base_path

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_BASE_PATH = web.RequestKey("base_path", str)
"""Where the client of a request finds the service."""


def networks(addresses: Sequence[str]) -> tuple[Network, ...]:
    """The networks of addresses such as `10.0.0.7` or `10.0.0.0/8`; raises ValueError."""
    return tuple(ipaddress.ip_network(each) for each in addresses)


def as_client_made(request: web.Request, trusted: Sequence[Network], base_path: str) -> web.Request:
    """The request as it was before proxies passed it on, with a path below the service's root.

    A path that begins with the base path loses it; a proxy that took it off already is as good.
    """
    path = request.rel_url.raw_path
    if base_path and (path == base_path or path.startswith(f"{base_path}/")):
        query = request.rel_url.raw_query_string
        own = path.removeprefix(base_path) or "/"
        request = request.clone(rel_url=URL.build(path=own, query_string=query, encoded=True))
    request[_BASE_PATH] = base_path
    if trusted and is_trusted(request.remote or "", trusted):
        return _as_forwarded(request, trusted)
    return request


def _as_forwarded(request: web.Request, trusted: Sequence[Network]) -> web.Request:
    """The request with the address, scheme, host and base path that a trusted proxy tells.

    The client is the last address of `X-Forwarded-For` that is no trusted proxy: what stands before
    it was written by the client.
    """
    remote = request.remote or ""
    for address in reversed(_values(request, "X-Forwarded-For")):
        remote = address
        if not is_trusted(address, trusted):
            break
    scheme = _last(request, "X-Forwarded-Proto")
    headers = request.headers.copy()
    if host := _last(request, "X-Forwarded-Host"):
        headers["Host"] = host
    if prefix := _last(request, "X-Forwarded-Prefix"):
        with contextlib.suppress(ValueError):
            request[_BASE_PATH] = parse_base_path(prefix)
    return request.clone(
        remote=remote,
        scheme=scheme if scheme in ("http", "https") else request.scheme,
        headers=headers,
    )


@web.middleware
async def below_base_path(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Make the addresses in an answer for the client of its request."""
    with below(request.get(_BASE_PATH, "")):
        return await handler(request)


def _values(request: web.Request, header: str) -> list[str]:
    lines = request.headers.getall(header, [])
    return [part for line in lines for value in line.split(",") if (part := value.strip())]


def _last(request: web.Request, header: str) -> str:
    values = _values(request, header)
    return values[-1] if values else ""


def is_trusted(address: str, trusted: Sequence[Network]) -> bool:
    """Whether an address is of a trusted proxy."""
    with contextlib.suppress(ValueError):
        given = ipaddress.ip_address(address.strip("[]"))
        return any(given.version == each.version and given in each for each in trusted)
    return False
