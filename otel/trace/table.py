"""The spans of one trace as columns.

There is one row for each span, sorted by start. Times are int64 nanoseconds since the epoch; a
float64 would lose up to 256 ns. Attributes are decoded at first use.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, compress
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import numpy as np

from trading_graph.otel.trace.records import Event, Link, SpanRecord, no_events, nothing
from trading_graph.otel.vocabularies import Attributes as Attributes
from trading_graph.otel.vocabularies import (
    Figure,
    GraphTask,
    Reader,
    Role,
    finite,
    graph_task,
    roles,
)

if TYPE_CHECKING:
    # For types only: at run time this import takes a fifth of the time of numpy's.
    from numpy.typing import NDArray

ROOT = -1
"""A value of the parent column: the span has no parent."""

ORPHAN = -2
"""A value of the parent column: the span names a parent that the trace does not hold."""

ERROR = 2
"""A value of the status column: OTLP's code for a span that failed."""

_NO_CHILDREN: list[int] = []

_Value = TypeVar("_Value")


@dataclass(frozen=True)
class SpanTable:
    """A trace: columns of equal length, in order of start.

    `parent` holds row numbers, ROOT or ORPHAN. `flaws` are sentences about what could not be read;
    `repeated` is the number of spans that came more than once. `notes` are sentences about what
    part of the source this is, and `joints` the tops of trees that were put below one span.
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
    _moves: "NDArray[np.int64] | None" = None
    notes: tuple[str, ...] = ()
    joints: frozenset[str] = frozenset()

    def __len__(self) -> int:
        return len(self.span_ids)

    def __repr__(self) -> str:
        return f"<SpanTable {self.trace_id}, {len(self)} spans>"

    @cached_property
    def _attributes(self) -> list[Attributes]:
        return [record.attributes() for record in self._records]

    @cached_property
    def _alike(self) -> Mapping[tuple[str, ...], list[int]]:
        """The rows of the spans that have the same attributes, as most of one kind do."""
        alike: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for row, attributes in enumerate(self._attributes):
            alike[tuple(attributes)].append(row)
        return alike

    @cached_property
    def _rows_with(self) -> Mapping[str, list[list[int]]]:
        """The rows of the spans that have an attribute, by its name; in a list for each kind."""
        rows_with: dict[str, list[list[int]]] = {}
        for keys, rows in self._alike.items():
            for key in keys:
                rows_with.setdefault(key, []).append(rows)
        return rows_with

    def rows_with(self, keys: Iterable[str]) -> Iterable[int]:
        """The spans that have one of some attributes, each once, in no order."""
        parts = {id(rows): rows for key in keys for rows in self._rows_with.get(key, ())}
        return chain.from_iterable(parts.values())

    @cached_property
    def keys(self) -> Set[str]:
        """The names of all attributes of all spans."""
        return frozenset(self._rows_with)

    def attributes(self, row: int) -> Attributes:
        """The attributes of a span; the first call decodes those of all spans."""
        return self._attributes[row]

    def values(self, key: str) -> list[Any]:
        """An attribute of every span, by row; None where it is missing. Cached by key."""
        column = self._columns.get(key)
        if column is None:
            column = self._columns[key] = [None] * len(self)
            attributes = self._attributes
            for row in self.rows_with((key,)):
                column[row] = attributes[row][key]
        return column

    def figures(self, key: str) -> list[float | None]:
        """An attribute of every span by row, as a finite number or None. Cached by key."""
        column = self._figures.get(key)
        if column is None:
            column = self._figures[key] = [None] * len(self)
            attributes, isfinite = self._attributes, math.isfinite
            for row in self.rows_with((key,)):
                value = attributes[row][key]
                # The usual case is decided inline: a call for each value takes twice as long.
                is_usual = type(value) is float and isfinite(value)
                column[row] = value if is_usual else finite(value)
        return column

    def numbers(self, key: str) -> Iterator[tuple[int, float]]:
        """The row and value of each span whose attribute is a finite number, in order of start."""
        for row, number in enumerate(self.figures(key)):
            if number is not None:
                yield row, number

    def column_of(self, reader: Reader[_Value]) -> list[_Value]:
        """What a reader finds on every span, by row. Cached by reader."""
        column = self._columns_of.get(reader)
        if column is None:
            column = self._columns_of[reader] = self._column_of(reader)
        return column

    def _column_of(self, reader: Reader[Any]) -> list[Any]:
        keys = reader.keys & self.keys
        if not keys:
            return [reader.otherwise] * len(self)
        if isinstance(reader, Figure) and len(keys) == 1:
            return self.figures(*keys)
        column = [reader.otherwise] * len(self)
        for row in self.rows_with(keys):
            column[row] = reader.read(self._attributes[row])
        return column

    def read(self, reader: Reader[_Value], row: int) -> _Value:
        """What a reader finds on one span. Cached by reader."""
        try:
            found = self._found[reader]
        except KeyError:
            is_absent = reader.keys.isdisjoint(self.keys)
            found = self._found[reader] = None if is_absent else {}
        if found is None:
            return reader.otherwise
        if row not in found:
            found[row] = reader.read(self._attributes[row])
        value: _Value = found[row]
        return value

    def numbers_of(self, reader: Reader[float | None]) -> Iterator[tuple[int, float]]:
        """The row and number of each span for which a reader finds one, in order of start."""
        for row, number in enumerate(self.column_of(reader)):
            if number is not None:
                yield row, number

    @cached_property
    def _found(self) -> dict[Any, dict[int, Any] | None]:
        return {}

    @cached_property
    def _columns_of(self) -> dict[Any, list[Any]]:
        return {}

    @cached_property
    def _columns(self) -> dict[str, list[Any]]:
        return {}

    @cached_property
    def _figures(self) -> dict[str, list[float | None]]:
        return {}

    def number(self, row: int, key: str) -> float | None:
        """An attribute as a finite number; None where it is missing or not one."""
        return finite(self.attributes(row).get(key))

    def events(self, row: int) -> Sequence[Event]:
        """The events of a span, decoded by each call."""
        events = self._records[row].events()
        move = 0 if self._moves is None else int(self._moves[row])
        if not move:
            return events
        return [msgspec.structs.replace(each, time_ns=each.time_ns + move) for each in events]

    def with_times(self, start: "NDArray[np.int64]", end: "NDArray[np.int64]") -> "SpanTable":
        """The same spans with other times, in order of their new starts."""
        order = np.lexsort((-end, start))
        row_of = np.empty(len(self) + 2, np.int32)
        row_of[order] = np.arange(len(self))
        row_of[ROOT], row_of[ORPHAN] = ROOT, ORPHAN
        rows: list[int] = order.tolist()
        moves = start - self.start
        if self._moves is not None:
            moves = moves + self._moves
        return replace(
            self,
            span_ids=tuple([self.span_ids[row] for row in rows]),
            names=tuple([self.names[row] for row in rows]),
            start=start[order],
            end=end[order],
            parent=row_of[self.parent[order]],
            _records=tuple([self._records[row] for row in rows]),
            _moves=moves[order],
        )

    @cached_property
    def _events(self) -> list[Callable[[], Sequence[Event]]]:
        return list(map(attrgetter("events"), self._records))

    @cached_property
    def eventless(self) -> frozenset[int]:
        """The spans whose source stores no events."""
        if self._events.count(nothing) == len(self):
            return frozenset()  # as usual
        return frozenset([row for row, each in enumerate(self._events) if each is no_events])

    @cached_property
    def eventful(self) -> frozenset[int]:
        """The spans that have events."""
        if self._events.count(nothing) == len(self):
            return frozenset()
        events = enumerate(self._events)
        return frozenset([row for row, each in events if each is not nothing and each()])

    @cached_property
    def retried(self) -> frozenset[int]:
        """The spans with at least one event `retry`."""
        return frozenset(
            [row for row in self.eventful if any(e.name == "retry" for e in self.events(row))]
        )

    @cached_property
    def _links(self) -> Mapping[int, Sequence[Link]]:
        """The links of the spans that have some, by row."""
        links = list(map(attrgetter("links"), self._records))
        if links.count(nothing) == len(self):
            return {}
        decode = enumerate(links)
        return {row: found for row, each in decode if each is not nothing and (found := each())}

    def links(self, row: int) -> Sequence[Link]:
        """The links of a span; the first call decodes those of all spans."""
        return self._links.get(row, ())

    @cached_property
    def linked(self) -> frozenset[int]:
        """The spans that link to others."""
        return frozenset(self._links)

    @cached_property
    def resources(self) -> list[Attributes]:
        """The attributes of each span's process, by row; spans of one process share one object."""
        return list(map(attrgetter("resource"), self._records))

    def parent_id(self, row: int) -> str:
        """The id of the parent that a span names, recorded or not; empty for a root."""
        return self._records[row].parent_id or ""

    @cached_property
    def followers(self) -> frozenset[int]:
        """The spans whose parent only caused them, and is known not to have waited for them."""
        return frozenset(compress(range(len(self)), map(attrgetter("follows"), self._records)))

    @cached_property
    def failed(self) -> frozenset[int]:
        """The spans whose status is an error."""
        if ERROR not in self.status:
            return frozenset()  # as usual
        return frozenset([row for row, status in enumerate(self.status) if status == ERROR])

    @cached_property
    def kind(self) -> list[int]:
        """OTLP's kind of each span."""
        return list(map(attrgetter("kind"), self._records))

    @cached_property
    def status(self) -> list[int]:
        """OTLP's status code of each span."""
        return list(map(attrgetter("status"), self._records))

    @cached_property
    def intervals(self) -> list[tuple[int, int]]:
        """Start and end of each span as plain integers, which are quicker to read one by one."""
        return list(zip(self.start.tolist(), self.end.tolist(), strict=True))

    @cached_property
    def parents(self) -> list[int]:
        """The column `parent` as plain integers, which are quicker to read one by one."""
        parents: list[int] = self.parent.tolist()
        return parents

    @cached_property
    def lengths(self) -> list[int]:
        """The column `duration` as plain integers, which are quicker to read one by one."""
        lengths: list[int] = self.duration.tolist()
        return lengths

    def idle_ns(self, start: int, end: int, besides: Sequence[int] = ()) -> int:
        """How long between two instants no span ran, other than those at the rows `besides`.

        All spans of the trace count, wherever they hang: only so is it true that nothing ran.
        """
        begun = int(np.searchsorted(self.start, end))
        starts, ends = self.start[:begun], self.end[:begun]
        running = (ends > start) & (ends > starts)
        running[[row for row in besides if row < begun]] = False
        rows = np.flatnonzero(running)
        idle, latest = 0, start
        for begin, stop in zip(starts[rows].tolist(), ends[rows].tolist(), strict=True):
            idle += max(begin - latest, 0)
            latest = max(latest, stop)
        return idle + max(end - latest, 0)

    def ancestors(self, row: int) -> list[int]:
        """The spans above a span, the nearest first."""
        above, parents = list[int](), self.parent
        row = int(parents[row])
        while row >= 0:
            above.append(row)
            row = int(parents[row])
        return above

    def tree_of(self, row: int) -> str:
        """The id of the joint at or above a span; empty where there is none."""
        parents, ids, joints = self.parents, self.span_ids, self.joints
        while joints and row >= 0:
            if ids[row] in joints:
                return ids[row]
            row = parents[row]
        return ""

    @property
    def duration(self) -> "NDArray[np.int64]":
        """The duration of each span, in nanoseconds."""
        return self.end - self.start

    @cached_property
    def memo(self) -> dict[Any, Any]:
        """Results computed on this trace that are needed again, by function and arguments."""
        return {}

    def rows(self, prefix: str) -> list[int]:
        """The spans whose name begins with the prefix, in order of start."""
        return [row for row, name in enumerate(self.names) if name.startswith(prefix)]

    @cached_property
    def roles(self) -> tuple[Role, ...]:
        """The role of each span, by row."""
        return roles(self._attributes, self._alike)

    @cached_property
    def _by_role(self) -> Mapping[Role, list[int]]:
        by_role: dict[Role, list[int]] = defaultdict(list)
        for row, role in enumerate(self.roles):
            by_role[role].append(row)
        return by_role

    def of_role(self, role: Role, run: int | None = None) -> list[int]:
        """The spans of a role, in order of start; at or below a span where one is given."""
        rows = self._by_role.get(role, [])
        if run is None or not rows or self._is_whole(run):
            return list(rows)
        inside = set(self.tree_rows(run))
        return [row for row in rows if row in inside]

    @cached_property
    def graph_tasks(self) -> list[GraphTask | None]:
        """The task of LangGraph that each span is, or runs in, by row; None outside of one."""
        return self.column_of(graph_task)

    @cached_property
    def is_graph(self) -> bool:
        """Whether any span has metadata of LangGraph."""
        return not graph_task.keys.isdisjoint(self.keys)

    @cached_property
    def steps(self) -> list[int | None]:
        """The superstep of LangGraph that each span ran in, by row; None where there is none."""
        return [task.step if task else None for task in self.graph_tasks]

    @cached_property
    def row_of(self) -> Mapping[str, int]:
        """The row of each span, by its id."""
        return {span_id: row for row, span_id in enumerate(self.span_ids)}

    @cached_property
    def roots(self) -> list[int]:
        """The spans without a parent."""
        rows: list[int] = np.flatnonzero(self.parent == ROOT).tolist()
        return rows

    @cached_property
    def orphans(self) -> list[int]:
        """The spans whose parent the trace does not hold."""
        if ORPHAN not in self.parents:
            return []  # as usual
        return [row for row, parent in enumerate(self.parents) if parent == ORPHAN]

    @cached_property
    def circular(self) -> list[int]:
        """The spans whose chain of parents is a circle (found by pointer doubling)."""
        top = len(self)
        if (self.parent < np.arange(top)).all():
            return []  # as usual: no circle without a parent that comes later than its child
        above = np.append(np.where(self.parent < 0, top, self.parent), top)
        for _ in range(top.bit_length()):
            if (above == top).all():
                break
            above = above[above]
        return np.flatnonzero(above[:-1] != top).tolist()

    @cached_property
    def child_rows(self) -> list[list[int]]:
        """The direct children of each span, in order of start; not to be changed."""
        # A list for each span, because walks of the tree read them over and over.
        children = [_NO_CHILDREN] * len(self)
        for row, parent in enumerate(self.parents):
            if parent >= 0:
                if siblings := children[parent]:
                    siblings.append(row)
                else:
                    children[parent] = [row]
        return children

    def children(self, row: int) -> list[int]:
        """The direct children of a span, in order of start; not to be changed."""
        return self.child_rows[row]

    def subtree(self, row: int) -> list[int]:
        """A span and everything below it, parents before children."""
        below = self.child_rows
        pending, rows = [row], list[int]()
        while pending:
            current = pending.pop()
            rows.append(current)
            if children := below[current]:
                pending += children[::-1]
        return rows

    def depth(self, row: int) -> int:
        """The number of spans above a span."""
        parents, count = self.parents, 0
        while parents[row] >= 0:
            row, count = parents[row], count + 1
        return count

    def top(self, row: int) -> int:
        """The highest span above a span, or the span itself."""
        parents = self.parents
        while parents[row] >= 0:
            row = parents[row]
        return row

    def tree_rows(self, row: int) -> list[int]:
        """The same as `subtree`, cached; not to be changed."""
        rows: list[int] | None = self.memo.get(("tree_rows", row))
        if rows is None:
            rows = self.memo["tree_rows", row] = self.subtree(row)
        return rows

    def below(self, row: int) -> list[int]:
        """A span and everything below it, in order of start; cached, and not to be changed."""
        rows: list[int] | None = self.memo.get(("below", row))
        if rows is None:
            whole = self._is_whole(row)
            rows = list(range(len(self))) if whole else sorted(self.subtree(row))
            self.memo["below", row] = rows
        return rows

    def _is_whole(self, row: int) -> bool:
        """Whether every span of the trace is at or below a span."""
        return self.roots == [row] and not self.orphans and not self.circular

    def leaves(self, row: int) -> list[int]:
        """The spans at or below a span that have no children: where work was really done."""
        return [each for each in self.subtree(row) if not self.child_rows[each]]
