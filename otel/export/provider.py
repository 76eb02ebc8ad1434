"""The process's tracer provider with its backends, and their bounded flush and shutdown.

The provider is passed to the code that records a run. It does not become the global one: a program
that embeds an analysis keeps its own.
"""

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Thread
from time import monotonic

from opentelemetry.sdk.environment_variables import (
    OTEL_BSP_MAX_EXPORT_BATCH_SIZE,
    OTEL_BSP_MAX_QUEUE_SIZE,
    OTEL_BSP_SCHEDULE_DELAY,
)
from opentelemetry.sdk.metrics.export import MetricReader
from opentelemetry.sdk.resources import (
    SERVICE_NAME,
    SERVICE_VERSION,
    OTELResourceDetector,
    Resource,
)
from opentelemetry.sdk.trace import TracerProvider

from trading_graph.otel.errors import ExporterSettingsError
from trading_graph.otel.export.backend import Backend, Delivery
from trading_graph.otel.export.langsmith import LangSmithTarget, langsmith_exporter
from trading_graph.otel.export.logs import Logs, logs_over_otlp
from trading_graph.otel.export.metrics import Metrics, metrics_over_otlp, observe_deliveries
from trading_graph.otel.export.otlp import Exporter, jaeger_exporter, jaeger_is_enabled
from trading_graph.otel.export.span_queue import BATCH
from trading_graph.otel.export.spool import spool_of
from trading_graph.otel.redaction import Redactor, process_redactor
from trading_graph.otel.spans import RecordingProcessor, UUIDv7IdGenerator

_LOG = logging.getLogger(__name__)

_QUEUE = 16_384
_DELAY_MS = 500
_BEFORE_METRICS = 0.75
"""The share of the time to exit for spans and logs; metrics, sent last, report on them."""


@dataclass(frozen=True, slots=True)
class Telemetry:
    """The process's tracer provider, its backends (a queue and a thread each), metrics and logs."""

    provider: TracerProvider
    backends: tuple[Backend, ...]
    redactor: Redactor
    metrics: Metrics
    logs: Logs

    @property
    def deliveries(self) -> tuple[Delivery, ...]:
        """What became of the spans so far, for each backend."""
        return tuple(backend.delivery for backend in self.backends)

    def refuse(self) -> None:
        """Ignore all further spans, such as those that end only because the run is torn down."""
        for backend in self.backends:
            backend.queue.refuse()

    def flush(self, timeout_s: float = 2.0) -> bool:
        """Send all queues; false when that takes longer than the timeout. Blocks."""
        flushes = [each.queue.flush for each in self.backends]
        flushes += [self.metrics.flush, self.logs.flush]
        return _all_at_once([partial(flush, timeout_s) for flush in flushes])

    def shutdown(self, timeout_s: float = 2.0) -> bool:
        """Send all queues, spool what is not sent in time, and stop; false if late. Blocks."""
        until = monotonic() + timeout_s
        logs = partial(self.logs.close, timeout_s * _BEFORE_METRICS)
        success = _all_at_once([logs, *(partial(each.close, timeout_s) for each in self.backends)])
        return self.metrics.close(until - monotonic()) and success


def set_up(
    service_name: str,
    service_version: str,
    langsmith: LangSmithTarget | None = None,
    *,
    spool: Path | None = None,
    redactor: Redactor | None = None,
    metric_readers: Sequence[MetricReader] = (),
) -> Telemetry:
    """Build the provider that the standard OTEL_* variables describe, plus LangSmith.

    `OTEL_TRACES_EXPORTER=none` leaves Jaeger out; `OTEL_SDK_DISABLED=true` records nothing at all.
    `spool` is the folder for spans that a backend does not take. Metrics and logs are sent if
    `OTEL_METRICS_EXPORTER=otlp` and `OTEL_LOGS_EXPORTER=otlp`; `metric_readers` read metrics in
    any case. Raises ExporterSettingsError.
    """
    # The SDK reports every failed batch with a traceback; the backends count them instead.
    logging.getLogger("opentelemetry.exporter.otlp").setLevel(logging.CRITICAL)
    service = Resource({SERVICE_NAME: service_name, SERVICE_VERSION: service_version})
    redactor = redactor or process_redactor([langsmith.api_key] if langsmith else [])
    resource = Resource.get_empty().merge(service).merge(OTELResourceDetector().detect())
    provider = TracerProvider(
        resource=resource,
        id_generator=UUIDv7IdGenerator(),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(RecordingProcessor(_on_fault))
    exporters = []
    if jaeger_is_enabled():
        exporters.append(jaeger_exporter())
    if langsmith is not None:
        exporters.append(langsmith_exporter(langsmith))
    backends = tuple(_backend(each, redactor, spool) for each in exporters)
    for backend in backends:
        provider.add_span_processor(backend.queue)
    metrics = metrics_over_otlp(resource, metric_readers)
    telemetry = Telemetry(provider, backends, redactor, metrics, logs_over_otlp(resource, redactor))
    observe_deliveries(metrics.meter, lambda: telemetry.deliveries)
    return telemetry


def _backend(exporter: Exporter, redactor: Redactor, spool: Path | None) -> Backend:
    return Backend(
        exporter,
        redactor,
        spool_of(spool, exporter.backend) if spool else None,
        size=_number(OTEL_BSP_MAX_QUEUE_SIZE, _QUEUE),
        delay_s=_number(OTEL_BSP_SCHEDULE_DELAY, _DELAY_MS) / 1000,
        batch=_number(OTEL_BSP_MAX_EXPORT_BATCH_SIZE, BATCH),
    )


def _number(variable: str, default: int) -> int:
    """Read a standard variable as a positive whole number; raises ExporterSettingsError."""
    value = os.environ.get(variable, "").strip()
    if not value:
        return default
    if not value.isdecimal() or int(value) == 0:
        raise ExporterSettingsError(f"{variable}={value} is no positive whole number; correct it.")
    return int(value)


def _on_fault(error: BaseException) -> None:
    if "PYTEST_CURRENT_TEST" in os.environ:
        raise error
    _LOG.error("A listener of the run's spans failed: %r", error)


def _all_at_once(tasks: Sequence[Callable[[], bool]]) -> bool:
    # Not one after the other, as the SDK's provider does: one that hangs would take the others'
    # time.
    results: list[bool] = []
    threads = [Thread(target=_append, args=(results, task), daemon=True) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(results) == len(tasks) and all(results)


def _append(results: list[bool], task: Callable[[], bool]) -> None:
    results.append(task())
