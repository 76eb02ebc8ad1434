"""Why each span of a run started and ended when it did, so that it can be played again.

A child starts a gap after the last of those siblings that it waited for has ended, or after its
parent's start; a parent ends a tail after the last child that it waited for. Times are relative to
the parent's start, so a subtree moves as a whole. Played without a change, the run comes out as it
was.
"""

import heapq
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

import numpy as np

from trading_graph.otel.diagnosis.blocked_loop import Block, blocks
from trading_graph.otel.diagnosis.call_tree import CallTree
from trading_graph.otel.diagnosis.critical_path import PathTable, critical_path
from trading_graph.otel.diagnosis.dependencies import (
    awaited_elsewhere,
    declared_predecessors,
    declared_ranks,
)
from trading_graph.otel.verdict import RunFigures, causes, measures


class Model(Enum):
    """What a span is taken to have waited for.

    OBSERVED: every sibling that had ended before it started. LIKELY: those that it links to, where
    their end explains its start, else as observed. FREEST: as LIKELY, or only what the declared
    order demands (LangGraph's steps, LLM turns), whichever lets it start earlier.
    """

    OBSERVED = "observed"
    LIKELY = "likely"
    FREEST = "freest"


@dataclass(frozen=True, slots=True)
class Order:
    """One order among the children of a span: child i waits for all j with key[j] <= cut[i].

    `by_key` are the children's numbers, the lowest key first, of which child i waits for the first
    `until[i]`, as far as they start before it; `gap` is what passed between the end of the last of
    these and its start, in nanoseconds.
    """

    cut: Sequence[int]
    by_key: Sequence[int]
    until: Sequence[int]
    gap: Sequence[int]


@dataclass(frozen=True, slots=True)
class Slots:
    """A limit that siblings met: so many at once, each later one as another ended.

    `gap` is what passed between the end that freed a slot and the start of who took it, by row.
    """

    rows: tuple[int, ...]
    at_once: int
    gap: Mapping[int, int]


@dataclass(frozen=True)
class Family:
    """The children of one span, numbered in order of start, in time relative to its start.

    `tail` is what passed between the end of the last child that was waited for and its own end.
    `declared` are the siblings whose end let a child start, both by number; `slots` the limit that
    some of them met.
    """

    rows: Sequence[int]
    start: Sequence[int]
    end: Sequence[int]
    waited_for: Sequence[bool]
    length: int
    tail: int
    ranks: Sequence[int] | None
    declared: Mapping[int, tuple[int, ...]]
    slots: "Slots | None"

    @cached_property
    def number(self) -> Mapping[int, int]:
        """The number of each child, by row."""
        return {row: number for number, row in enumerate(self.rows)}

    def starting(self, at: int) -> list[int]:
        """The children that start then, by row."""
        numbers = range(bisect_left(self.start, at), bisect_right(self.start, at))
        return [self.rows[number] for number in numbers]

    def ending(self, at: int) -> list[int]:
        """The children that end then, by row."""
        by_end, end = self.observed.by_key, self.end.__getitem__
        first, last = bisect_left(by_end, at, key=end), bisect_right(by_end, at, key=end)
        return [self.rows[number] for number in sorted(by_end[first:last])]

    @cached_property
    def lengths(self) -> Sequence[int]:
        """How long each child took."""
        return [end - start for start, end in zip(self.start, self.end, strict=True)]

    @cached_property
    def all_waited_for(self) -> bool:
        """Whether each child was waited for."""
        return all(self.waited_for)

    @cached_property
    def observed(self) -> Order:
        """Every sibling that had ended was waited for."""
        return self._order(self.end, self.start)

    @cached_property
    def ranked(self) -> Order | None:
        """The declared order, where there is one."""
        if self.ranks is None:
            return None
        return self._order(self.ranks, [rank - 1 for rank in self.ranks])

    def orders(self, model: Model) -> tuple[Order, ...]:
        """The orders that a model looks at."""
        ranked = self.ranked if model is Model.FREEST else None
        return (self.observed,) if ranked is None else (self.observed, ranked)

    def gap(self, number: int) -> int:
        """What passed before a child once all that it is likely to have waited for had ended."""
        before = self.declared.get(number)
        if before is None:
            return self.observed.gap[number]
        return self.start[number] - max(self.end[each] for each in before)

    def _order(self, key: Sequence[int], cut: Sequence[int]) -> Order:
        by_key = sorted(range(len(self.rows)), key=key.__getitem__)
        until = np.searchsorted(np.sort(np.array(key, np.int64)), cut, side="right").tolist()
        end = self.end
        gaps = []
        reached = taken = 0
        for number, (begin, most) in enumerate(zip(self.start, until, strict=True)):
            while taken < most and by_key[taken] < number:
                if end[by_key[taken]] > reached:
                    reached = end[by_key[taken]]
                taken += 1
            gaps.append(begin - reached)
        return Order(cut, by_key, until, gaps)


class Schedule:
    """A run's call tree with the order of its parts; families are worked out when asked for."""

    def __init__(self, tree: CallTree) -> None:
        self.tree = tree
        self.declared = declared_predecessors(tree)
        self._families: dict[int, Family] = {}

    @cached_property
    def awaited(self) -> Mapping[int, int]:
        """The span of another branch whose end let a span end, by row."""
        return awaited_elsewhere(self.tree)

    @cached_property
    def ranks(self) -> Mapping[int, int]:
        """The declared place of each span among its siblings, of the whole run."""
        ranks: dict[int, int] = {}
        for parent in self.tree.rows:
            ranks |= declared_ranks(self.tree, parent)
        return ranks

    @cached_property
    def blocks(self) -> list[Block]:
        """When which span blocked the event loop."""
        return blocks(self.tree)

    @cached_property
    def measures(self) -> RunFigures:
        """What the run shows in numbers."""
        return measures(self.tree.trace, self.tree.run)

    @cached_property
    def _slots(self) -> Mapping[int, Slots]:
        """The limits that branches met, by parent."""
        tree, found = self.tree, {}
        for fan_out in self.measures.fan_outs:
            group = fan_out.group
            parents = {int(tree.trace.parent[row]) for row in group.rows}
            limited = causes.limit(tree.trace, group) if len(parents) == 1 else None
            if limited is not None and fan_out.judgement.cause is limited[1]:
                found[parents.pop()] = _slots(tree, group.rows, limited[0])
        return found

    @cached_property
    def path(self) -> PathTable:
        """The critical path, what is declared before what times suggest."""
        return critical_path(self.tree, self.declared)

    def family(self, parent: int) -> Family:
        """The children of a span."""
        found = self._families.get(parent)
        if found is None:
            found = self._families[parent] = self._family(parent)
        return found

    def _family(self, parent: int) -> Family:
        tree = self.tree
        begin, length = tree.start[parent], tree.duration(parent)
        # Clipping can change the order of start.
        rows = sorted(tree.children(parent), key=tree.start.__getitem__)
        start = [tree.start[row] - begin for row in rows]
        end = [tree.end[row] - begin for row in rows]
        waited_for = [tree.waited_for[row] for row in rows]
        last = max([e for e, waited in zip(end, waited_for, strict=True) if waited], default=0)
        ranks = declared_ranks(tree, parent)
        declared = rows if self.declared else ()
        number = {row: at for at, row in enumerate(declared)}
        return Family(
            rows=rows,
            start=start,
            end=end,
            waited_for=waited_for,
            length=length,
            tail=length - last,
            ranks=[ranks[row] for row in rows] if ranks else None,
            slots=self._slots.get(parent),
            declared={
                number[row]: tuple(number[each] for each in self.declared[row])
                for row in declared
                if row in self.declared
            },
        )


def _slots(tree: CallTree, rows: Sequence[int], at_once: int) -> Slots:
    """What passed between each end that freed a slot and the next start."""
    running: list[int] = []
    gap: dict[int, int] = {}
    ordered = sorted(rows, key=lambda row: (tree.start[row], row))
    for row in ordered:
        if len(running) >= at_once:
            gap[row] = tree.start[row] - heapq.heappop(running)
        heapq.heappush(running, tree.end[row])
    return Slots(tuple(ordered), at_once, gap)


_NEVER = 2**62


def slack_ns(schedule: Schedule) -> Mapping[int, int]:
    """The slack of every span that was waited for, by row, in nanoseconds; 0 on the path.

    Backwards over the observed order: a span may end as late as every sibling that waited for it,
    and its parent, can bear. Spans that nobody waited for are left out.
    """
    tree = schedule.tree
    slack = {tree.run: 0}
    for parent in tree.rows:
        if parent not in slack or not tree.children(parent):
            continue
        family = schedule.family(parent)
        (order,) = family.orders(Model.OBSERVED)
        # How late each child may start and end, from the last to the first: who waits for a child
        # are those whose cut is not before its end.
        room = family.length - family.tail
        latest_start = [0] * len(family.rows)
        by_cut = sorted(range(len(family.rows)), key=lambda n: (order.cut[n], n))
        least = _NEVER
        for number in sorted(
            range(len(family.rows)), key=lambda n: (family.end[n], family.start[n], n), reverse=True
        ):
            # Of spans without length at one time each waits for those before it.
            after = (
                family.end[number],
                number if family.start[number] == family.end[number] else -1,
            )
            while by_cut and (order.cut[by_cut[-1]], by_cut[-1]) > after:
                later = by_cut.pop()
                least = min(least, latest_start[later] - order.gap[later])
            joined = family.waited_for[number]
            latest = max(min(least, room) if joined else least, family.end[number])
            latest_start[number] = latest - (family.end[number] - family.start[number])
            if joined:
                slack[family.rows[number]] = slack[parent] + latest - family.end[number]
    return slack
