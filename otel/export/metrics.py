"""Metrics over OTLP, only where `OTEL_METRICS_EXPORTER=otlp` asks for them.

The specification sends them by default; Jaeger, our default, takes none.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from opentelemetry.metrics import CallbackOptions, Meter, NoOpMeterProvider, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    MetricExporter,
    MetricExportResult,
    MetricReader,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.resources import Resource

from trading_graph.otel.export import otlp
from trading_graph.otel.export.backend import Delivery
from trading_graph.otel.export.gate import TIMEOUT_S, Gate, within
from trading_graph.otel.export.otlp import Signal
from trading_graph.otel.trace import semconv

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Metrics:
    """The process's meter provider, or none: then nothing is measured."""

    provider: MeterProvider | None

    @property
    def meter(self) -> Meter:
        """What the program's metrics are made with."""
        provider = self.provider or NoOpMeterProvider()
        return provider.get_meter("trading-graph", schema_url=semconv.SCHEMA_URL)

    def flush(self, timeout_s: float) -> bool:
        """Send what is measured so far; false when that takes longer than the timeout. Blocks."""
        return self.provider is None or within(timeout_s, self.provider.force_flush)

    def close(self, timeout_s: float) -> bool:
        """Flush and stop; false when that takes longer than the timeout. Blocks."""
        return self.provider is None or within(timeout_s, self.provider.shutdown)


def metrics_over_otlp(resource: Resource, readers: Sequence[MetricReader] = ()) -> Metrics:
    """Metrics as the standard variables describe them, and as further readers ask for them.

    Raises BadExporterSettings.
    """
    if otlp.is_wanted(Signal.METRICS, default=False):
        chosen = otlp.protocol(Signal.METRICS)
        endpoint = otlp.endpoint(Signal.METRICS, chosen)
        exporter = _GatedExporter(_sdk_exporter(chosen, endpoint), Gate(endpoint))
        readers = (*readers, PeriodicExportingMetricReader(exporter))
    if not readers:
        return Metrics(None)
    return Metrics(MeterProvider(readers, resource, shutdown_on_exit=False))


def observe_deliveries(meter: Meter, deliveries: Callable[[], Sequence[Delivery]]) -> None:
    """Measure what becomes of the spans, in the words of the SDK's own metrics.

    Those would miss what is never handed to an exporter because its backend is down.
    """

    def observe(options: CallbackOptions) -> Iterable[Observation]:
        for each in deliveries():
            exporter = {"otel.component.name": each.backend}
            yield Observation(each.delivered, exporter)
            yield Observation(each.spooled, {**exporter, semconv.ERROR_TYPE: "spooled"})
            yield Observation(each.lost, {**exporter, semconv.ERROR_TYPE: "lost"})

    meter.create_observable_counter("otel.sdk.exporter.span.exported", [observe], unit="{span}")


class _GatedExporter(MetricExporter):
    """The SDK's exporter, which it keeps from a missing backend; that is logged once."""

    def __init__(self, exporter: MetricExporter, gate: Gate) -> None:
        super().__init__(exporter._preferred_temporality, exporter._preferred_aggregation)
        self._exporter = exporter
        self._gate = gate
        self._warned = False

    def export(
        self, metrics_data: MetricsData, timeout_millis: float = 10_000, **more: object
    ) -> MetricExportResult:
        if self._gate.send(lambda: self._exporter.export(metrics_data) is _SUCCESS):
            return _SUCCESS
        if not self._warned:
            self._warned = True
            _LOG.warning("%s does not take metrics; they are lost.", self._gate.endpoint)
        return MetricExportResult.FAILURE

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return True  # nothing is kept here

    def shutdown(self, timeout_millis: float = 30_000, **more: object) -> None:
        self._exporter.shutdown()


_SUCCESS = MetricExportResult.SUCCESS


def _sdk_exporter(protocol: str, endpoint: str) -> MetricExporter:
    timeout = otlp.timeout_s(Signal.METRICS, TIMEOUT_S)
    # Not above: few ask for metrics, and fewer for gRPC, whose library is large.
    if protocol == otlp.GRPC:
        from opentelemetry.exporter.otlp.proto.grpc import metric_exporter as grpc

        return grpc.OTLPMetricExporter(endpoint=endpoint, timeout=timeout)
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

    return OTLPMetricExporter(endpoint=endpoint, timeout=timeout)
