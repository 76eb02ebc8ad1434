"""What a run has used and how far it came: from its spans, or from its trace.

A call counts from its start, because it may be paid for although its answer never comes. Its tokens
are known at its end. What a killed process left open was counted in its own try.
"""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from trading_graph.otel.errors import TraceError
from trading_graph.otel.trace import ERROR, semconv
from trading_graph.service.portfolio.progress import ModelUsage, add_usage
from trading_graph.service.run.folder import read_spans


class RunTally:
    """Counts a run's agents that ended well, and what its calls used; a `SpanListener`."""

    def __init__(self) -> None:
        self.agents = 0
        self._usage: dict[str, ModelUsage] = {}
        self._under_way: dict[int, ModelUsage] = {}
        self._lock = Lock()

    @property
    def usage(self) -> tuple[ModelUsage, ...]:
        """What the calls used so far, by model, those included that are under way."""
        with self._lock:
            return add_usage((*self._usage.values(), *self._under_way.values()))

    def on_start(self, span: ReadableSpan) -> None:
        """Count a call that is under way."""
        attributes = span.attributes or {}
        if attributes.get(semconv.OPERATION_NAME) == semconv.CHAT:
            with self._lock:
                self._under_way[_id_of(span)] = _usage_of(attributes)

    def on_end(self, span: ReadableSpan) -> None:
        """Count a call, or an agent that ended well."""
        attributes = span.attributes or {}
        operation = attributes.get(semconv.OPERATION_NAME)
        if operation == semconv.INVOKE_AGENT:
            self.agents += span.status.status_code is not StatusCode.ERROR
        elif operation == semconv.CHAT:
            used = _usage_of(attributes)
            with self._lock:
                self._under_way.pop(_id_of(span), None)
                if attributes.get(semconv.ERROR_TYPE) == semconv.KILLED:
                    return  # a call of an earlier try
                before = self._usage.get(used.model)
                self._usage[used.model] = used if before is None else before + used


def _id_of(span: ReadableSpan) -> int:
    context = span.get_span_context()
    return 0 if context is None else context.span_id


def _usage_of(attributes: Mapping[str, Any]) -> ModelUsage:
    return ModelUsage(
        str(attributes.get(semconv.REQUEST_MODEL, "")),
        calls=1,
        input_tokens=int(attributes.get(semconv.USAGE_INPUT_TOKENS, 0)),
        output_tokens=int(attributes.get(semconv.USAGE_OUTPUT_TOKENS, 0)),
        cached_tokens=int(attributes.get(semconv.USAGE_CACHED_TOKENS, 0)),
    )


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What a run's trace tells: agents that ended well, what its calls used, how long they took.

    `call_s` are the seconds of each call that ended.
    """

    agents: int
    usage: tuple[ModelUsage, ...]
    call_s: tuple[float, ...]


def run_record(folder: Path, since: datetime.datetime | None = None) -> RunRecord:
    """What the trace in a run's folder tells; of calls only those that began `since`. Blocks.

    A trace that cannot be read tells nothing.
    """
    try:
        trace = read_spans(folder)
    except (OSError, TraceError):
        trace = None
    if trace is None:
        return RunRecord(0, (), ())
    first_ns = 0 if since is None else int(since.timestamp() * 1e9)
    agents, used, call_s = 0, [], []
    for row in range(len(trace)):
        attributes = trace.attributes(row)
        operation = attributes.get(semconv.OPERATION_NAME)
        has_ended = bool(trace.end[row])
        if operation == semconv.INVOKE_AGENT:
            agents += has_ended and trace.status[row] != ERROR
        elif operation == semconv.CHAT and trace.start[row] >= first_ns:
            used.append(_usage_of(attributes))
            if has_ended:
                call_s.append(float(trace.duration[row]) / 1e9)
    return RunRecord(agents, add_usage(used), tuple(call_s))
