"""One tracer provider a process, and its bounded flush and shutdown.

The provider is handed to whoever records a run; it is not made the global one, so that a program
that embeds an analysis keeps its own.
"""

import logging
import os
from collections.abc import Callable
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

from otel.export.jaeger import JaegerExporter
from otel.spans.ids import UUIDv7IdGenerator
from otel.spans.recording import RecordingProcessor

_LOG = logging.getLogger(__name__)

_QUEUE = 16_384
_DELAY_MS = 500


@dataclass(frozen=True, slots=True)
class Telemetry:
    """The process's tracer provider and its exporter to Jaeger, if there is one."""

    provider: TracerProvider
    jaeger: JaegerExporter | None

    def flush(self, timeout_s: float = 2.0) -> bool:
        """Send what is queued; false when that took longer than the timeout. Blocks."""
        return _within(timeout_s, self.provider.force_flush)

    def shutdown(self, timeout_s: float = 2.0) -> bool:
        """Flush and stop; false when that took longer than the timeout. Blocks."""
        return _within(timeout_s, self.provider.shutdown)


def set_up(service_name: str, service_version: str) -> Telemetry:
    """Build the provider that the standard OTEL_* variables describe.

    `OTEL_TRACES_EXPORTER=none` leaves Jaeger out; `OTEL_SDK_DISABLED=true` records nothing at all.
    """
    # The SDK reports every failed batch with a traceback; the exporter counts them instead.
    logging.getLogger("opentelemetry.exporter.otlp").setLevel(logging.CRITICAL)
    described = Resource({SERVICE_NAME: service_name, SERVICE_VERSION: service_version})
    provider = TracerProvider(
        resource=Resource.get_empty().merge(described).merge(OTELResourceDetector().detect()),
        id_generator=UUIDv7IdGenerator(),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(RecordingProcessor(_on_fault))
    if os.environ.get("OTEL_TRACES_EXPORTER", "").strip().lower() == "none":
        return Telemetry(provider, None)
    jaeger = JaegerExporter()
    queue = None if os.environ.get(OTEL_BSP_MAX_QUEUE_SIZE) else _QUEUE
    provider.add_span_processor(
        BatchSpanProcessor(jaeger, max_queue_size=queue, schedule_delay_millis=_DELAY_MS)
    )
    return Telemetry(provider, jaeger)


def _on_fault(error: BaseException) -> None:
    if "PYTEST_CURRENT_TEST" in os.environ:
        raise error
    _LOG.error("A listener of the run's spans failed: %r", error)


def _within(timeout_s: float, work: Callable[[], object]) -> bool:
    # The SDK's own timeouts do not hold (opentelemetry-python issue 4568), a daemon thread's do.
    thread = Thread(target=work, name="telemetry-flush", daemon=True)
    thread.start()
    thread.join(timeout_s)
    return not thread.is_alive()
