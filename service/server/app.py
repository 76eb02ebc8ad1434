"""The service as one aiohttp application: its routes and middlewares."""

import json
from collections.abc import Sequence
from http import HTTPStatus

from aiohttp import web
from aiohttp.typedefs import Handler

from trading_graph.otel.redaction import Redactor
from trading_graph.service.extras import VERSION
from trading_graph.service.server import access, health, problems, runs_api, traces_api, watches
from trading_graph.service.server.access import ACCESS, OPEN_PATHS, Access, Rates
from trading_graph.service.server.context import SERVICE, ServiceContext
from trading_graph.service.server.operations import ApiAnswer, Operation, add_routes, openapi
from trading_graph.service.server.pages import routes
from trading_graph.service.settings import Settings

_MIB = 2**20


def make_app(service: ServiceContext, redactor: Redactor) -> web.Application:
    """The application around the parts of a running service."""
    settings = service.settings
    app = web.Application(
        middlewares=[problems.problems, routes.error_pages, access.guard],
        client_max_size=settings.serve_upload_mib * _MIB,
    )
    app[SERVICE] = service
    app[problems.REDACTOR] = redactor
    app[ACCESS] = access_of(settings)
    operations = all_operations()
    add_routes(app, operations)
    app.add_routes(routes.ROUTES)
    app[OPEN_PATHS] = routes.OPEN_PATHS | {each.path for each in operations if each.open}
    app.on_response_prepare.append(access.set_headers)
    return app


def access_of(settings: Settings) -> Access:
    """The access rules of the settings."""
    return Access(
        token_digests=settings.serve_token_sha256,
        hosts=frozenset(host.lower() for host in settings.serve_hosts),
        rates=Rates(settings.serve_requests_per_s, settings.serve_burst),
    )


def all_operations() -> Sequence[Operation]:
    """Every operation of the API."""
    operations = [
        *health.OPERATIONS,
        *runs_api.OPERATIONS,
        *traces_api.OPERATIONS,
        *watches.OPERATIONS,
    ]
    return [*operations, _document_of(operations)]


def _document_of(operations: Sequence[Operation]) -> Operation:
    text = ""

    async def document(request: web.Request) -> web.Response:
        nonlocal text
        text = text or json.dumps(openapi([*operations, own], VERSION))
        return web.json_response(text=text)

    handler: Handler = document
    own = Operation(
        "GET",
        "/v1/openapi.json",
        handler,
        "getOpenapi",
        "This document.",
        {HTTPStatus.OK: ApiAnswer("The document.", content="application/json")},
    )
    return own
