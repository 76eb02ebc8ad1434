"""The columnar model of one trace.

One row a span, sorted by start. Times are int64 nanoseconds since the epoch: a float64 would lose
256 ns. Attributes stay encoded until somebody asks for them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = -1
"""In the parent column: the span has no parent."""

ORPHAN = -2
"""In the parent column: the span names a parent that the trace does not hold."""

Attributes = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened during a span."""

    name: str
    time_ns: int
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class Link:
    """A span that another one refers to, in this trace or in another."""

    trace_id: str
    span_id: str
    attributes: Attributes


def _nothing() -> tuple[()]:
    return ()


@dataclass(frozen=True, slots=True)
class Span:
    """One span as a source read it; `attributes`, `events` and `links` decode when called."""

    span_id: str
    parent_id: str
    name: str
    kind: int
    start_ns: int
    end_ns: int
    status: int
    attributes: Callable[[], Attributes]
    events: Callable[[], Sequence[Event]] = _nothing
    links: Callable[[], Sequence[Link]] = _nothing


@dataclass(frozen=True)
class Trace:
    """A trace: columns of equal length, in order of start.

    `parent` holds row numbers, or ROOT, or ORPHAN. `kind` and `status` are OTLP's enums.
    """

    trace_id: str
    span_ids: tuple[str, ...]
    names: tuple[str, ...]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    parent: NDArray[np.int32]
    kind: NDArray[np.int8]
    status: NDArray[np.int8]
    _spans: tuple[Span, ...]
    _decoded: dict[int, Attributes] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.span_ids)

    def attributes(self, row: int) -> Attributes:
        """The attributes of a span, decoded at first use."""
        if row not in self._decoded:
            self._decoded[row] = self._spans[row].attributes()
        return self._decoded[row]

    def events(self, row: int) -> Sequence[Event]:
        """What happened during a span, decoded at every use."""
        return self._spans[row].events()

    def links(self, row: int) -> Sequence[Link]:
        """What a span refers to, decoded at every use."""
        return self._spans[row].links()

    @property
    def duration(self) -> NDArray[np.int64]:
        """How long each span took, in nanoseconds."""
        return self.end - self.start

    def rows(self, prefix: str) -> list[int]:
        """The spans whose name begins with the prefix, in order of start."""
        return [row for row, name in enumerate(self.names) if name.startswith(prefix)]

    @cached_property
    def roots(self) -> list[int]:
        """The spans without a parent."""
        return [int(row) for row in np.flatnonzero(self.parent == ROOT)]

    @cached_property
    def orphans(self) -> list[int]:
        """The spans whose parent is missing."""
        return [int(row) for row in np.flatnonzero(self.parent == ORPHAN)]

    @cached_property
    def _children(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        # Rows grouped by parent; a stable sort keeps the order of start within a group.
        order = np.argsort(self.parent, kind="stable").astype(np.int64)
        bounds = np.searchsorted(self.parent[order], np.arange(len(self) + 1))
        return order, bounds.astype(np.int64)

    def children(self, row: int) -> list[int]:
        """The direct children of a span, in order of start."""
        order, bounds = self._children
        return [int(child) for child in order[bounds[row] : bounds[row + 1]]]

    def subtree(self, row: int) -> Iterator[int]:
        """A span and everything below it, parents before children."""
        pending = [row]
        while pending:
            current = pending.pop()
            yield current
            pending.extend(reversed(self.children(current)))

    def leaves(self, row: int) -> list[int]:
        """The spans below (or at) a span that have no children: where work was really done."""
        return [each for each in self.subtree(row) if not self.children(each)]


class TraceBuilder:
    """Collects the spans of one trace in any order; a span that comes twice counts once."""

    def __init__(self, trace_id: str) -> None:
        self.trace_id = trace_id
        self._spans: dict[str, Span] = {}

    def add(self, span: Span) -> None:
        """Add a span."""
        self._spans[span.span_id] = span

    def build(self) -> Trace:
        """The trace of everything added."""
        spans = sorted(self._spans.values(), key=lambda span: (span.start_ns, -span.end_ns))
        row_of = {span.span_id: row for row, span in enumerate(spans)}

        def parent(span: Span) -> int:
            return row_of.get(span.parent_id, ORPHAN) if span.parent_id else ROOT

        return Trace(
            trace_id=self.trace_id,
            span_ids=tuple(row_of),
            names=tuple(span.name for span in spans),
            start=np.array([span.start_ns for span in spans], np.int64),
            end=np.array([span.end_ns for span in spans], np.int64),
            parent=np.array([parent(span) for span in spans], np.int32),
            kind=np.array([span.kind for span in spans], np.int8),
            status=np.array([span.status for span in spans], np.int8),
            _spans=tuple(spans),
        )
