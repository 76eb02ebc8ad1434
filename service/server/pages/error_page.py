"""Errors as pages, for whoever asks for pages: browsers say so, and programs do not."""

from urllib.parse import quote

from aiohttp import web
from aiohttp.typedefs import Handler

from trading_graph.otel.report.markup import element
from trading_graph.service.server.access import ACCESS
from trading_graph.service.server.pages import login
from trading_graph.service.server.pages.layout import link, page, see_other
from trading_graph.service.server.problems import REDACTOR, Problem, problem_of


@web.middleware
async def error_pages(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every error into a page, and a missing token into the question for one."""
    if "text/html" not in request.headers.get("Accept", ""):
        return await handler(request)
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return _answer(request, problem_of(error))
    except Exception as error:
        return _answer(request, problem_of(error))


def _answer(request: web.Request, problem: Problem) -> web.Response:
    if problem.status == 401:
        wanted = request.path_qs if request.method == "GET" else "/"
        return see_other(f"{login.PATH}?next={quote(wanted, safe='')}")
    said = request.app[REDACTOR].text(problem.detail)
    known = request.match_info.http_exception is None
    body = element(
        "section",
        element("p", str(int(problem.status)), class_="kicker"),
        element("h1", problem.status.phrase),
        element("p", said if known else "There is no page at this address.", class_="headline"),
        element("p", link("All runs", "/"), class_="links") if _may(request) else "",
    )
    response = page(request, problem.status.phrase, body, status=problem.status)
    response.headers.update(problem.headers)
    return response


def _may(request: web.Request) -> bool:
    return request.app[ACCESS].allows(request)
