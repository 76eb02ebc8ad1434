"""The spans of one trace as columns.

One row a span, sorted by start. Times are int64 nanoseconds since the epoch: a float64 would lose
256 ns. Attributes stay encoded until somebody asks for them.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from trading_graph.otel.trace.kinds import Role, role, step

if TYPE_CHECKING:
    # Only for types: at run time it is a fifth of numpy's import.
    from numpy.typing import NDArray

ROOT = -1
"""In the parent column: the span has no parent."""

ORPHAN = -2
"""In the parent column: the span names a parent that the trace does not hold."""

ERROR = 2
"""In the status column: OTLP's code of a span that failed."""

Attributes = Mapping[str, Any]

_NO_CHILDREN: list[int] = []


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


def events_not_kept() -> tuple[()]:
    """The events of a span whose source keeps none."""
    return ()


class SpanRecord(Protocol):
    """One span as a source holds it; attributes, events and links are decoded when asked for.

    Times in nanoseconds since the epoch, 0 where unknown; `kind` and `status` are OTLP's enums.
    """

    @property
    def span_id(self) -> str:
        """The id, unique in its trace."""

    @property
    def parent_id(self) -> str | None:
        """The id of the parent; empty or None for a root."""

    @property
    def name(self) -> str:
        """The name."""

    @property
    def kind(self) -> int:
        """OTLP's kind."""

    @property
    def start_ns(self) -> int:
        """The start."""

    @property
    def end_ns(self) -> int:
        """The end."""

    @property
    def status(self) -> int:
        """OTLP's status code."""

    @property
    def attributes(self) -> Callable[[], Attributes]:
        """Decode the attributes."""

    @property
    def events(self) -> Callable[[], Sequence[Event]]:
        """Decode the events."""

    @property
    def links(self) -> Callable[[], Sequence[Link]]:
        """Decode the links."""


@dataclass(frozen=True, slots=True)
class SpanValues:
    """A span record made of values."""

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
class SpanTable:
    """A trace: columns of equal length, in order of start.

    `parent` holds row numbers, or ROOT, or ORPHAN. `flaws` are sentences that say what its source
    could not read of it; `repeated` counts the spans that came more than once.
    """

    trace_id: str
    span_ids: tuple[str, ...]
    names: tuple[str, ...]
    start: "NDArray[np.int64]"
    end: "NDArray[np.int64]"
    parent: "NDArray[np.int32]"
    flaws: tuple[str, ...]
    repeated: int
    _records: tuple[SpanRecord, ...]

    def __len__(self) -> int:
        return len(self.span_ids)

    def __repr__(self) -> str:
        return f"<SpanTable {self.trace_id}, {len(self)} spans>"

    @cached_property
    def _attributes(self) -> list[Attributes]:
        return [record.attributes() for record in self._records]

    def attributes(self, row: int) -> Attributes:
        """The attributes of a span; those of all spans are decoded at first use."""
        return self._attributes[row]

    def values(self, key: str) -> list[Any]:
        """An attribute of every span, by row; None where it is missing. Looked up once a key."""
        found = self._columns.get(key)
        if found is None:
            found = self._columns[key] = [said.get(key) for said in self._attributes]
        return found

    def figures(self, key: str) -> list[float | None]:
        """An attribute of every span as a finite number, by row; None where it is none."""
        found = self._figures.get(key)
        if found is None:
            isfinite = math.isfinite
            found = self._figures[key] = [
                # What most are is told here: a call for each would take twice as long.
                value
                if value is None or (type(value) is float and isfinite(value))
                else finite(value)
                for value in self.values(key)
            ]
        return found

    def numbers(self, key: str) -> Iterator[tuple[int, float]]:
        """The spans with an attribute that is a finite number, in order of start, and it."""
        for row, number in enumerate(self.figures(key)):
            if number is not None:
                yield row, number

    @cached_property
    def _columns(self) -> dict[str, list[Any]]:
        return {}

    @cached_property
    def _figures(self) -> dict[str, list[float | None]]:
        return {}

    def number(self, row: int, key: str) -> float | None:
        """An attribute as a finite number; None where it is missing or is none."""
        return finite(self.attributes(row).get(key))

    def events(self, row: int) -> Sequence[Event]:
        """What happened during a span, decoded at every use."""
        return self._records[row].events()

    def keeps_events(self, row: int) -> bool:
        """Whether the source of a span would tell what happened during it."""
        return row not in self._eventless

    @cached_property
    def _eventless(self) -> frozenset[int]:
        events = map(attrgetter("events"), self._records)
        return frozenset([row for row, each in enumerate(events) if each is events_not_kept])

    @cached_property
    def eventful(self) -> frozenset[int]:
        """The spans during which something happened."""
        return frozenset([row for row, each in enumerate(self._records) if each.events()])

    @cached_property
    def retried(self) -> frozenset[int]:
        """The spans that had to try again."""
        return frozenset(
            [row for row in self.eventful if any(e.name == "retry" for e in self.events(row))]
        )

    def links(self, row: int) -> Sequence[Link]:
        """What a span refers to, decoded at every use."""
        return self._records[row].links()

    @cached_property
    def linked(self) -> frozenset[int]:
        """The spans that refer to others."""
        return frozenset([row for row, each in enumerate(self._records) if each.links()])

    @cached_property
    def failed(self) -> frozenset[int]:
        """The spans that failed."""
        return frozenset(np.flatnonzero(self.status == ERROR).tolist())

    @cached_property
    def kind(self) -> "NDArray[np.int8]":
        """OTLP's kinds."""
        return np.array([record.kind for record in self._records], np.int8)

    @cached_property
    def status(self) -> "NDArray[np.int8]":
        """OTLP's status codes."""
        return np.array([record.status for record in self._records], np.int8)

    @cached_property
    def intervals(self) -> list[tuple[int, int]]:
        """Start and end of each span as plain integers: quick to read one at a time."""
        return list(zip(self.start.tolist(), self.end.tolist(), strict=True))

    @property
    def duration(self) -> "NDArray[np.int64]":
        """How long each span took, in nanoseconds."""
        return self.end - self.start

    @cached_property
    def kept(self) -> dict[Any, Any]:
        """What was worked out on this trace and is asked for again, by function and arguments."""
        return {}

    def rows(self, prefix: str) -> list[int]:
        """The spans whose name begins with the prefix, in order of start."""
        return [row for row, name in enumerate(self.names) if name.startswith(prefix)]

    @cached_property
    def roles(self) -> tuple[Role, ...]:
        """What each span stands for, by row."""
        return tuple([role(attributes) for attributes in self._attributes])

    @cached_property
    def steps(self) -> list[int | None]:
        """The superstep of LangGraph that each span ran in, by row."""
        return [step(attributes) for attributes in self._attributes]

    @cached_property
    def row_of(self) -> Mapping[str, int]:
        """The row of each span, by its id."""
        return {span_id: row for row, span_id in enumerate(self.span_ids)}

    @cached_property
    def roots(self) -> list[int]:
        """The spans without a parent."""
        return [int(row) for row in np.flatnonzero(self.parent == ROOT)]

    @cached_property
    def orphans(self) -> list[int]:
        """The spans whose parent is missing."""
        return [int(row) for row in np.flatnonzero(self.parent == ORPHAN)]

    @cached_property
    def circular(self) -> list[int]:
        """The spans from which no way up leads to a root or an orphan; pointer doubling."""
        top = len(self)
        above = np.append(np.where(self.parent < 0, top, self.parent), top)
        for _ in range(top.bit_length()):
            if (above == top).all():
                break
            above = above[above]
        return np.flatnonzero(above[:-1] != top).tolist()

    @cached_property
    def child_rows(self) -> list[list[int]]:
        """The direct children of each span, in order of start; not to be changed."""
        # Rows grouped by parent; a stable sort keeps the order of start within a group. One list a
        # span, because walking a tree asks for one after the other, and again and again.
        grouped = np.argsort(self.parent, kind="stable")
        order = grouped.tolist()
        above = self.parent[grouped]
        first = np.flatnonzero(np.diff(above, prepend=ORPHAN - 1))
        bounds = [*first.tolist(), len(order)]
        found = [_NO_CHILDREN] * len(self)
        for parent, begin, end in zip(above[first].tolist(), bounds, bounds[1:], strict=False):
            if parent >= 0:
                found[parent] = order[begin:end]
        return found

    def children(self, row: int) -> list[int]:
        """The direct children of a span, in order of start; not to be changed."""
        return self.child_rows[row]

    def subtree(self, row: int) -> list[int]:
        """A span and everything below it, parents before children."""
        below = self.child_rows
        pending, found = [row], list[int]()
        while pending:
            current = pending.pop()
            found.append(current)
            if children := below[current]:
                pending += children[::-1]
        return found

    def below(self, row: int) -> list[int]:
        """A span and everything below it, in order of start."""
        if self.roots == [row] and not self.orphans and not self.circular:
            return list(range(len(self)))
        return sorted(self.subtree(row))

    def leaves(self, row: int) -> list[int]:
        """The spans below (or at) a span that have no children: where work was really done."""
        return [each for each in self.subtree(row) if not self.child_rows[each]]


def finite(value: object) -> float | None:
    """A value as a finite number, or None; foreign traces hold anything, so nothing here raises."""
    if value is None or (type(value) is float and math.isfinite(value)):
        return value
    try:
        found = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None
