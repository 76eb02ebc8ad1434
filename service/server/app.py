"""The service as one aiohttp application: its routes, what errors become, and its own state.

Errors are pages for whoever asks for pages: browsers say so, and programs do not.
"""

import asyncio
import functools
import json
from collections.abc import Sequence
from http import HTTPStatus
from urllib.parse import quote

from aiohttp import web
from aiohttp.typedefs import Handler

from trading_graph.otel.redaction import Redactor
from trading_graph.service.errors import SettingsError
from trading_graph.service.extras import VERSION
from trading_graph.service.server import (
    feed_api,
    health,
    mcp_proxy,
    portfolios_api,
    runs_api,
    traces_api,
    watches,
)
from trading_graph.service.server.access import ACCESS, Access, Rates
from trading_graph.service.server.api_documents import Health, Readiness
from trading_graph.service.server.base_path import address
from trading_graph.service.server.clients import CONNECTIONS, STREAMS, Shares
from trading_graph.service.server.context import SERVICE, ServiceContext
from trading_graph.service.server.guard import OPEN_PATHS, UNMETERED_PATHS, guard, set_headers
from trading_graph.service.server.openapi import Operation, add_routes, ok, openapi
from trading_graph.service.server.pages import (
    compare_page,
    home,
    login,
    portfolio_page,
    portfolios_page,
    run_page,
    trace_view,
    verdict_page,
)
from trading_graph.service.server.pages.layout import ASSET_PATH, page, see_other, show_asset
from trading_graph.service.server.problems import REDACTOR, Problem, answer, problem_of
from trading_graph.service.server.proxies import below_base_path, networks
from trading_graph.service.server.receiving import api as receiving_api
from trading_graph.service.server.service_metrics import ServiceMetrics, get_metrics
from trading_graph.service.settings import Settings

_MIB = 2**20

PAGES = (
    web.get("/", home.show),
    web.post("/runs", home.start),
    web.post("/runs/again", home.start_again),
    web.get("/compare", compare_page.show),
    web.get("/runs/{run_id}", run_page.show),
    web.post("/runs/{run_id}/cancel", run_page.cancel),
    web.get("/portfolios", portfolios_page.show),
    web.post("/portfolios", portfolios_page.start),
    web.get("/portfolios/{portfolio_id}", portfolio_page.show),
    web.post("/portfolios/{portfolio_id}/cancel", portfolio_page.cancel),
    web.post("/traces", home.look_at_trace),
    web.get("/traces/{trace_id}", verdict_page.show),
    web.get("/traces/{trace_id}/spans", trace_view.show_table),
    web.get(login.PATH, login.show),
    web.post(login.PATH, login.log_in),
    web.post("/logout", login.log_out),
    web.get(ASSET_PATH, show_asset),
)
_OPEN_PAGES = frozenset({login.PATH, "/logout", ASSET_PATH})


def make_app(
    service: ServiceContext, redactor: Redactor, metrics: ServiceMetrics
) -> web.Application:
    """The application around the parts of a running service."""
    settings = service.settings
    app = web.Application(
        middlewares=[below_base_path, metrics.measure, answer_errors, guard],
        client_max_size=settings.serve_upload_mib * _MIB,
    )
    app[SERVICE] = service
    app[REDACTOR] = redactor
    app[ACCESS] = access_of(settings)
    app[CONNECTIONS] = Shares(settings.serve_connections, networks(settings.serve_proxies))
    app[STREAMS] = Shares(settings.serve_streams)
    operations = all_operations()
    add_routes(app, operations)
    app.add_routes(PAGES)
    mcp_proxy.add_to(app, settings, service.out)
    app[OPEN_PATHS] = _OPEN_PAGES | {each.path for each in operations if each.open}
    app[UNMETERED_PATHS] = frozenset(each.path for each in operations if each.unmetered)
    _check_base_path(app, settings.serve_base_path)
    app.on_response_prepare.append(set_headers)
    app.on_shutdown.append(end_feed)
    return app


def _check_base_path(app: web.Application, base_path: str) -> None:
    """Refuse a base path that the service's own paths begin with; raises SettingsError.

    A proxy may have taken it off, and what is left must not lose a part that looks the same.
    """
    own = {each.canonical.split("/")[1] for each in app.router.resources()}
    if base_path and base_path.split("/")[1] in own:
        raise SettingsError(
            f"TRADING_GRAPH_SERVE_BASE_PATH cannot begin with /{base_path.split('/')[1]}, where "
            "the service has pages of its own; give another, such as /trading."
        )


async def end_feed(app: web.Application) -> None:
    """End the streams, which would hold up the service's end."""
    app[SERVICE].feed.close()


@web.middleware
async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every error into a page or a problem."""
    try:
        return await handler(request)
    except Exception as error:
        problem = problem_of(error)
    if "text/html" in request.headers.get("Accept", ""):
        return _error_page(request, problem)
    return answer(problem, request.app[REDACTOR])


def _error_page(request: web.Request, problem: Problem) -> web.Response:
    """The page of an error; a missing token becomes the question for one."""
    if problem.status is HTTPStatus.UNAUTHORIZED:
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


def access_of(settings: Settings) -> Access:
    """The access rules of the settings."""
    return Access(
        token_digests=settings.serve_token_sha256,
        hosts=frozenset(host.lower() for host in settings.serve_hosts),
        rates=Rates(settings.serve_requests_per_s, settings.serve_burst),
        proxies=networks(settings.serve_proxies),
    )


async def is_alive(request: web.Request) -> Health:
    """Whether the service lives."""
    return Health(status="ok")


async def is_ready(request: web.Request) -> Readiness:
    """Whether the service takes runs: it can write its store and is not stopping."""
    service = request.app[SERVICE]
    queue = service.queue
    if queue.closing:
        raise Problem(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "The service is stopping; ask again when it has started.",
        )
    await service.store.check()
    if problem := await asyncio.to_thread(lambda: service.room.problem):
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, problem)
    return Readiness(
        status="ready", begun=queue.begun, running=queue.running, waiting=queue.waiting
    )


def all_operations() -> Sequence[Operation]:
    """Every operation of the API."""
    unknown_host = HTTPStatus.MISDIRECTED_REQUEST
    not_ready = HTTPStatus.SERVICE_UNAVAILABLE
    return (
        Operation("GET", "/healthz", is_alive, ok(Health), open=True, fails=(unknown_host,)),
        Operation(
            "GET", "/readyz", is_ready, ok(Readiness), open=True, fails=(not_ready, unknown_host)
        ),
        Operation(
            "GET",
            "/metrics",
            get_metrics,
            ok(content="text/plain", other=("application/openmetrics-text",)),
        ),
        *runs_api.OPERATIONS,
        *portfolios_api.OPERATIONS,
        *receiving_api.OPERATIONS,
        *traces_api.OPERATIONS,
        *watches.OPERATIONS,
        *feed_api.OPERATIONS,
        *health.OPERATIONS,
        Operation("GET", "/v1/openapi.json", get_openapi, ok(content="application/json")),
    )


async def get_openapi(request: web.Request) -> web.Response:
    """This document."""
    return web.json_response(text=_openapi_json(address("")))


@functools.lru_cache(maxsize=4)
def _openapi_json(base_path: str) -> str:
    return json.dumps(openapi(all_operations(), VERSION, base_path))
