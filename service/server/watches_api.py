"""Which services are watched: listed, added, removed."""

from http import HTTPStatus

from aiohttp import web

from trading_graph.service.server.context import SERVICE
from trading_graph.service.server.operations import Answer, Operation
from trading_graph.service.server.problems import Problem
from trading_graph.service.server.trace_documents import WatchDocument, WatchList, watch_document
from trading_graph.service.server.watches import MOST, TooManyWatches

_LONGEST = 200


async def listed(request: web.Request) -> web.Response:
    """All watches."""
    found = [watch_document(watch) for watch in request.app[SERVICE].watches.all()]
    return web.json_response(text=WatchList(watches=found).model_dump_json())


async def put(request: web.Request) -> web.Response:
    """Watch a service, from now on where it is not watched yet."""
    try:
        watch, created = await request.app[SERVICE].watches.add(_service(request))
    except TooManyWatches:
        raise Problem(
            HTTPStatus.CONFLICT, f"{MOST} services are watched already; end one with DELETE."
        ) from None
    status = HTTPStatus.CREATED if created else HTTPStatus.OK
    return web.json_response(text=watch_document(watch).model_dump_json(), status=status)


async def delete(request: web.Request) -> web.Response:
    """Watch a service no longer."""
    watches, service = request.app[SERVICE].watches, _service(request)
    watch = watches.get(service)
    if watch is None:
        raise Problem(
            HTTPStatus.NOT_FOUND,
            "No service of that name is watched; /v1/watches lists those that are.",
        )
    if watch.kept.setting:
        raise Problem(
            HTTPStatus.CONFLICT,
            "This watch is asked for by TRADING_GRAPH_SERVE_WATCH; change that, and start the "
            "service again.",
        )
    await watches.remove(service)
    return web.Response(status=HTTPStatus.NO_CONTENT)


def _service(request: web.Request) -> str:
    name = request.match_info["service"]
    if not name.isprintable() or not name.strip() or len(name) > _LONGEST:
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            f"A service's name has 1 to {_LONGEST} printable characters; send such a one.",
        )
    return name


_WATCH = "/v1/watches/{service}"

OPERATIONS = (
    Operation(
        "GET",
        "/v1/watches",
        listed,
        "listWatches",
        "The services whose traces are judged as they arrive.",
        {HTTPStatus.OK: Answer("The watches.", WatchList)},
    ),
    Operation(
        "PUT",
        _WATCH,
        put,
        "putWatch",
        "Judge the traces of a service as they arrive in Jaeger, from now on.",
        {
            HTTPStatus.CREATED: Answer("It is watched from now on.", WatchDocument),
            HTTPStatus.OK: Answer("It was watched before.", WatchDocument),
        },
        fails=(HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY),
    ),
    Operation(
        "DELETE",
        _WATCH,
        delete,
        "deleteWatch",
        "Judge the traces of a service no longer; the verdicts that there are stay.",
        {HTTPStatus.NO_CONTENT: Answer("It is not watched any more.")},
        fails=(HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY),
    ),
)
