"""Collects the spans that readers find, by trace."""

from collections.abc import Iterable

from trading_graph.otel.otlp_json import Resources, hexadecimal
from trading_graph.otel.sources.fields import LATEST_NS, FieldError
from trading_graph.otel.trace import SpanRecord, SpanTable, TraceBuilder


class Traces:
    """The traces of one reading, in the order in which they first occur.

    `names` shares equal strings among spans, and `resources` equal resources.
    """

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self.resources = Resources()
        self._builders: dict[str, TraceBuilder] = {}
        self._by_raw_id: dict[str, TraceBuilder] = {}
        self._flaws: list[str] = []

    def __len__(self) -> int:
        return len(self._builders)

    def builder(self, raw_id: str) -> TraceBuilder:
        """The builder of the trace with an id in any spelling."""
        builder = self._by_raw_id.get(raw_id)
        if builder is None:
            trace_id = hexadecimal(raw_id)
            builder = self._builders.setdefault(trace_id, TraceBuilder(trace_id))
            self._by_raw_id[raw_id] = builder
        return builder

    def add(self, spans: Iterable[tuple[str, SpanRecord]]) -> None:
        """Add spans, each with the id of its trace."""
        for trace_id, span in spans:
            if not 0 <= span.start_ns <= LATEST_NS or not 0 <= span.end_ns <= LATEST_NS:
                raise FieldError("duration")
            self.builder(trace_id).add(span)

    def flaw(self, sentence: str) -> None:
        """Note that part of a text could not be read: any of the traces may lack it."""
        self._flaws.append(sentence)

    def build(self) -> list[SpanTable]:
        """The tables of all traces."""
        for builder in self._builders.values():
            for flaw in self._flaws:
                builder.flaw(flaw)
        return [builder.build() for builder in self._builders.values()]
