"""The addresses of the pages, and the pages of errors.

Errors are pages for whoever asks for pages: browsers say so, and programs do not.
"""

from urllib.parse import quote

from aiohttp import web
from aiohttp.typedefs import Handler

from trading_graph.service.server.access import ACCESS
from trading_graph.service.server.pages import home, login, run_page, verdict_page
from trading_graph.service.server.pages.layout import ASSET_PATH, page, see_other, show_asset
from trading_graph.service.server.problems import REDACTOR, Problem, problem_of

ROUTES = (
    web.get("/", home.show),
    web.post("/runs", home.start),
    web.get("/runs/{run_id}", run_page.show),
    web.post("/runs/{run_id}/cancel", run_page.cancel),
    web.get("/traces/{trace_id}", verdict_page.show),
    web.get(login.PATH, login.show),
    web.post(login.PATH, login.log_in),
    web.post("/logout", login.log_out),
    web.get(ASSET_PATH, show_asset),
)

OPEN_PATHS = frozenset({login.PATH, "/logout", ASSET_PATH})
"""What may be asked for without a token."""


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
        target = request.path_qs if request.method == "GET" else "/"
        return see_other(f"{login.PATH}?next={quote(target, safe='')}")
    detail = request.app[REDACTOR].text(problem.detail)
    if request.match_info.http_exception is not None:
        detail = "There is no page at this address."
    response = page(
        request,
        "error.html",
        problem.status.phrase,
        status=problem.status,
        number=int(problem.status),
        detail=detail,
        allowed=request.app[ACCESS].allows(request),
    )
    response.headers.update(problem.headers)
    return response
