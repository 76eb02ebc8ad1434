"""The changes that could make a run faster, each in a form that the simulation can play.

Actions are combined by applying several to one set of edits and playing that once; their gains are
never added up.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Protocol

import msgspec

from trading_graph.otel.diagnosis.blocked_loop import delay_ns
from trading_graph.otel.diagnosis.call_tree import CallTree
from trading_graph.otel.diagnosis.schedule import Model, Schedule, Slots
from trading_graph.otel.diagnosis.simulation import Simulation
from trading_graph.otel.diagnosis.what_if_edits import Edits, Sharing
from trading_graph.otel.trace.intervals import total_ns
from trading_graph.otel.trace.waits import own_waits


class Fix(Protocol):
    """A change of the program, as far as its trace can show it."""

    def apply(self, schedule: Schedule, edits: Edits) -> None:
        """Add the change to the edits."""


def simulate(schedule: Schedule, actions: Iterable[Fix], model: Model = Model.LIKELY) -> Simulation:
    """Play a run again with all of these changes."""
    return Simulation(schedule, with_actions(schedule, Edits(), actions), model)


def with_actions(schedule: Schedule, edits: Edits, actions: Iterable[Fix]) -> Edits:
    """A copy of the edits with more changes."""
    more = edits.copy()
    for action in actions:
        action.apply(schedule, more)
    return more


class Parallelise(msgspec.Struct, frozen=True):
    """Start these spans, or their branches, at once, as soon as the first could start."""

    rows: tuple[int, ...]

    def apply(self, schedule: Schedule, edits: Edits) -> None:
        """Let each span start like the first."""
        first, *others = siblings(schedule.tree, self.rows)
        edits.like |= dict.fromkeys(others, edits.like.get(first, first))


class Share(msgspec.Struct, frozen=True):
    """Fetch once what these spans fetch again: by a cache, and single flight for those at once."""

    rows: tuple[int, ...]
    hit_ns: int

    def apply(self, schedule: Schedule, edits: Edits) -> None:
        """Let all but the first take the result of the first."""
        edits.sharings.append(Sharing(self.rows, self.hit_ns))


class Shorten(msgspec.Struct, frozen=True):
    """Let a span take `to_ns`, with everything below it."""

    row: int
    to_ns: int

    def apply(self, schedule: Schedule, edits: Edits) -> None:
        """Set the new length of the span."""
        edits.length[self.row] = self.to_ns


class ShortenBy(msgspec.Struct, frozen=True):
    """Shorten spans, by row and nanoseconds, with everything below them."""

    savings: tuple[tuple[int, int], ...]

    def apply(self, schedule: Schedule, edits: Edits) -> None:
        """Subtract the time from each span's length, whatever other edit sets that length."""
        for row, less_ns in self.savings:
            edits.less[row] = edits.less.get(row, 0) + less_ns


class Remove(msgspec.Struct, frozen=True):
    """Leave out these spans, and the pause between each and the sibling after it."""

    rows: tuple[int, ...]

    def apply(self, schedule: Schedule, edits: Edits) -> None:
        """Set each length, and the gap before the next sibling, to zero."""
        for row in self.rows:
            edits.length[row] = 0
            follower = _follower(schedule, row)
            if follower is not None:
                edits.gap[follower] = 0


class RemoveGap(msgspec.Struct, frozen=True):
    """Let a span start `to_ns` after what it waits for."""

    row: int
    to_ns: int = 0

    def apply(self, schedule: Schedule, edits: Edits) -> None:
        """Set the gap before the span."""
        edits.gap[self.row] = self.to_ns


class RemoveTail(msgspec.Struct, frozen=True):
    """Let a span end `to_ns` after the last of its children."""

    row: int
    to_ns: int = 0

    def apply(self, schedule: Schedule, edits: Edits) -> None:
        """Set the tail of the span."""
        edits.tail[self.row] = self.to_ns


class RemoveWaits(msgspec.Struct, frozen=True):
    """Raise the limit for which these spans waited, by row and in nanoseconds."""

    waits: tuple[tuple[int, int], ...]

    def apply(self, schedule: Schedule, edits: Edits) -> None:
        """Subtract the wait from the span, or from the gap before its first child."""
        for row, wait_ns in self.waits:
            family = schedule.family(row)
            if family.rows and family.start[0] >= wait_ns:
                edits.gap[family.rows[0]] = max(family.gaps[0] - wait_ns, 0)
            else:
                edits.length[row] = max(schedule.tree.duration(row) - wait_ns, 0)


class SkipWaits(msgspec.Struct, frozen=True):
    """Let these spans go on at once where they recorded that they waited for their turn."""

    rows: tuple[int, ...]

    def apply(self, schedule: Schedule, edits: Edits) -> None:
        """Take each wait out of the span, or of the pause of its own in which it lies."""
        tree, found = schedule.tree, own_waits(schedule.tree.trace)
        for row in self.rows:
            family, places, begin = schedule.family(row), found.get(row, ()), tree.start[row]
            if not family.rows:
                edits.length[row] = max(tree.duration(row) - total_ns(places), 0)
                continue
            waits = [(start - begin, end - begin) for start, end in places]
            for child, start, gap in zip(family.rows, family.start, family.gaps, strict=True):
                if waited_ns := _within(waits, start - gap, start):
                    edits.gap[child] = gap - waited_ns
            if waited_ns := _within(waits, family.length - family.tail, family.length):
                edits.tail[row] = family.tail - waited_ns


def _within(intervals: Iterable[tuple[int, int]], low: int, high: int) -> int:
    """How much of some intervals lies between two times, in nanoseconds."""
    return sum(max(min(end, high) - max(start, low), 0) for start, end in intervals)


class LimitTo(msgspec.Struct, frozen=True):
    """Let at most `at_once` of these branches run at once."""

    rows: tuple[int, ...]
    at_once: int

    def apply(self, schedule: Schedule, edits: Edits) -> None:
        """Set the limit on the branches."""
        edits.slots.append(Slots(siblings(schedule.tree, self.rows), self.at_once, {}))


class RemoveBarrier(msgspec.Struct, frozen=True):
    """Let the spans of a branch wait for that branch alone, not for the others at each superstep.

    `branches` are rows of siblings, in order of start.
    """

    branches: tuple[tuple[int, ...], ...]

    def apply(self, schedule: Schedule, edits: Edits) -> None:
        """Chain the spans of each branch."""
        for branch in self.branches:
            edits.chains.append(branch)


class Chain(msgspec.Struct, frozen=True):
    """Let the spans of a branch wait for each other alone; rows of siblings in order of start."""

    rows: tuple[int, ...]

    def apply(self, schedule: Schedule, edits: Edits) -> None:
        """Chain the spans."""
        edits.chains.append(self.rows)


class UnblockLoop(msgspec.Struct, frozen=True):
    """Let nothing block the event loop: await the calls, or move them to threads.

    `groups` are the branches that should have run at once.
    """

    groups: tuple[tuple[int, ...], ...]

    def apply(self, schedule: Schedule, edits: Edits) -> None:
        """Start the branches at once, and subtract from each activity the time of its delay."""
        for group in self.groups:
            Parallelise(group).apply(schedule, edits)
        tree = schedule.tree
        if not schedule.blocks.rows:
            return
        for row in tree.rows:
            loop_blocks = schedule.blocks.beside(row)
            family = schedule.family(row)
            if not family.rows:
                delay = delay_ns(tree, loop_blocks, row, tree.start[row], tree.end[row])
                if delay:
                    edits.length[row] = tree.duration(row) - delay
                continue
            for number, child in enumerate(family.rows):
                at, gap = tree.start[child], family.gaps[number]
                delay = delay_ns(tree, schedule.blocks.beside(child), child, at - gap, at)
                if delay:
                    edits.gap[child] = gap - delay
            delay = delay_ns(tree, loop_blocks, row, tree.end[row] - family.tail, tree.end[row])
            if delay:
                edits.tail[row] = family.tail - delay


class FreeInterpreter(msgspec.Struct, frozen=True):
    """Move the CPU work of these spans out of the interpreter lock for which they took turns."""

    rows: tuple[int, ...]

    def apply(self, schedule: Schedule, edits: Edits) -> None:
        """Set each length to the span's share of the time in which several were at work."""
        tree = schedule.tree
        for row, own_ns in _shares(tree, self.rows).items():
            edits.length[row] = own_ns


def siblings(tree: CallTree, rows: Sequence[int]) -> tuple[int, ...]:
    """The branches of these spans below their nearest common ancestor, in order of start."""
    parents, depth = tree.parents, tree.depth
    branches = list(dict.fromkeys(rows))
    while len({parents[row] for row in branches}) > 1:
        deepest = max(depth[row] for row in branches)
        branches = [parents[r] if depth[r] == deepest else r for r in branches]
        branches = list(dict.fromkeys(branches))
    return tuple(sorted(sorted(branches), key=tree.start.__getitem__))


def _follower(schedule: Schedule, row: int) -> int | None:
    """The first sibling to start after the end of a span."""
    tree = schedule.tree
    if row == tree.run:
        return None
    family = schedule.family(tree.parents[row])
    end = family.end[family.number[row]]
    later = bisect_left(family.start, end, lo=family.number[row] + 1)
    return family.rows[later] if later < len(family.rows) else None


def _shares(tree: CallTree, rows: Sequence[int]) -> dict[int, int]:
    """The time of each span on its own, if all of them shared one interpreter evenly."""
    bounds = sorted({tree.start[row] for row in rows} | {tree.end[row] for row in rows})
    own = dict.fromkeys(rows, 0.0)
    for low, high in pairwise(bounds):
        at_work = [row for row in rows if tree.start[row] <= low and tree.end[row] >= high]
        for row in at_work:
            own[row] += (high - low) / len(at_work)
    return {row: int(time) for row, time in own.items()}
