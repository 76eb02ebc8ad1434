"""Who waits for whom in a program, as `trading-graph probe` found out; docs/probe.md.

The file is one JSON object. It names spans by the names from the run down to them, so that it holds
for any trace of the program.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import cached_property
from typing import Literal

import msgspec

from trading_graph.otel.errors import DependenciesError
from trading_graph.otel.trace.table import SpanTable

_REFUSED = "These are no dependencies ({}); `trading-graph probe` finds them out."


class WaitOrder(StrEnum):
    """Why one span waits for another.

    ASKED: its own task was there already, and waited for the other. IN_TURN: one task does both in
    turn, which the code may do without a need.
    """

    ASKED = "asked"
    IN_TURN = "in turn"


class ShownWait(msgspec.Struct, frozen=True, kw_only=True):
    """A span waits for the end of another.

    `span` is the number of that one. `runs` is in how many runs it was held, and this one moved
    with it; 0 where it is recorded that the one task awaited the other.
    """

    span: int
    order: WaitOrder
    runs: int
    confidence: float


class ProbedSpan(msgspec.Struct, frozen=True, kw_only=True):
    """A span, by the names from below the run down to it.

    Each name has a number among the siblings of that name, in order of start in an undisturbed run,
    from 0. `waits_for` leaves out what is waited for through another. `open` are the numbers of
    spans of which it could not be settled whether it waits for them; it waits for no other.
    """

    path: tuple[str, ...]
    numbers: tuple[int, ...]
    waits_for: tuple[ShownWait, ...]
    open: tuple[int, ...]


class ShownLimit(msgspec.Struct, frozen=True, kw_only=True):
    """Spans, by number, of which `at_once` run at a time; they do not wait for each other.

    `handovers` is how often one was seen to start as another ended.
    """

    spans: tuple[int, ...]
    at_once: int
    handovers: int


class SpeedUp(msgspec.Struct, frozen=True, kw_only=True):
    """What the run would take if one span took a share less, in seconds.

    `measured_s` is that as measured by slowing what runs beside it, where that was done.
    """

    span: int
    share: float
    run_s: float
    low_s: float
    high_s: float
    measured_s: float | None


class Dependencies(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """Who waits for whom in a program, as its runs with delays show.

    `runs` were made, in `total_s`; `plain` of them were undisturbed, and took `wall_s`, the median.
    Moments closer than `tolerance_s` count as one. `noise` is by what share predictions of the
    disturbed runs were off, at most. Spans are numbered by their place in `spans`; `left_out` are
    the paths of those that not all runs have equally often.
    """

    schema_version: Literal[1]
    program: tuple[str, ...]
    runs: int
    plain: int
    wall_s: float
    total_s: float
    tolerance_s: float
    noise: float
    spans: tuple[ProbedSpan, ...]
    limits: tuple[ShownLimit, ...]
    speed_ups: tuple[SpeedUp, ...]
    left_out: tuple[tuple[str, ...], ...] = ()

    @classmethod
    def from_json(cls, content: bytes) -> "Dependencies":
        """The dependencies of a file; raises DependenciesError, which is a JudgeError."""
        try:
            found = msgspec.json.decode(content, type=cls)
        except msgspec.DecodeError as error:
            raise DependenciesError(_REFUSED.format(str(error).rstrip("."))) from None
        count = len(found.spans)
        named = [each.span for span in found.spans for each in span.waits_for]
        named += [each for span in found.spans for each in span.open]
        named += [each for limit in found.limits for each in limit.spans]
        if any(not 0 <= each < count for each in named):
            raise DependenciesError(_REFUSED.format(f"it names a span beyond its {count}"))
        return found

    @cached_property
    def closure(self) -> Sequence[frozenset[int]]:
        """For each span all whose end it waits for, directly or through others."""
        inside = self._inside
        closure: list[frozenset[int] | None] = [None] * len(self.spans)
        for first in range(len(self.spans)):
            pending = [first]
            while pending:
                span = pending[-1]
                needs = self._needs(span, inside)
                missing = [each for each in needs if closure[each] is None and each not in pending]
                if missing:
                    pending += missing
                    continue
                found = {each.span for each in self.spans[span].waits_for}
                for each in needs:
                    found |= closure[each] or frozenset()
                for each in tuple(found):
                    found |= inside[each]
                closure[span] = frozenset(found)
                pending.pop()
        return [each or frozenset() for each in closure]

    def _needs(self, span: int, inside: Sequence[frozenset[int]]) -> list[int]:
        """The spans whose own waits one shares: those it waits for, and those inside these."""
        direct = [each.span for each in self.spans[span].waits_for]
        return [*direct, *(each for one in direct for each in inside[one])]

    @cached_property
    def _inside(self) -> Sequence[frozenset[int]]:
        """The spans below each span."""
        number = {(each.path, each.numbers): at for at, each in enumerate(self.spans)}
        inside: list[set[int]] = [set() for _ in self.spans]
        for at, each in enumerate(self.spans):
            for depth in range(1, len(each.path)):
                above = number.get((each.path[:depth], each.numbers[:depth]))
                if above is not None:
                    inside[above].add(at)
        return [frozenset(each) for each in inside]


class Relation(StrEnum):
    """What is known of two siblings, of which the first ended before the second started."""

    ASKED = "the second waits for the first"
    IN_TURN = "one task does them in turn"
    LIMIT = "they share a limit"
    FREE = "the second does not wait for the first"
    OPEN = "not settled"


class ShownOrder:
    """What the dependencies of a program say of the spans of one trace."""

    def __init__(self, dependencies: Dependencies, trace: SpanTable, run: int) -> None:
        self.dependencies = dependencies
        self.trace = trace
        self._number_of = _match(dependencies, trace, run)
        self._row_of = {number: row for row, number in self._number_of.items()}

    @property
    def noise(self) -> float:
        """By what share predictions may be off."""
        return self.dependencies.noise

    @cached_property
    def predecessors(self) -> Mapping[int, tuple[int, ...]]:
        """The siblings whose end let a span start, by row, where all of it is settled."""
        spans, found = self.dependencies.spans, {}
        for row, number in self._number_of.items():
            if spans[number].open:
                continue
            waits = [self._row_of.get(each.span) for each in spans[number].waits_for]
            siblings = [
                each
                for each in waits
                if each is not None and self.trace.parents[each] == self.trace.parents[row]
            ]
            if len(siblings) == len(waits):
                found[row] = tuple(siblings)
        return found

    @cached_property
    def limits(self) -> Sequence[tuple[tuple[int, ...], int]]:
        """The rows of siblings that share a limit, and how many of them run at once."""
        found = []
        for limit in self.dependencies.limits:
            rows = [row for each in limit.spans if (row := self._row_of.get(each)) is not None]
            parents = {self.trace.parents[row] for row in rows}
            if len(rows) == len(limit.spans) and len(parents) == 1:
                found.append((tuple(sorted(rows)), limit.at_once))
        return found

    def relation(self, first: int, second: int) -> Relation:
        """What is known of two siblings, by row."""
        one, other = self._number_of.get(first), self._number_of.get(second)
        if one is None or other is None:
            return Relation.OPEN
        known = self.dependencies.closure[other]
        if one in known:
            direct = {each.span: each.order for each in self.dependencies.spans[other].waits_for}
            is_asked = direct.get(one) is WaitOrder.ASKED
            return Relation.ASKED if is_asked else Relation.IN_TURN
        if any(one in limit.spans and other in limit.spans for limit in self.dependencies.limits):
            return Relation.LIMIT
        spans = self.dependencies.spans
        if any(one in spans[each].open for each in (other, *known)):
            return Relation.OPEN
        return Relation.FREE


def _match(dependencies: Dependencies, trace: SpanTable, run: int) -> dict[int, int]:
    """The number of each span of a trace that the dependencies know."""
    number = {(each.path, each.numbers): at for at, each in enumerate(dependencies.spans)}
    counts: dict[tuple[tuple[str, ...], tuple[int, ...], str], int] = defaultdict(int)
    for each in dependencies.spans:
        counts[each.path[:-1], each.numbers[:-1], each.path[-1]] += 1
    found: dict[int, int] = {}
    pending: list[tuple[int, tuple[str, ...], tuple[int, ...]]] = [(run, (), ())]
    while pending:
        above, path, numbers = pending.pop()
        by_name: dict[str, list[int]] = defaultdict(list)
        for row in trace.child_rows[above]:
            by_name[trace.names[row]].append(row)
        for name, rows in by_name.items():
            if counts.get((path, numbers, name)) != len(rows):
                continue  # Nobody knows which of them is which.
            for at, row in enumerate(rows):  # in order of start
                here = (*path, name), (*numbers, at)
                if here in number:
                    found[row] = number[here]
                pending.append((row, *here))
    return found
