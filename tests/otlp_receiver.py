"""A backend that takes OTLP over HTTP on loopback, and can fail in every way that one does.

It keeps headers, bodies, the names of spans, metrics and log records, and hands on to a real
backend what it takes.
"""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import ClientSession, web
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from trading_graph.toolkit.loopback import LoopbackServer

_PROTOBUF = "application/x-protobuf"


class OtlpReceiver:
    """Answers every post with `status`, `delay_s` late, and hangs until `released` is set.

    `paths`, `headers` and `bodies` are of all posts; `names` (of spans), `logs` and `resources` of
    what was taken; `metrics` as they were when they were taken last. What is taken goes to the OTLP
    base `forward` at once, however late the answer is; what hung never does.
    """

    def __init__(self, forward: str | None = None) -> None:
        self.forward = forward
        self.delay_s = 0.0
        self.bodies: list[bytes] = []
        self.paths: set[str] = set()
        self.headers: list[dict[str, str]] = []
        self.names: list[str] = []
        self.metrics: dict[str, Metric] = {}
        self.logs: list[LogRecord] = []
        self.resources: list[Resource] = []
        self.status = 200
        self.released = threading.Event()
        self.released.set()

    @contextmanager
    def served(self) -> Iterator[str]:
        """Serve on loopback; gives the URL."""
        server = LoopbackServer(self._make_app)
        server.start()
        try:
            yield server.url
        finally:
            self.released.set()
            server.stop()

    def _make_app(self) -> web.Application:
        app = web.Application(client_max_size=2**26)
        app.router.add_post("/{path:.*}", self._take)
        return app

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.bodies.append(body)
        hung = not self.released.is_set()
        await asyncio.to_thread(self.released.wait)
        if self.forward and self.status == 200 and not hung:
            async with (
                ClientSession() as session,
                session.post(
                    self.forward + request.path,
                    data=body,
                    headers={"content-type": request.content_type},
                ) as answer,
            ):
                assert answer.status == 200
        await asyncio.sleep(self.delay_s)
        self.paths.add(request.path)
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        if self.status == 200 and request.content_type == _PROTOBUF:
            self._keep(request.path, body)
        return web.Response(status=self.status)

    def _keep(self, path: str, body: bytes) -> None:
        if path.endswith("/metrics"):
            for metrics in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                self.resources.append(metrics.resource)
                for measured in metrics.scope_metrics:
                    self.metrics |= {metric.name: metric for metric in measured.metrics}
        elif path.endswith("/logs"):
            for logs in ExportLogsServiceRequest.FromString(body).resource_logs:
                self.resources.append(logs.resource)
                for scope in logs.scope_logs:
                    self.logs += scope.log_records
        else:
            for spans in ExportTraceServiceRequest.FromString(body).resource_spans:
                self.resources.append(spans.resource)
                for ended in spans.scope_spans:
                    self.names += [span.name for span in ended.spans]
