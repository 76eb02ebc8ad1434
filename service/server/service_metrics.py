"""What the service measures of itself, in the format of Prometheus.

Requests are measured as they end, under the names of OpenTelemetry's conventions for HTTP servers.
Everything else is read when somebody asks: it is a state, and no count of what happened.
"""

import asyncio
import time
from http import HTTPStatus

from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client import CollectorRegistry, Gauge, Histogram

_REQUEST_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_UNKNOWN_ROUTE = "_OTHER"


class RequestMetrics:
    """Measures every request; streams of events are the active requests of their routes."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._duration = Histogram(
            "http_server_request_duration_seconds",
            "Duration of requests, streams of events included, by route and status.",
            ("http_request_method", "http_route", "http_response_status_code"),
            buckets=_REQUEST_S,
            registry=registry,
        )
        self._active = Gauge(
            "http_server_active_requests",
            "Requests that are being answered, by route.",
            ("http_request_method", "http_route"),
            registry=registry,
        )

    @web.middleware
    async def measure(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Measure a request around its handler."""
        resource = request.match_info.route.resource
        route = resource.canonical if resource is not None else _UNKNOWN_ROUTE
        labels = (request.method if resource is not None else _UNKNOWN_ROUTE, route)
        start, status = time.perf_counter(), HTTPStatus.INTERNAL_SERVER_ERROR.value
        active = self._active.labels(*labels)
        active.inc()
        try:
            response = await handler(request)
            status = response.status
            return response
        except asyncio.CancelledError:
            status = 499  # the client closed the connection; nginx's number for it
            raise
        finally:
            active.dec()
            self._duration.labels(*labels, str(status)).observe(time.perf_counter() - start)
