"""One tracer provider a process, and its bounded flush and shutdown.

The provider is handed to whoever records a run; it is not made the global one, so that a program
that embeds an analysis keeps its own.
"""

import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Thread

from opentelemetry.sdk.environment_variables import OTEL_BSP_MAX_QUEUE_SIZE
from opentelemetry.sdk.resources import (
    SERVICE_NAME,
    SERVICE_VERSION,
    OTELResourceDetector,
    Resource,
)
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from otel.export.backend import BackendExporter, Delivery
from otel.export.jaeger import jaeger_exporter
from otel.export.langsmith import LangSmithTarget, langsmith_exporter
from otel.spans.ids import UUIDv7IdGenerator
from otel.spans.recording import RecordingProcessor

_LOG = logging.getLogger(__name__)

_QUEUE = 16_384
_DELAY_MS = 500


@dataclass(frozen=True, slots=True)
class Telemetry:
    """The process's tracer provider, and its exporters with a queue and a thread for each."""

    provider: TracerProvider
    exporters: tuple[BackendExporter, ...]
    queues: tuple[BatchSpanProcessor, ...]

    @property
    def deliveries(self) -> tuple[Delivery, ...]:
        """What became of the spans so far, by backend."""
        return tuple(exporter.delivery for exporter in self.exporters)

    def flush(self, timeout_s: float = 2.0) -> bool:
        """Send what is queued; false when that took longer than the timeout. Blocks."""
        return _within(timeout_s, [queue.force_flush for queue in self.queues])

    def shutdown(self, timeout_s: float = 2.0) -> bool:
        """Flush and stop; false when that took longer than the timeout. Blocks."""
        return _within(timeout_s, [queue.shutdown for queue in self.queues])


def set_up(
    service_name: str, service_version: str, langsmith: LangSmithTarget | None = None
) -> Telemetry:
    """Build the provider that the standard OTEL_* variables describe, with LangSmith beside it.

    `OTEL_TRACES_EXPORTER=none` leaves Jaeger out; `OTEL_SDK_DISABLED=true` records nothing at all.
    """
    # The SDK reports every failed batch with a traceback; the exporter counts them instead.
    logging.getLogger("opentelemetry.exporter.otlp").setLevel(logging.CRITICAL)
    described = Resource({SERVICE_NAME: service_name, SERVICE_VERSION: service_version})
    exporters: list[BackendExporter] = []
    if os.environ.get("OTEL_TRACES_EXPORTER", "").strip().lower() != "none":
        exporters.append(jaeger_exporter())
    if langsmith is not None:
        exporters.append(langsmith_exporter(langsmith))
    provider = TracerProvider(
        resource=Resource.get_empty().merge(described).merge(OTELResourceDetector().detect()),
        id_generator=UUIDv7IdGenerator(),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(RecordingProcessor(_on_fault))
    queues = tuple(_queued(exporter) for exporter in exporters)
    for queue in queues:
        provider.add_span_processor(queue)
    return Telemetry(provider, tuple(exporters), queues)


def _queued(exporter: BackendExporter) -> BatchSpanProcessor:
    queue = None if os.environ.get(OTEL_BSP_MAX_QUEUE_SIZE) else _QUEUE
    return BatchSpanProcessor(exporter, max_queue_size=queue, schedule_delay_millis=_DELAY_MS)


def _on_fault(error: BaseException) -> None:
    if "PYTEST_CURRENT_TEST" in os.environ:
        raise error
    _LOG.error("A listener of the run's spans failed: %r", error)


def _within(timeout_s: float, tasks: Sequence[Callable[[], object]]) -> bool:
    # All at once: the provider would flush one after the other, and wait for one that hangs first.
    # The SDK's own timeouts do not hold (opentelemetry-python issue 4568), a daemon thread's do.
    threads = [Thread(target=task, name="telemetry-flush", daemon=True) for task in tasks]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + timeout_s
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return not any(thread.is_alive() for thread in threads)
