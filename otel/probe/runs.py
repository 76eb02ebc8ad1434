"""The same spans in several runs of a program, with what was held in each.

A span is known again by its place: the names from the run down to it, and its number among siblings
of its name. These are numbered by what they ask for, then by the activity that ran them, then by
their start, because delays change which of them starts first and not which task each belongs to.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from trading_graph.otel.probe.plan import TOP, Plan, name_key, span_key
from trading_graph.otel.trace import SpanTable
from trading_graph.otel.trace.structure import requests
from trading_graph.otel.trace.waits import waits
from trading_graph.otel.vocabularies import witness
from trading_graph.otel.vocabularies.values import sequence

if TYPE_CHECKING:
    from numpy.typing import NDArray

Place = tuple[tuple[str, int], ...]
"""The names from below the run down to a span, each with its number among siblings of that name."""

MOST_LEFT_OUT = 0.1
"""Runs that differ in more than this share of their spans are not of one structure."""

_AT_ONCE_MS = 1.0
"""A wait that begins this soon after the start of a span is before its work."""


@dataclass(frozen=True, slots=True)
class ProbeRun:
    """A run of the program: its trace, the row of its span, and what was held."""

    trace: SpanTable
    run: int
    plan: Plan


class ChangedStructureError(Exception):
    """Two runs do not have the same spans; the message says which differ, without a subject."""


@dataclass(frozen=True)
class Runs:
    """The spans that all runs have, by number, parents before children; times in seconds.

    Arrays have a row for each run and a column for each span; times count from the start of the
    run. `work` is when the work of a span began: after a wait for its turn with which it starts.
    `held` is how long the span, or one below it, was held on purpose. `turn` says whether the
    activity had waited for its turn before the span started, or the span itself did.
    """

    places: tuple[Place, ...]
    parents: tuple[int, ...]
    start: "NDArray[np.float64]"
    work: "NDArray[np.float64]"
    end: "NDArray[np.float64]"
    held: "NDArray[np.float64]"
    turn: "NDArray[np.bool_]"
    born: "NDArray[np.float64]"
    """When the activity of the span was created; the start of the run where that is not known."""
    late: "NDArray[np.float64]"
    """How long the activity was held before the step in which the span started."""
    born_late: "NDArray[np.float64]"
    """By how much the activity was created later because others were held."""
    awaited: tuple[tuple[frozenset[str], ...], ...]
    """The activities that the span's own had awaited before it, by run."""
    made_with: tuple[tuple[str, ...], ...]
    """The path of the first activity that was created at one moment with the span's own, by run."""
    activities: tuple[tuple[str, ...], ...]
    """The path of the activity of each span, by run."""
    is_known_again: tuple[bool, ...]
    """Whether it is certain which span of another run this one is."""
    keys: tuple[str, ...]
    """What a plan calls each span."""
    rows: tuple[tuple[int, ...], ...]
    """The row of each span in the trace of each run."""
    left_out: tuple[tuple[str, ...], ...]
    """The names, from below the run down, of spans that not all runs have equally often."""

    def __len__(self) -> int:
        return len(self.places)

    @property
    def wall_s(self) -> "NDArray[np.float64]":
        """The duration of each run."""
        duration: NDArray[np.float64] = self.end[:, 0] - self.start[:, 0]
        return duration

    @cached_property
    def above(self) -> tuple[frozenset[int], ...]:
        """The spans above each span, and the span itself."""
        above: list[frozenset[int]] = []
        for span, parent in enumerate(self.parents):
            above.append(frozenset([span]) | (above[parent] if parent >= 0 else frozenset()))
        return tuple(above)

    @cached_property
    def children(self) -> Mapping[int, tuple[int, ...]]:
        """The children of each span that has some."""
        children: dict[int, list[int]] = defaultdict(list)
        for span, parent in enumerate(self.parents):
            if parent >= 0:
                children[parent].append(span)
        return {parent: tuple(some) for parent, some in children.items()}


def align(runs: Sequence[ProbeRun]) -> Runs:
    """The spans of some runs, each known again in all of them; raises ChangedStructureError.

    Where the runs do not have equally many spans of a name below a span, these are left out.
    """
    aligned = [_Places(each) for each in runs]
    counts = [each.counts() for each in aligned]
    names = set[tuple[Place, str]]().union(*counts)
    differing = {each for each in names if len({one[each] for one in counts}) > 1}
    common = {
        place
        for place in aligned[0].rows
        if not any((place[:at], place[at][0]) in differing for at in range(len(place)))
    }
    every = set[Place]().union(*(each.rows for each in aligned))
    if len(every - common) > MOST_LEFT_OUT * len(every):
        raise ChangedStructureError(_difference(aligned[0], aligned[-1]))
    places = sorted(common, key=lambda place: (len(place), aligned[0].rows[place]))
    number = {place: at for at, place in enumerate(places)}
    columns = [_columns(each, places) for each in aligned]
    return Runs(
        places=tuple(places),
        parents=tuple(number[place[:-1]] if place else -1 for place in places),
        start=np.array([each.start for each in columns]),
        work=np.array([each.work for each in columns]),
        end=np.array([each.end for each in columns]),
        held=np.array([each.held for each in columns]),
        turn=np.array([each.turn for each in columns]),
        born=np.array([each.born for each in columns]),
        late=np.array([each.late for each in columns]),
        born_late=np.array([each.born_late for each in columns]),
        awaited=tuple(tuple(each.awaited) for each in columns),
        made_with=tuple(tuple(each.made_with) for each in columns),
        activities=tuple(each.activities for each in columns),
        is_known_again=_are_known_again(places, columns),
        keys=_keys(aligned[0], places),
        rows=tuple(tuple(each.rows[place] for place in places) for each in aligned),
        left_out=tuple(sorted({(*(name for name, _ in above), name) for above, name in differing})),
    )


class _Places:
    """The place of each span of one run."""

    def __init__(self, run: ProbeRun) -> None:
        self.run = run
        self.rows: dict[Place, int] = {(): run.run}
        self.activity = [
            str(run.trace.attributes(row).get(witness.ACTIVITY, ""))
            for row in range(len(run.trace))
        ]
        pending: list[tuple[Place, int]] = [((), run.run)]
        while pending:
            above, row = pending.pop()
            for name, rows in self._by_name(run.trace.child_rows[row]):
                for number, child in enumerate(rows):
                    place = (*above, (name, number))
                    self.rows[place] = child
                    pending.append((place, child))

    def counts(self) -> Counter[tuple[Place, str]]:
        """How many spans of each name are below each span."""
        return Counter((place[:-1], place[-1][0]) for place in self.rows if place)

    def _by_name(self, family: Sequence[int]) -> Iterator[tuple[str, list[int]]]:
        trace = self.run.trace
        by_name: dict[str, list[int]] = defaultdict(list)
        for row in family:
            by_name[trace.names[row]].append(row)
        for name, rows in by_name.items():
            if len(rows) > 1:
                request_of = requests(trace, rows)
                rows.sort(
                    key=lambda row: (request_of.get(row, ""), path_numbers(self.activity[row]), row)
                )
            yield name, rows


def path_numbers(path: str) -> tuple[int, ...]:
    """The numbers of an activity's path."""
    return tuple(int(each) for each in path.split(".")) if path else ()


@dataclass(frozen=True, slots=True)
class _Columns:
    """What `Runs` says of the spans of one run."""

    activities: tuple[str, ...]
    start: list[float] = field(default_factory=list)
    work: list[float] = field(default_factory=list)
    end: list[float] = field(default_factory=list)
    held: list[float] = field(default_factory=list)
    turn: list[bool] = field(default_factory=list)
    born: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    born_late: list[float] = field(default_factory=list)
    made_with: list[str] = field(default_factory=list)
    awaited: list[frozenset[str]] = field(default_factory=list)


def _columns(spans: _Places, places: Sequence[Place]) -> _Columns:
    trace, begin = spans.run.trace, int(spans.run.trace.start[spans.run.run])
    turns, waited = waits(trace), {str(each) for each in witness.Wait}
    rows = [spans.rows[place] for place in places]
    columns = _Columns(tuple(spans.activity[row] for row in rows))
    held: dict[Place, float] = defaultdict(float)
    for place, row in zip(places, rows, strict=True):
        if delay_ms := trace.number(row, witness.DELAY_MS):
            for depth in range(len(place) + 1):
                held[place[:depth]] += delay_ms / 1e3
    for place, row in zip(places, rows, strict=True):
        start, end = trace.intervals[row]
        attributes = trace.attributes(row)
        work, is_turn = start, attributes.get(witness.ACTIVITY_WAITED_FOR) in waited
        if (first := next(iter(turns.get(row, ())), None)) and first[
            0
        ] - start <= _AT_ONCE_MS * 1e6:
            work, is_turn = first[1], True
        age_ms = trace.number(row, witness.ACTIVITY_AGE_MS)
        columns.start.append((start - begin) / 1e9)
        columns.work.append((work - begin) / 1e9)
        columns.end.append((end - begin) / 1e9)
        columns.held.append(held[place])
        columns.turn.append(is_turn)
        columns.made_with.append(str(attributes.get(witness.ACTIVITY_MADE_WITH, "")))
        columns.awaited.append(
            frozenset(map(str, sequence(attributes.get(witness.ACTIVITY_AWAITED))))
        )
        columns.late.append((trace.number(row, witness.ACTIVITY_HELD_MS) or 0.0) / 1e3)
        columns.born_late.append((trace.number(row, witness.ACTIVITY_BORN_LATE_MS) or 0.0) / 1e3)
        columns.born.append((start - begin) / 1e9 - age_ms / 1e3 if age_ms is not None else 0.0)
    return columns


def _are_known_again(places: Sequence[Place], columns: Sequence[_Columns]) -> tuple[bool, ...]:
    """Whether the siblings of one name have the same activities in every run, one by one."""
    by_name: dict[tuple[Place, str], list[int]] = defaultdict(list)
    for number, place in enumerate(places):
        if place:
            by_name[place[:-1], place[-1][0]].append(number)
    is_same = [True] * len(places)
    for numbers in by_name.values():
        if len(numbers) == 1:
            continue
        counts = [Counter(each.activities[number] for number in numbers) for each in columns]
        if any(each != counts[0] for each in counts):
            for number in numbers:
                is_same[number] = False
    # What is below a span that cannot be told from another cannot be either.
    number_of = {place: number for number, place in enumerate(places)}
    for number, place in enumerate(places):
        if place and not is_same[number_of[place[:-1]]]:
            is_same[number] = False
    return tuple(is_same)


def _keys(spans: _Places, places: Sequence[Place]) -> tuple[str, ...]:
    """What a plan calls each span: the names where they suffice, else names and activities."""
    exact: dict[Place, str] = {}
    names: dict[Place, str] = {}
    counts: Counter[tuple[Place, str, str]] = Counter()
    by_start = sorted(places, key=lambda place: (len(place), spans.rows[place]))
    for place in by_start:
        row = spans.rows[place]
        name, activity = spans.run.trace.names[row], spans.activity[row]
        above = place[:-1]
        here = (above, name, activity)
        exact[place] = span_key(
            exact[above] if place else TOP, name, activity, counts[here] if place else 0
        )
        names[place] = name_key(names[above] if place else TOP, name)
        counts[here] += 1
    alike = Counter(names.values())
    return tuple(names[place] if alike[names[place]] == 1 else exact[place] for place in places)


_SHOWN = 3


def _difference(first: _Places, other: _Places) -> str:
    """What one run has and the other has not, in words."""
    lacking, more = first.rows.keys() - other.rows.keys(), other.rows.keys() - first.rows.keys()
    parts = []
    if lacking:
        parts.append(f"lacks {_names(lacking)}")
    if more:
        parts.append(f"has {_names(more)} more")
    return " and ".join(parts)


def _names(places: "set[Place]") -> str:
    top = sorted(place for place in places if place[:-1] not in places)
    shown = ", ".join(" > ".join(name for name, _ in place) or "the run" for place in top[:_SHOWN])
    return shown + (f" and {len(top) - _SHOWN} others" if len(top) > _SHOWN else "")
