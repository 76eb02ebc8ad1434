"""The request as its client made it, where a trusted proxy passed it on.

`X-Forwarded-For`, `-Proto` and `-Host` are believed only from the proxies of the settings: anybody
else may write there what they like.
"""

import contextlib
import ipaddress
from collections.abc import Sequence

from aiohttp import web

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def networks(addresses: Sequence[str]) -> tuple[Network, ...]:
    """The networks of addresses such as `10.0.0.7` or `10.0.0.0/8`; raises ValueError."""
    return tuple(ipaddress.ip_network(each) for each in addresses)


def as_forwarded(request: web.Request, trusted: Sequence[Network]) -> web.Request:
    """The request with the address, scheme and host of the client, if a trusted proxy sent it.

    The client is the last address of `X-Forwarded-For` that is no trusted proxy: what stands before
    it was written by the client.
    """
    if not trusted or not is_trusted(request.remote or "", trusted):
        return request
    remote = request.remote or ""
    for address in reversed(_values(request, "X-Forwarded-For")):
        remote = address
        if not is_trusted(address, trusted):
            break
    scheme = _last(request, "X-Forwarded-Proto")
    headers = request.headers.copy()
    if host := _last(request, "X-Forwarded-Host"):
        headers["Host"] = host
    return request.clone(
        remote=remote,
        scheme=scheme if scheme in ("http", "https") else request.scheme,
        headers=headers,
    )


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
