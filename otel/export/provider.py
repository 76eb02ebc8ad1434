"""One tracer provider a process, and its bounded flush and shutdown.

The provider is handed to whoever records a run; it is not made the global one, so that a program
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

from trading_graph.otel.errors import BadExporterSettings
from trading_graph.otel.export.backend import Backend, Delivery, Exporter
from trading_graph.otel.export.jaeger import jaeger_exporter, jaeger_is_wanted
from trading_graph.otel.export.langsmith import LangSmithTarget, langsmith_exporter
from trading_graph.otel.export.logs import Logs, logs_over_otlp
from trading_graph.otel.export.metrics import Metrics, metrics_over_otlp, observe_deliveries
from trading_graph.otel.export.span_queue import BATCH
from trading_graph.otel.export.spool import Spool
from trading_graph.otel.redaction import Redactor, process_redactor
from trading_graph.otel.spans.ids import UUIDv7IdGenerator
from trading_graph.otel.spans.recording import RecordingProcessor

_LOG = logging.getLogger(__name__)

_QUEUE = 16_384
_DELAY_MS = 500
_BEFORE_METRICS = 0.75
"""Of the time to exit, what is left to spans and logs; metrics tell what became of them."""


@dataclass(frozen=True, slots=True)
class Telemetry:
    """The process's tracer provider, the backends with a queue and a thread for each, and what else
    is sent.
    """

    provider: TracerProvider
    backends: tuple[Backend, ...]
    redactor: Redactor
    metrics: Metrics
    logs: Logs

    @property
    def deliveries(self) -> tuple[Delivery, ...]:
        """What became of the spans so far, by backend."""
        return tuple(backend.delivery for backend in self.backends)

    def refuse(self) -> None:
        """Take no more spans: what still ends is not what it seems."""
        for backend in self.backends:
            backend.queue.refuse()

    def flush(self, timeout_s: float = 2.0) -> bool:
        """Send what is queued; false when that took longer than the timeout. Blocks."""
        flushes = [each.queue.flush for each in self.backends]
        flushes += [self.metrics.flush, self.logs.flush]
        return _at_once([partial(flush, timeout_s) for flush in flushes])

    def shutdown(self, timeout_s: float = 2.0) -> bool:
        """Send what is queued, spool what is not taken in time, and stop; false if late. Blocks."""
        until = monotonic() + timeout_s
        logs = partial(self.logs.close, timeout_s * _BEFORE_METRICS)
        done = _at_once([logs, *(partial(each.close, timeout_s) for each in self.backends)])
        return self.metrics.close(until - monotonic()) and done


def set_up(
    service_name: str,
    service_version: str,
    langsmith: LangSmithTarget | None = None,
    *,
    spool: Path | None = None,
    redactor: Redactor | None = None,
    metric_readers: Sequence[MetricReader] = (),
) -> Telemetry:
    """Build the provider that the standard OTEL_* variables describe, with LangSmith beside it.

    `OTEL_TRACES_EXPORTER=none` leaves Jaeger out; `OTEL_SDK_DISABLED=true` records nothing at all.
    Below `spool` is kept what a backend does not take. Metrics and logs are sent where
    `OTEL_METRICS_EXPORTER=otlp` and `OTEL_LOGS_EXPORTER=otlp` say so, metrics also by
    `metric_readers`. Raises BadExporterSettings.
    """
    # The SDK reports every failed batch with a traceback; the backends count them instead.
    logging.getLogger("opentelemetry.exporter.otlp").setLevel(logging.CRITICAL)
    described = Resource({SERVICE_NAME: service_name, SERVICE_VERSION: service_version})
    redactor = redactor or process_redactor([langsmith.api_key] if langsmith else [])
    resource = Resource.get_empty().merge(described).merge(OTELResourceDetector().detect())
    provider = TracerProvider(
        resource=resource,
        id_generator=UUIDv7IdGenerator(),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(RecordingProcessor(_on_fault))
    exporters = []
    if jaeger_is_wanted():
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


def spool_of(folder: Path, backend: str) -> Spool:
    """Where the spans wait that a backend did not take."""
    return Spool(folder / backend.lower())


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
    """A standard variable that is a positive whole number; raises BadExporterSettings."""
    said = os.environ.get(variable, "").strip()
    if not said:
        return default
    if not said.isdecimal() or int(said) == 0:
        raise BadExporterSettings(f"{variable}={said} is no positive whole number; correct it.")
    return int(said)


def _on_fault(error: BaseException) -> None:
    if "PYTEST_CURRENT_TEST" in os.environ:
        raise error
    _LOG.error("A listener of the run's spans failed: %r", error)


def _at_once(tasks: Sequence[Callable[[], bool]]) -> bool:
    # Not one after the other, as the provider does: one that hangs would take the others' time.
    done: list[bool] = []
    threads = [Thread(target=_append, args=(done, task), daemon=True) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(done) == len(tasks) and all(done)


def _append(done: list[bool], task: Callable[[], bool]) -> None:
    done.append(task())
