"""A run as predicted with all fixes made, as OTLP JSON: a trace of its own, for any backend.

It has a new trace id, and the span ids, names, attributes and events of the recorded run; only the
times are the predicted ones. Every span says that it is predicted, and of which trace. Its service
has a name of its own, so that nobody takes it for the newest run.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import msgspec
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from trading_graph.otel.diagnosis import Ranking
from trading_graph.otel.files.span_lines import to_line
from trading_graph.otel.spans import uuid7
from trading_graph.otel.trace import SpanTable, semconv
from trading_graph.otel.vocabularies import witness

SERVICE = "trading-graph-predicted"


def simulated_otlp(ranking: Ranking) -> str:
    """The document, on one line."""
    tree, run = ranking.schedule.tree, ranking.run
    start, end = ranking.all_fixed().times()
    predicted = _Predicted(ranking.trace, run, start, end, uuid7().int)
    started = sum(start[row] <= end[run] for row in tree.rows)
    resource = Resource({"service.name": SERVICE})
    scope = InstrumentationScope("trading-graph diagnose")
    spans = [
        ReadableSpan(
            name=ranking.trace.names[row],
            context=predicted.context(ranking.trace.span_ids[row]),
            parent=predicted.parent(row),
            resource=resource,
            attributes=predicted.attributes(row, started),
            events=predicted.events(row, tree.start[row], tree.end[row]),
            links=predicted.links(row),
            kind=SpanKind(max(int(ranking.trace.kind[row]) - 1, 0)),
            status=Status(StatusCode(min(int(ranking.trace.status[row]), 2))),
            start_time=start[row],
            end_time=end[row],
            instrumentation_scope=scope,
        )
        for row in tree.rows
    ]
    return to_line(spans).decode()


class _Predicted(msgspec.Struct, frozen=True):
    """The recorded trace, the predicted times by row, and the new trace id."""

    trace: SpanTable
    run: int
    start: Sequence[int]
    end: Sequence[int]
    trace_id: int

    def context(self, span_id: str) -> SpanContext:
        sampled = TraceFlags(TraceFlags.SAMPLED)
        return SpanContext(self.trace_id, _number(span_id, 64), False, sampled)

    def parent(self, row: int) -> SpanContext | None:
        """The run is the root, also where a caller stood above it."""
        if row == self.run:
            return None
        return self.context(self.trace.span_ids[int(self.trace.parent[row])])

    def attributes(self, row: int, started: int) -> dict[str, Any]:
        attributes = dict(self.trace.attributes(row))
        if row == self.run and witness.value(attributes, witness.SPANS_STARTED) is not None:
            # A detached span may start after the end of a run that has become shorter.
            attributes[witness.SPANS_STARTED] = started
        return attributes | {semconv.PREDICTED: True, semconv.PREDICTED_OF: self.trace.trace_id}

    def events(self, row: int, began: int, ended: int) -> list[Event]:
        """Each as far into its span as it was recorded, as a share of the span's time."""
        scale = (self.end[row] - self.start[row]) / max(ended - began, 1)
        return [
            Event(
                each.name,
                each.attributes,
                self.start[row] + int(min(max(each.time_ns - began, 0), ended - began) * scale),
            )
            for each in self.trace.events(row)
        ]

    def links(self, row: int) -> list[Link]:
        """Those inside the trace go with it; others stay."""
        return [
            Link(
                self.context(each.span_id)
                if each.trace_id == self.trace.trace_id
                else SpanContext(_number(each.trace_id, 128), _number(each.span_id, 64), True),
                each.attributes,
            )
            for each in self.trace.links(row)
        ]


def _number(id: str, bits: int) -> int:
    """An id as a number of so many bits: itself where it is one, else a digest of it."""
    try:
        number = int(id, 16) if len(id) == bits // 4 else 0
    except ValueError:
        number = 0
    return number or int.from_bytes(blake2b(id.encode(), digest_size=bits // 8).digest()) or 1
