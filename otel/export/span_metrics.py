"""Metrics of what the spans of a run tell, written as each ends, so that both always agree.

Names, attributes and bucket boundaries are those of the OpenTelemetry semantic conventions for
generative AI; `trading.*` are this project's. Nothing of high cardinality becomes an attribute: no
symbol, no id, no text, and no name that a model may have made up.
"""

from collections.abc import Container, Mapping
from typing import Any, NamedTuple

from opentelemetry import trace
from opentelemetry.metrics import Histogram, Meter
from opentelemetry.sdk.trace import ReadableSpan

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


class SpanMetrics:
    """Measures every span of a run that ends; a `SpanListener`.

    `tools` are the names of the tools that there are: a model may ask for others.
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
        """Write what the span tells to the metrics, with the span as their example."""
        found: Mapping[str, Any] = span.attributes or {}
        example = trace.set_span_in_context(trace.NonRecordingSpan(span.context))
        operation = str(found.get(semconv.OPERATION_NAME) or found.get(semconv.OPERATION))
        if kind := _DURATIONS.get(operation):
            seconds = ((span.end_time or 0) - (span.start_time or 0)) / 1e9
            described = self._described(found, (*kind.attributes, semconv.ERROR_TYPE))
            self._durations[operation].record(seconds, described, example)
        if operation == semconv.CHAT:
            call = self._described(found, _CALL)
            for token_type, name in _USAGE:
                if (tokens := found.get(name)) is not None:
                    self._tokens.record(tokens, {**call, semconv.TOKEN_TYPE: token_type}, example)
            if (waited := found.get(semconv.RESPONSE_TIME_TO_FIRST_CHUNK)) is not None:
                self._first_chunk.record(waited, call, example)
        if semconv.CACHE in found:
            described = self._described(found, (semconv.CACHE, semconv.TOOL_NAME))
            self._cache.add(1, described, example)
        if (wait_ms := found.get(semconv.QUEUE_WAIT_MS)) is not None:
            described = self._described(found, (semconv.POOL_REUSED,))
            self._queue_wait.record(wait_ms / 1e3, described, example)

    def _described(self, found: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
        described = {name: found[name] for name in names if name in found}
        if semconv.TOOL_NAME in described and described[semconv.TOOL_NAME] not in self._tools:
            described[semconv.TOOL_NAME] = _OTHER
        return described


def _seconds(meter: Meter, name: str, boundaries: tuple[float, ...]) -> Histogram:
    return meter.create_histogram(name, unit="s", explicit_bucket_boundaries_advisory=boundaries)
