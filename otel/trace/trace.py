"""A trace and its spans for users of the library: no row numbers, and a `repr` of one line.

These classes are views of a `SpanTable`; the code that judges spans works on the table itself.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

from trading_graph.otel.trace.records import Event, Link
from trading_graph.otel.trace.table import SpanTable
from trading_graph.otel.vocabularies import Role
from trading_graph.otel.vocabularies.limits import ITEM


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Span:
    """One span of a trace; two spans with the same ids are equal."""

    _table: SpanTable
    _row: int

    @property
    def id(self) -> str:
        """The span id, in lower-case hexadecimal."""
        return self._table.span_ids[self._row]

    @property
    def trace_id(self) -> str:
        """The id of the trace."""
        return self._table.trace_id

    @property
    def name(self) -> str:
        """The span's name."""
        return self._table.names[self._row]

    @property
    def item(self) -> str:
        """Which of many equal pieces of work the span is, in words; empty where it does not say."""
        item = self.attributes.get(ITEM)
        return item if isinstance(item, str) else ""

    @property
    def role(self) -> Role:
        """What the span stands for; OTHER where its attributes do not say."""
        return self._table.roles[self._row]

    @property
    def start_ns(self) -> int:
        """The start, in nanoseconds since the epoch."""
        return self._table.intervals[self._row][0]

    @property
    def end_ns(self) -> int:
        """The end, in nanoseconds since the epoch."""
        return self._table.intervals[self._row][1]

    @property
    def duration_s(self) -> float:
        """The duration, in seconds."""
        return (self.end_ns - self.start_ns) / 1e9

    @property
    def failed(self) -> bool:
        """Whether the span's status is an error."""
        return self._row in self._table.failed

    @property
    def parent(self) -> "Span | None":
        """The parent; None for a root, and where the trace does not hold the parent."""
        above = int(self._table.parent[self._row])
        return Span(self._table, above) if above >= 0 else None

    @property
    def children(self) -> "Spans":
        """The direct children, in order of start."""
        return spans_at(self._table, self._table.children(self._row))

    @property
    def attributes(self) -> Mapping[str, Any]:
        """The attributes."""
        return self._table.attributes(self._row)

    @property
    def events(self) -> tuple[Event, ...]:
        """The events, in the order in which they were recorded."""
        return tuple(self._table.events(self._row))

    @property
    def links(self) -> tuple[Link, ...]:
        """The links to other spans."""
        return tuple(self._table.links(self._row))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Span):
            return NotImplemented
        return (self.trace_id, self.id) == (other.trace_id, other.id)

    def __hash__(self) -> int:
        return hash((self.trace_id, self.id))

    def __repr__(self) -> str:
        return f"<Span {_short(self.name)} {self.role} {self.duration_s:.3f} s {self.id}>"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Spans(Sequence[Span]):
    """Some spans of one trace; each `Span` is made on access, so that many cost little."""

    _table: SpanTable
    _rows: Sequence[int]

    @overload
    def __getitem__(self, at: int) -> Span: ...

    @overload
    def __getitem__(self, at: slice) -> "Spans": ...

    def __getitem__(self, at: int | slice) -> "Span | Spans":
        if isinstance(at, slice):
            return Spans(self._table, self._rows[at])
        return Span(self._table, self._rows[at])

    def __iter__(self) -> Iterator[Span]:
        return (Span(self._table, row) for row in self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        more = f", and {len(self) - 3} more" if len(self) > 3 else ""
        return f"<Spans {', '.join(_short(span.name) for span in self[:3])}{more}>"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Trace:
    """The spans of one trace, in order of start."""

    _table: SpanTable

    @property
    def id(self) -> str:
        """The trace id, in lower-case hexadecimal."""
        return self._table.trace_id

    @property
    def roots(self) -> Spans:
        """The spans without a parent; a complete trace has one."""
        return spans_at(self._table, self._table.roots)

    @property
    def duration_s(self) -> float:
        """The time from the first start to the last end, in seconds; 0.0 without spans."""
        if not len(self._table):
            return 0.0
        return (int(self._table.end.max()) - int(self._table.start.min())) / 1e9

    def span(self, span_id: str) -> Span:
        """The span with this id; raises KeyError."""
        return Span(self._table, self._table.row_of[span_id])

    def __iter__(self) -> Iterator[Span]:
        return iter(spans_at(self._table, range(len(self._table))))

    def __len__(self) -> int:
        return len(self._table)

    def __repr__(self) -> str:
        name = _short(self._table.names[0]) if len(self) else "empty"
        return f"<Trace {self.id} {name}, {len(self)} spans, {self.duration_s:.3f} s>"


def table_of(trace: Trace) -> SpanTable:
    """The table behind a trace, for code that judges it."""
    return trace._table


def row_of(span: Span) -> int:
    """The row of a span in its table, for code that draws it."""
    return span._row


def spans_at(table: SpanTable, rows: Iterable[int]) -> Spans:
    """The spans at some rows of a table."""
    return Spans(table, rows if isinstance(rows, range) else tuple(rows))


def _short(name: str) -> str:
    return repr(name if len(name) <= 60 else name[:57] + "...")
