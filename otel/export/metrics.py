"""Metrics: what a run's spans measure, and how metrics are sent.

They are sent over OTLP only if `OTEL_METRICS_EXPORTER=otlp`: the specification sends them by
default, but Jaeger, our default, takes none. The metrics of a span are written as it ends, so both
always agree. Names, attributes and bucket boundaries are those of the OpenTelemetry semantic
conventions for generative AI; `trading.*` are this project's. No attribute has many values: no
subject, no id, no text, and no name that a model may have invented.
"""

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from opentelemetry import trace
from opentelemetry.metrics import (
    CallbackOptions,
    Histogram,
    Meter,
    NoOpMeterProvider,
    Observation,
)
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    MetricExporter,
    MetricExportResult,
    MetricReader,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan

from trading_graph.otel.export import otlp
from trading_graph.otel.export.backend import Delivery
from trading_graph.otel.export.otlp import Endpoint, Signal, finish_within
from trading_graph.otel.trace import semconv

_OTHER = "_OTHER"

_SHORT_S = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_AGENT_S = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 102.4, 204.8, 409.6)
_WORKFLOW_S = (1, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200)
_WAIT_S = (0.0, 0.001, 0.005, *_SHORT_S[:-4])
_TOKENS = tuple(4**power for power in range(14))

_CALL = (
    semconv.OPERATION_NAME,
    semconv.PROVIDER_NAME,
    semconv.REQUEST_MODEL,
    semconv.RESPONSE_MODEL,
)
_USAGE = (("input", semconv.USAGE_INPUT_TOKENS), ("output", semconv.USAGE_OUTPUT_TOKENS))


class _Duration(NamedTuple):
    metric: str
    attributes: tuple[str, ...]
    boundaries: tuple[float, ...]


_DURATIONS = {
    semconv.CHAT: _Duration("gen_ai.client.operation.duration", _CALL, _SHORT_S),
    semconv.INVOKE_AGENT: _Duration(
        "gen_ai.invoke_agent.duration", (semconv.AGENT_NAME,), _AGENT_S
    ),
    semconv.EXECUTE_TOOL: _Duration(
        "gen_ai.execute_tool.duration", (semconv.TOOL_NAME, semconv.TOOL_TYPE), _SHORT_S
    ),
    semconv.INVOKE_WORKFLOW: _Duration(
        "gen_ai.invoke_workflow.duration", (semconv.WORKFLOW_NAME,), _WORKFLOW_S
    ),
    "fetch": _Duration("trading.fetch.duration", (semconv.SOURCE,), _SHORT_S),
}


@dataclass(frozen=True, slots=True)
class Metrics:
    """The process's meter provider; without one, nothing is measured."""

    provider: MeterProvider | None

    @property
    def meter(self) -> Meter:
        """The meter that makes the program's metrics."""
        provider = self.provider or NoOpMeterProvider()
        return provider.get_meter("trading-graph", schema_url=semconv.SCHEMA_URL)

    def flush(self, timeout_s: float) -> bool:
        """Send the measurements so far; false when that takes longer than the timeout. Blocks."""
        return self.provider is None or finish_within(timeout_s, self.provider.force_flush)

    def close(self, timeout_s: float) -> bool:
        """Flush and stop; false when that takes longer than the timeout. Blocks."""
        return self.provider is None or finish_within(timeout_s, self.provider.shutdown)


def metrics_over_otlp(resource: Resource, readers: Sequence[MetricReader] = ()) -> Metrics:
    """Set up metrics for the standard variables and for further readers.

    Raises ExporterSettingsError.
    """
    if otlp.is_enabled(Signal.METRICS, default=False):
        exporter, url = otlp.sdk_exporter(Signal.METRICS)
        endpoint = Endpoint(url, "does not take metrics; they are lost.")
        readers = (*readers, PeriodicExportingMetricReader(_MetricExporter(exporter, endpoint)))
    if not readers:
        return Metrics(None)
    return Metrics(MeterProvider(readers, resource, shutdown_on_exit=False))


def observe_deliveries(meter: Meter, deliveries: Callable[[], Sequence[Delivery]]) -> None:
    """Measure what becomes of the spans, under the name that the SDK uses for its own metric.

    The SDK's metric would miss spans that no exporter sees because their backend is down.
    """

    def observe(options: CallbackOptions) -> Iterable[Observation]:
        for each in deliveries():
            exporter = {"otel.component.name": each.backend}
            yield Observation(each.delivered, exporter)
            yield Observation(each.spooled, {**exporter, semconv.ERROR_TYPE: "spooled"})
            yield Observation(each.lost, {**exporter, semconv.ERROR_TYPE: "lost"})

    meter.create_observable_counter("otel.sdk.exporter.span.exported", [observe], unit="{span}")


class SpanMetrics:
    """Measures every span of a run as it ends; a `SpanListener`.

    `tools` names the tools that exist: a model may call others.
    """

    def __init__(self, meter: Meter, tools: Container[str]) -> None:
        self._tools = tools
        self._durations = {
            operation: _seconds(meter, kind.metric, kind.boundaries)
            for operation, kind in _DURATIONS.items()
        }
        self._first_chunk = _seconds(meter, "gen_ai.client.operation.time_to_first_chunk", _SHORT_S)
        self._queue_wait = _seconds(meter, "trading.pool.queue_wait", _WAIT_S)
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            unit="{token}",
            explicit_bucket_boundaries_advisory=_TOKENS,
        )
        self._cache = meter.create_counter("trading.cache.results", unit="{result}")

    def on_start(self, span: ReadableSpan) -> None:
        """Nothing: only ended spans are measured."""

    def on_end(self, span: ReadableSpan) -> None:
        """Record the measurements of the span, with the span as their exemplar."""
        attributes: Mapping[str, Any] = span.attributes or {}
        exemplar = trace.set_span_in_context(trace.NonRecordingSpan(span.context))
        operation = str(attributes.get(semconv.OPERATION_NAME) or attributes.get(semconv.OPERATION))
        if kind := _DURATIONS.get(operation):
            seconds = ((span.end_time or 0) - (span.start_time or 0)) / 1e9
            labels = self._labels(attributes, (*kind.attributes, semconv.ERROR_TYPE))
            self._durations[operation].record(seconds, labels, exemplar)
        if operation == semconv.CHAT:
            call = self._labels(attributes, _CALL)
            for token_type, name in _USAGE:
                if (tokens := attributes.get(name)) is not None:
                    self._tokens.record(tokens, {**call, semconv.TOKEN_TYPE: token_type}, exemplar)
            if (wait_s := attributes.get(semconv.RESPONSE_TIME_TO_FIRST_CHUNK)) is not None:
                self._first_chunk.record(wait_s, call, exemplar)
        if semconv.CACHE in attributes:
            labels = self._labels(attributes, (semconv.CACHE, semconv.TOOL_NAME))
            self._cache.add(1, labels, exemplar)
        if semconv.POOL_REUSED in attributes:
            labels = self._labels(attributes, (semconv.POOL_REUSED,))
            wait_ms = attributes.get(semconv.WAIT_MS, 0.0)
            self._queue_wait.record(wait_ms / 1e3, labels, exemplar)

    def _labels(self, attributes: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
        labels = {name: attributes[name] for name in names if name in attributes}
        if semconv.TOOL_NAME in labels and labels[semconv.TOOL_NAME] not in self._tools:
            labels[semconv.TOOL_NAME] = _OTHER
        return labels


def _seconds(meter: Meter, name: str, boundaries: tuple[float, ...]) -> Histogram:
    return meter.create_histogram(name, unit="s", explicit_bucket_boundaries_advisory=boundaries)


class _MetricExporter(MetricExporter):
    """Keeps the SDK's exporter away from a missing backend."""

    def __init__(self, exporter: MetricExporter, endpoint: Endpoint) -> None:
        super().__init__(exporter._preferred_temporality, exporter._preferred_aggregation)
        self._exporter = exporter
        self._endpoint = endpoint

    def export(
        self, metrics_data: MetricsData, timeout_millis: float = 10_000, **more: object
    ) -> MetricExportResult:
        success = self._endpoint.send(lambda: self._exporter.export(metrics_data) is _SUCCESS)
        return _SUCCESS if success else MetricExportResult.FAILURE

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return True  # this class holds nothing back

    def shutdown(self, timeout_millis: float = 30_000, **more: object) -> None:
        self._exporter.shutdown()


_SUCCESS = MetricExportResult.SUCCESS
