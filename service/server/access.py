"""Access control: hosts, origins, tokens, sessions and rates, and the security headers."""

import contextlib
import hashlib
import hmac
import ipaddress
import math
import secrets
import time
from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import urlsplit

from aiohttp import web

from trading_graph.service.server.problems import Problem
from trading_graph.service.server.proxies import Network

COOKIE = "trading_graph_session"
SESSION_S = 12 * 3600.0
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
_MOST_CLIENTS = 10_000
_MOST_SESSIONS = 1_000

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def digest(token: str) -> str:
    """The digest of a token; a token has 256 random bits, so a plain hash is safe."""
    # A header may hold bytes that are no UTF-8.
    return hashlib.sha256(token.encode(errors="surrogateescape")).hexdigest()


@dataclass(slots=True)
class _Bucket:
    """How many requests a client may make now; it refills with time."""

    left: float
    at: float


class Rates:
    """A token bucket for each client; the least recent clients are dropped first."""

    def __init__(self, per_s: float, burst: int) -> None:
        self._per_s = per_s
        self._burst = burst
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, client: str) -> float:
        """Take one request; returns 0, or the seconds until one is free."""
        now = time.monotonic()
        bucket = self._buckets.pop(client, None) or _Bucket(self._burst, now)
        bucket.left = min(self._burst, bucket.left + (now - bucket.at) * self._per_s)
        bucket.at = now
        self._buckets[client] = bucket
        if len(self._buckets) > _MOST_CLIENTS:
            self._buckets.popitem(last=False)
        if bucket.left < 1:
            return (1 - bucket.left) / self._per_s
        bucket.left -= 1
        return 0.0


@dataclass(slots=True)
class Access:
    """The rules of one service; without token digests everybody who reaches it has access.

    `hosts` are the names of the service beside those of loopback.
    """

    token_digests: Sequence[str]
    hosts: Collection[str]
    rates: Rates
    proxies: Sequence[Network] = ()
    _sessions: OrderedDict[str, "_Session"] = field(default_factory=OrderedDict)

    @property
    def needs_token(self) -> bool:
        """Whether a request needs a token."""
        return bool(self.token_digests)

    def knows(self, token: str) -> bool:
        """Whether a token is valid; every invalid one takes the same time."""
        offered = digest(token)
        # All are compared, even after a match.
        matches = [hmac.compare_digest(offered, each) for each in self.token_digests]
        return any(matches)

    def begin_session(self, token: str) -> str:
        """Begin the session of a browser that has shown a token."""
        session = secrets.token_urlsafe(32)
        self._sessions[digest(session)] = _Session(time.monotonic() + SESSION_S, token_name(token))
        if len(self._sessions) > _MOST_SESSIONS:
            self._sessions.popitem(last=False)
        return session

    def end_session(self, session: str) -> None:
        """End a session."""
        self._sessions.pop(digest(session), None)

    def allows(self, request: web.Request) -> bool:
        """Whether a request has a valid token or session."""
        if not self.needs_token:
            return True
        token = _bearer(request)
        return self._session(request) is not None if token is None else self.knows(token)

    def actor(self, request: web.Request) -> str:
        """Who makes a request: the first characters of the digest of the token, else `anyone`."""
        if not self.needs_token:
            return "anyone"
        token = _bearer(request)
        if token is not None:
            return token_name(token)
        session = self._session(request)
        return "anyone" if session is None else session.actor

    def _session(self, request: web.Request) -> "_Session | None":
        session = self._sessions.get(digest(request.cookies.get(COOKIE, "")))
        return session if session is not None and session.ends > time.monotonic() else None

    def check_host(self, request: web.Request) -> None:
        """Refuse a foreign host name: a page elsewhere may have pointed its own name at us.

        Raises Problem.
        """
        # `request.host` would look up our own host name.
        host = request.headers.get("Host", "").lower()
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        if name not in _LOOPBACK and name not in self.hosts and not _is_address(name):
            raise Problem(
                HTTPStatus.MISDIRECTED_REQUEST,
                "The service is not known by this host name; TRADING_GRAPH_SERVE_HOSTS adds one.",
            )

    def check_origin(self, request: web.Request) -> None:
        """Refuse a change that comes from a page of another origin; raises Problem."""
        if request.method in _SAFE:
            return
        origin = request.headers.get("Origin")
        if _is_foreign(origin, request.headers.get("Host", "")) or request.headers.get(
            "Sec-Fetch-Site"
        ) in ("cross-site", "same-site"):
            raise Problem(
                HTTPStatus.FORBIDDEN,
                "A page of another origin may change nothing here; send the request from the "
                "service's own page, or from a program.",
            )

    def check_rate(self, request: web.Request) -> None:
        """Refuse a client that asks too often; raises Problem."""
        wait = self.rates.take(request.remote or "")
        if wait > 0:
            raise Problem(
                HTTPStatus.TOO_MANY_REQUESTS,
                "Too many requests from one client; wait as Retry-After says.",
                headers={"Retry-After": str(math.ceil(wait))},
            )


@dataclass(frozen=True, slots=True)
class _Session:
    """A browser's session: when it ends, on the monotonic clock, and whose it is."""

    ends: float
    actor: str


def token_name(token: str) -> str:
    """The first characters of a token's digest, which name it in the log."""
    return digest(token)[:8]


def _bearer(request: web.Request) -> str | None:
    """The token that a request shows; None where it shows none."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _is_address(name: str) -> bool:
    """Whether a host is an IP address, which no page can have pointed at us."""
    with contextlib.suppress(ValueError):
        return bool(ipaddress.ip_address(name.strip("[]")))
    return False


def _is_foreign(origin: str | None, host: str) -> bool:
    if origin is None:
        return False
    try:
        return urlsplit(origin).netloc.lower() != host.lower()
    except ValueError:
        return True


ACCESS = web.AppKey("access", Access)
