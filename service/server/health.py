"""Liveness, readiness and metrics of the service."""

from http import HTTPStatus

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from trading_graph.service.server.context import SERVICE
from trading_graph.service.server.documents import Health, Readiness
from trading_graph.service.server.operations import ApiAnswer, Operation
from trading_graph.service.server.problems import Problem


async def alive(request: web.Request) -> web.Response:
    """Answer that the process lives."""
    return web.json_response(text=Health(status="ok").model_dump_json())


async def ready(request: web.Request) -> web.Response:
    """Answer that the store can be written and the service is not stopping; raises Problem."""
    service = request.app[SERVICE]
    if service.queue.closing:
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "The service is stopping.")
    await service.store.check()
    queue = service.queue
    readiness = Readiness(
        status="ready", begun=queue.begun, running=queue.running, waiting=queue.waiting
    )
    return web.json_response(text=readiness.model_dump_json())


async def metrics(request: web.Request) -> web.Response:
    """The metrics in the format of Prometheus."""
    body = generate_latest(request.app[SERVICE].registry)
    return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})


OPERATIONS = (
    Operation(
        "GET",
        "/healthz",
        alive,
        "isAlive",
        "Whether the service lives.",
        {HTTPStatus.OK: ApiAnswer("It does.", Health)},
        open=True,
        fails=(HTTPStatus.MISDIRECTED_REQUEST,),
    ),
    Operation(
        "GET",
        "/readyz",
        ready,
        "isReady",
        "Whether the service takes runs.",
        {HTTPStatus.OK: ApiAnswer("It does.", Readiness)},
        open=True,
        fails=(HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.MISDIRECTED_REQUEST),
    ),
    Operation(
        "GET",
        "/metrics",
        metrics,
        "getMetrics",
        "Metrics, as Prometheus reads them.",
        {HTTPStatus.OK: ApiAnswer("The metrics.", content="text/plain")},
    ),
)
