"""The page that takes a token and begins a browser's session, and the end of that session."""

from http import HTTPStatus

from aiohttp import web

from trading_graph.service.server.access import ACCESS, COOKIE, SESSION_S, token_name
from trading_graph.service.server.audit import AuditAction, write_audit_line
from trading_graph.service.server.base_path import address
from trading_graph.service.server.inputs import first, form_of
from trading_graph.service.server.pages.layout import page, see_other

PATH = "/login"


def local(path: str) -> str:
    """A path on this service, and its home page in the place of anything else."""
    # A browser reads a backslash as a slash, and drops tabs and line ends.
    plain = path.startswith("/") and path.isascii() and path.isprintable()
    return path if plain and not path.startswith("//") and "\\" not in path else "/"


async def show(request: web.Request) -> web.Response:
    """Ask for a token, unless none is needed or one was shown."""
    target = local(request.query.get("next", "/"))
    access = request.app[ACCESS]
    if access.allows(request):
        return see_other(target)
    return page(request, "login.html", "Log in", target=target, error="")


async def log_in(request: web.Request) -> web.Response:
    """Begin a session for whoever shows a token."""
    access = request.app[ACCESS]
    access.check_rate(request)
    form = await form_of(request)
    target = local(first(form, "next"))
    if not access.needs_token:
        return see_other(target)
    token = first(form, "token")
    if not access.knows(token):
        write_audit_line(request, AuditAction.REFUSED_LOG_IN)
        return page(
            request,
            "login.html",
            "Log in",
            status=HTTPStatus.FORBIDDEN,
            target=target,
            error="The service does not know this token; trading-graph serve --new-token makes "
            "one.",
        )
    write_audit_line(request, AuditAction.LOG_IN, actor=token_name(token))
    response = see_other(target)
    response.set_cookie(
        COOKIE,
        access.begin_session(token),
        max_age=int(SESSION_S),
        path=address("/"),
        httponly=True,
        samesite="Strict",
        secure=_is_secure(request),
    )
    return response


async def log_out(request: web.Request) -> web.Response:
    """End the session."""
    session = request.cookies.get(COOKIE)
    if session is not None:
        write_audit_line(request, AuditAction.LOG_OUT)
        request.app[ACCESS].end_session(session)
    response = see_other(PATH)
    response.del_cookie(COOKIE, path=address("/"), httponly=True, samesite="Strict")
    return response


def _is_secure(request: web.Request) -> bool:
    # Behind a proxy that ends TLS only the browser knows; its Origin was checked to be ours.
    return request.secure or request.headers.get("Origin", "").startswith("https://")
