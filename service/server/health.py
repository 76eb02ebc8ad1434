"""Liveness, readiness and metrics of the service."""

from http import HTTPStatus

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from trading_graph.service.server.context import SERVICE
from trading_graph.service.server.documents import Health, Readiness
from trading_graph.service.server.operations import Operation, ok
from trading_graph.service.server.problems import Problem


async def is_alive(request: web.Request) -> Health:
    """Whether the service lives."""
    return Health(status="ok")


async def is_ready(request: web.Request) -> Readiness:
    """Whether the service takes runs: it can write its store and is not stopping."""
    service = request.app[SERVICE]
    if service.queue.closing:
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "The service is stopping.")
    await service.store.check()
    queue = service.queue
    return Readiness(
        status="ready", begun=queue.begun, running=queue.running, waiting=queue.waiting
    )


async def get_metrics(request: web.Request) -> web.Response:
    """The metrics in the format of Prometheus."""
    body = generate_latest(request.app[SERVICE].registry)
    return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})


_UNKNOWN_HOST = HTTPStatus.MISDIRECTED_REQUEST

OPERATIONS = (
    Operation("GET", "/healthz", is_alive, ok(Health), open=True, fails=(_UNKNOWN_HOST,)),
    Operation(
        "GET",
        "/readyz",
        is_ready,
        ok(Readiness),
        open=True,
        fails=(HTTPStatus.SERVICE_UNAVAILABLE, _UNKNOWN_HOST),
    ),
    Operation("GET", "/metrics", get_metrics, ok(content="text/plain")),
)
