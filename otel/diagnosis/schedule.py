"""Why each span of a run started and ended when it did, so that the run can be played again.

A child starts a gap after the end of the last sibling that it waited for, or after the start of its
parent; a parent ends a tail after the last child that it waited for. Times are relative to the
start of the parent, so a subtree moves as a whole. Played without changes, the run comes out as it
was.
"""

import heapq
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence, Set
from enum import Enum
from functools import cached_property
from itertools import compress
from operator import sub

import msgspec

from trading_graph.otel.diagnosis.blocked_loop import Blocks, blocks
from trading_graph.otel.diagnosis.call_tree import CallTree
from trading_graph.otel.diagnosis.critical_path import PathTable, critical_path
from trading_graph.otel.diagnosis.dependencies import (
    declared_predecessors,
    declared_ranks,
    fetch_leaders,
)
from trading_graph.otel.diagnosis.limit_play import LimitPlay, play
from trading_graph.otel.trace import Evidence
from trading_graph.otel.trace.dependencies import ShownOrder
from trading_graph.otel.verdict import RunFigures, Strength, measures


class Model(Enum):
    """What a span is assumed to have waited for.

    OBSERVED: every sibling that had ended before it started. LIKELY: the siblings to which it
    links, where their end explains its start, or else as observed. FREEST: as LIKELY, or only what
    the declared order requires (LangGraph's steps, LLM turns), whichever lets it start earlier.
    """

    OBSERVED = "observed"
    LIKELY = "likely"
    FREEST = "freest"


class FamilyOrder(msgspec.Struct, frozen=True):
    """One order among the children of a span: child i waits for all j with key[j] <= cut[i].

    `by_key` are the numbers of the children, the lowest key first. Child i waits for the first
    `until[i]` of them, as far as they start before it. `gap` is the time between the end of the
    last of these and the start of the child, in nanoseconds.
    """

    cut: Sequence[int]
    by_key: Sequence[int]
    until: Sequence[int]
    gap: Sequence[int]


class Slots(msgspec.Struct, frozen=True):
    """A limit that siblings met: `at_once` of them, and each later one started as another ended.

    `gap` is the time between the end that freed a slot and the start of the span that took it, in
    nanoseconds by row.
    """

    rows: tuple[int, ...]
    at_once: int
    gap: Mapping[int, int]


class Family(msgspec.Struct, frozen=True, dict=True):
    """The children of one span, numbered in order of start; times are relative to its start.

    `tail` is the time between the end of the last child that was waited for and the end of the
    span. `predecessors` are the siblings whose end let a child start, both by number, and `shown`
    the children of which an intervention shows that it was these and no others. `slots` is the
    limit that some of the children met.
    """

    rows: Sequence[int]
    start: Sequence[int]
    end: Sequence[int]
    waited_for: Sequence[bool]
    length: int
    tail: int
    ranks: Sequence[int] | None
    predecessors: Mapping[int, tuple[int, ...]]
    slots: "Slots | None"
    shown: Set[int]

    @cached_property
    def number(self) -> Mapping[int, int]:
        """The number of each child, by row."""
        return {row: number for number, row in enumerate(self.rows)}

    def starting(self, at: int) -> list[int]:
        """The rows of the children that start at this time."""
        numbers = range(bisect_left(self.start, at), bisect_right(self.start, at))
        return [self.rows[number] for number in numbers]

    def ending(self, at: int) -> list[int]:
        """The rows of the children that end at this time."""
        by_end, end = self.observed.by_key, self.end.__getitem__
        first, last = bisect_left(by_end, at, key=end), bisect_right(by_end, at, key=end)
        return [self.rows[number] for number in sorted(by_end[first:last])]

    @cached_property
    def lengths(self) -> Sequence[int]:
        """The duration of each child."""
        return [end - start for start, end in zip(self.start, self.end, strict=True)]

    @cached_property
    def all_waited_for(self) -> bool:
        """Whether every child was waited for."""
        return all(self.waited_for)

    @cached_property
    def observed(self) -> FamilyOrder:
        """The order in which a child waits for every sibling that had ended."""
        return self._order(self.end, self.start)

    @cached_property
    def rank_order(self) -> FamilyOrder | None:
        """The declared order, where there is one."""
        if self.ranks is None:
            return None
        return self._order(self.ranks, [rank - 1 for rank in self.ranks])

    def orders(self, model: Model) -> tuple[FamilyOrder, ...]:
        """The orders that a model considers."""
        rank_order = self.rank_order if model is Model.FREEST else None
        return (self.observed,) if rank_order is None else (self.observed, rank_order)

    @cached_property
    def gaps(self) -> Sequence[int]:
        """The time before each child, since the end of all siblings that it likely waited for."""
        gaps, end = list(self.observed.gap), self.end
        for number, before in self.predecessors.items():
            gaps[number] = self.start[number] - max([end[each] for each in before], default=0)
        return gaps

    def _order(self, key: Sequence[int], cut: Sequence[int]) -> FamilyOrder:
        by_key = sorted(range(len(self.rows)), key=key.__getitem__)
        keys = [key[number] for number in by_key]
        until = [bisect_right(keys, most) for most in cut]
        end = self.end
        gaps = []
        last_end = count = 0
        for number, (begin, most) in enumerate(zip(self.start, until, strict=True)):
            while count < most and (before := by_key[count]) < number:
                if end[before] > last_end:
                    last_end = end[before]
                count += 1
            gaps.append(begin - last_end)
        return FamilyOrder(cut, by_key, until, gaps)


class Schedule:
    """A run's call tree with the order of its parts; families are made at first use.

    `shown` is what interventions showed of the order, and goes before what is declared.
    """

    def __init__(self, tree: CallTree, shown: ShownOrder | None = None) -> None:
        self.tree = tree
        self.shown = shown
        self.predecessors = {
            **declared_predecessors(tree),
            **(_shown_predecessors(tree, shown) if shown else {}),
        }
        self._families: dict[int, Family] = {}
        self._plays: dict[tuple[tuple[str, float], ...], LimitPlay] = {}

    @cached_property
    def choices(self) -> Set[int]:
        """The spans among whose siblings the models differ about the order."""
        return self.predecessors.keys() | self.ranks.keys()

    @cached_property
    def durations(self) -> "array[int]":
        """The duration of each span by row, as far as it is in the run."""
        tree = self.tree
        return array("q", map(sub, tree.end, tree.start))

    @cached_property
    def offsets(self) -> "array[int]":
        """The start of each span after that of its parent, by row; 0 outside of the run."""
        tree, offsets = self.tree, array("q", bytes(8 * len(self.tree.start)))
        start, parents = tree.start, tree.parents
        for row in tree.rows:
            if row != tree.run:
                offsets[row] = start[row] - start[parents[row]]
        return offsets

    @cached_property
    def leaders(self) -> Mapping[int, int]:
        """The span of another branch whose end let a span end, by row."""
        return fetch_leaders(self.tree)

    @cached_property
    def ranks(self) -> Mapping[int, int]:
        """The declared rank of each span among its siblings, for the whole run."""
        ranks: dict[int, int] = {}
        children = self.tree.child_rows
        for parent in self.tree.rows:
            if len(children[parent]) > 1:
                ranks |= declared_ranks(self.tree, parent)
        return ranks

    def evidence(self, row: int) -> Evidence:
        """What it rests on that the run waited for a span after those before it."""
        tree = self.tree
        if row == tree.run or len(tree.child_rows[tree.parents[row]]) == 1:
            return Evidence.RECORDED
        if self.shown and row in self.shown.predecessors:
            return Evidence.SHOWN
        return Evidence.DECLARED if row in self._declared else Evidence.INFERRED

    @cached_property
    def _declared(self) -> Set[int]:
        """The spans of which the program says what they waited for."""
        return self.predecessors.keys() | self.ranks.keys() | self.leaders.keys()

    @cached_property
    def blocks(self) -> Blocks:
        """The periods during which spans blocked their event loops."""
        return blocks(self.tree)

    @cached_property
    def measures(self) -> RunFigures:
        """What the run shows in numbers."""
        return measures(self.tree.trace, self.tree.run)

    @cached_property
    def _slots(self) -> Mapping[int, Slots]:
        """The limits that branches met, by parent."""
        tree, slots = self.tree, {}
        if self.shown is not None:
            for rows, at_once in reversed(self.shown.limits):  # of two in a family, the larger one
                tolerance_ns = int(2e9 * self.shown.dependencies.tolerance_s)
                inside = tuple(row for row in rows if row in tree.inside)
                if len(inside) == len(rows):
                    slots[tree.parents[rows[0]]] = slots_of(tree, rows, at_once, tolerance_ns)
            return slots
        for fan_out in self.measures.fan_outs:
            group, at_once = fan_out.group, fan_out.judgement.at_once
            parents = {tree.parents[row] for row in group.rows}
            # A limit that times alone suggest may be a stage or a batch, and is not played.
            if not fan_out.evidence.proves or fan_out.judgement.strength is not Strength.SERIAL:
                continue
            if at_once and len(parents) == 1:
                slots[parents.pop()] = slots_of(tree, group.rows, at_once)
        return slots

    @cached_property
    def path(self) -> PathTable:
        """The critical path, where declared dependencies take precedence over times."""
        return critical_path(self.tree, self.predecessors)

    def limit_play(self, raised: Mapping[str, float]) -> LimitPlay:
        """The run with the capacities of some declared limits multiplied; cached."""
        key = tuple(sorted(raised.items()))
        if key not in self._plays:
            self._plays[key] = play(self.tree, raised)
        return self._plays[key]

    def family(self, parent: int) -> Family:
        """The children of a span; cached."""
        family = self._families.get(parent)
        if family is None:
            family = self._families[parent] = self._family(parent)
        return family

    def _family(self, parent: int) -> Family:
        tree, ranks = self.tree, self.ranks  # ranks are of all children of a span, or of none
        begin, length = tree.start[parent], tree.duration(parent)
        # Tuples take less memory than lists, and there are many families.
        rows = tuple(tree.children(parent))
        if len(rows) > 1:  # clipping can change the order of start
            rows = tuple(sorted(rows, key=tree.start.__getitem__))
        end = tuple([tree.end[row] - begin for row in rows])
        waited_for = tuple([tree.waited_for[row] for row in rows])
        number: Mapping[int, int] = {}
        if not self.predecessors.keys().isdisjoint(rows):
            number = {row: at for at, row in enumerate(rows)}
        shown = self.shown.predecessors.keys() if self.shown else frozenset()
        declared = {
            at: tuple([number[each] for each in self.predecessors[row]])
            for row, at in number.items()
            if row in self.predecessors
        }
        return Family(
            rows=rows,
            start=tuple([tree.start[row] - begin for row in rows]),
            end=end,
            waited_for=waited_for,
            length=length,
            tail=length - max(compress(end, waited_for), default=0),
            ranks=[ranks[row] for row in rows] if rows and rows[0] in ranks else None,
            slots=self._slots.get(parent),
            shown=frozenset([at for at in declared if rows[at] in shown]),
            predecessors=declared,
        )


def _shown_predecessors(tree: CallTree, shown: ShownOrder) -> Mapping[int, tuple[int, ...]]:
    """What is shown of the spans of the tree, as far as their times agree."""
    return {
        row: before
        for row, before in shown.predecessors.items()
        if row in tree.inside
        and all(tree.parents[each] == tree.parents[row] for each in before)
        and all((tree.start[each], each) < (tree.start[row], row) for each in before)
    }


def slots_of(
    tree: CallTree, rows: Sequence[int], at_once: int, most_ns: int | None = None
) -> Slots:
    """The limit on siblings, with the gap between each end that freed a slot and the next start.

    One that starts more than `most_ns` after it did not wait for the slot.
    """
    running: list[int] = []
    gap: dict[int, int] = {}
    sequence = sorted(rows, key=lambda row: (tree.start[row], row))
    for row in sequence:
        if len(running) >= at_once:
            since = tree.start[row] - heapq.heappop(running)
            if most_ns is None or since <= most_ns:
                gap[row] = since
        heapq.heappush(running, tree.end[row])
    return Slots(tuple(sequence), at_once, gap)


_NEVER = 2**62


def slack_ns(schedule: Schedule) -> Mapping[int, int]:
    """The slack of every span that was waited for, in nanoseconds by row; 0 on the critical path.

    It is computed backwards over the observed order: a span may end as late as its parent, and
    every sibling that waited for it, can bear. Spans that nobody waited for are left out.
    """
    tree = schedule.tree
    slack = {tree.run: 0}
    for parent in tree.rows:
        if parent not in slack or not tree.children(parent):
            continue
        family = schedule.family(parent)
        (order,) = family.orders(Model.OBSERVED)
        # How late each child may start and end, from the last child to the first. The spans that
        # wait for a child are those whose cut is not before its end.
        room = family.length - family.tail
        latest_start = [0] * len(family.rows)
        by_cut = sorted(range(len(family.rows)), key=lambda n: (order.cut[n], n))
        least = _NEVER
        for number in sorted(
            range(len(family.rows)), key=lambda n: (family.end[n], family.start[n], n), reverse=True
        ):
            # Of spans without length at the same time, each waits for those before it.
            after = (
                family.end[number],
                number if family.start[number] == family.end[number] else -1,
            )
            while by_cut and (order.cut[by_cut[-1]], by_cut[-1]) > after:
                later = by_cut.pop()
                least = min(least, latest_start[later] - order.gap[later])
            counts = family.waited_for[number]
            latest = max(min(least, room) if counts else least, family.end[number])
            latest_start[number] = latest - (family.end[number] - family.start[number])
            if counts:
                slack[family.rows[number]] = slack[parent] + latest - family.end[number]
    return slack
