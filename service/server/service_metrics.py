"""What the service measures of itself, in the format of Prometheus.

Requests and runs are measured as they end; requests under the names of OpenTelemetry's conventions
for HTTP servers. Everything else is a state, and is read when somebody asks.
"""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client import CollectorRegistry, Gauge, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric

from trading_graph.otel.export import JAEGER, spool_of
from trading_graph.service.server.context import SERVICE, ServiceContext
from trading_graph.service.server.health import HealthLevel
from trading_graph.service.store import RunState, StoredRun, now

_REQUEST_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_RUN_S = (1, 2, 5, 10, 20, 30, 60, 90, 120, 180, 300, 600, 1800)
_UNKNOWN_ROUTE = "_OTHER"
_CLOSED_BY_CLIENT = 499  # nginx's number for it
_RESULTS = {True: "passed", False: "failed", None: "not judged"}


class ServiceMetrics:
    """Measures every request and every run; streams are the active requests of their routes."""

    def __init__(self, registry: CollectorRegistry) -> None:
        ProcessCollector(registry=registry)
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
        self._runs = Histogram(
            "trading_graph_run_duration_seconds",
            "Duration of runs of the service from their beginning, by the state at their end.",
            ("state",),
            buckets=_RUN_S,
            registry=registry,
        )

    def note_end(self, run: StoredRun) -> None:
        """Measure a run that has ended; its trace is the exemplar."""
        if run.started is not None and run.ended is not None:
            exemplar = {"trace_id": run.trace_id}
            self._runs.labels(str(run.state)).observe(run.ended - run.started, exemplar)

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
            status = _CLOSED_BY_CLIENT
            raise
        finally:
            active.dec()
            self._duration.labels(*labels, str(status)).observe(time.perf_counter() - start)


async def get_metrics(request: web.Request) -> web.Response:
    """The metrics in the format of Prometheus, or of OpenMetrics with exemplars."""
    service = request.app[SERVICE]
    states = await _states(service)
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    body = await asyncio.to_thread(encode, _Families(service.registry, states))
    return web.Response(body=body, headers={"Content-Type": content_type})


class _Families(CollectorRegistry):
    """The metrics of a registry, and others beside them."""

    def __init__(self, registry: CollectorRegistry, others: Sequence[Metric]) -> None:
        super().__init__()
        self._registry = registry
        self._others = others

    def collect(self) -> Iterator[Metric]:
        yield from self._registry.collect()
        yield from self._others


async def _states(service: ServiceContext) -> list[Metric]:
    """The states of the service's parts. Raises StoreUnavailableError."""
    runs, verdicts = await service.store.counts()
    report = await service.health.report()
    waiting, lost = await asyncio.to_thread(_spooled, service.settings.spool)
    queue, judging = service.queue, service.judging
    levels = list(HealthLevel)
    return [
        _gauge(
            "trading_graph_runs",
            "Runs of the service in its store, by state.",
            "state",
            {str(state): runs.get(state, 0) for state in RunState},
        ),
        _gauge(
            "trading_graph_verdicts",
            "Verdicts in the store, on runs and on other traces, by result.",
            "result",
            {name: verdicts.get(passed, 0) for passed, name in _RESULTS.items()},
        ),
        _gauge(
            "trading_graph_queue_runs",
            "Runs in the queue: those that are made and those that wait.",
            "state",
            {"running": queue.running, "waiting": queue.waiting},
        ),
        _single(
            "trading_graph_queue_oldest_seconds",
            "How long the oldest run of the queue has waited; 0 where none waits.",
            0.0 if queue.oldest is None else max(0.0, now() - queue.oldest),
        ),
        _gauge(
            "trading_graph_judging_traces",
            "Traces that are judged in processes of their own, or wait for a place.",
            "state",
            {"running": judging.running, "waiting": judging.waiting},
        ),
        _single(
            "trading_graph_received_spans_waiting",
            "Received spans of traces that are not judged yet.",
            service.receiver.waiting_spans,
        ),
        _single(
            "trading_graph_feed_watchers",
            "Clients that follow the feed of all changes.",
            service.feed.watchers,
        ),
        _gauge(
            "trading_graph_spool_spans",
            "Spans that a backend did not take and that wait on disk.",
            "backend",
            waiting,
        ),
        _gauge(
            "trading_graph_spool_lost_spans",
            "Spans that were deleted because the spool was full, since it was last sent whole.",
            "backend",
            lost,
        ),
        _single(
            "trading_graph_disk_free_bytes",
            "Free space on the disk of the runs.",
            await asyncio.to_thread(lambda: service.room.free),
        ),
        _gauge(
            "trading_graph_health",
            "The health of what the service stands on: 0 good, 1 look at it, 2 act.",
            "part",
            {str(each.part): levels.index(each.level) for each in report.parts},
        ),
    ]


def _spooled(folder: Path) -> tuple[Mapping[str, int], Mapping[str, int]]:
    """How many spans wait for each backend, and how many were lost. Blocks."""
    names = {each.name for each in folder.iterdir() if each.is_dir()} if folder.is_dir() else set()
    spools = {name: spool_of(folder, name) for name in sorted({JAEGER.lower(), *names})}
    waiting = {name: spool.spans for name, spool in spools.items()}
    return waiting, {name: spool.evictions for name, spool in spools.items()}


def _gauge(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=[label])
    for each, value in values.items():
        family.add_metric([each], value)
    return family


def _single(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)
