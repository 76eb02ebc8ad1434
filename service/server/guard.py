"""Applies the rules of access to each request, and adds the security headers to each answer."""

from http import HTTPStatus

from aiohttp import HttpVersion11, web
from aiohttp.typedefs import Handler

from trading_graph.service.server.access import ACCESS, HEADERS
from trading_graph.service.server.audit import AuditAction, write_audit_line
from trading_graph.service.server.problems import Problem

OPEN_PATHS = web.AppKey("open_paths", frozenset[str])
"""Paths that need no token."""
UNMETERED_PATHS = web.AppKey("unmetered_paths", frozenset[str])
"""Paths that a client may ask as often as it wants."""


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Apply the rules to a request; raises Problem."""
    access = request.app[ACCESS]
    resource = request.match_info.route.resource
    path = "" if resource is None else resource.canonical
    is_open = path in request.app[OPEN_PATHS]
    # Load balancers ask for the health in HTTP/1.0 without a host; no browser does.
    if not (is_open and request.version < HttpVersion11 and "Host" not in request.headers):
        access.check_host(request)
    access.check_origin(request)
    if not is_open:
        if path not in request.app[UNMETERED_PATHS]:
            access.check_rate(request)
        if not access.allows(request):
            if "Authorization" in request.headers:  # Browsers come without before they log in.
                write_audit_line(request, AuditAction.REFUSED_TOKEN)
            raise Problem(
                HTTPStatus.UNAUTHORIZED,
                "This needs a token; send it as Authorization: Bearer TOKEN.",
                headers={"WWW-Authenticate": "Bearer"},
            )
    return await handler(request)


async def set_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Add the security headers that a response lacks."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers["Server"] = "trading-graph"  # the default names the library and its release
