"""What could be done about a slow run, each as a change that the simulation can play.

Actions are combined by applying several to one set of edits and playing that once; gains are never
added.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

from trading_graph.otel.diagnosis.blocked_loop import held_ns
from trading_graph.otel.diagnosis.call_tree import CallTree
from trading_graph.otel.diagnosis.edits import Edits, Sharing
from trading_graph.otel.diagnosis.schedule import Model, Schedule, Slots
from trading_graph.otel.diagnosis.simulation import Simulation


class Action(Protocol):
    """A change of the program, as far as its trace can show it."""

    def apply(self, schedule: Schedule, edits: Edits) -> None:
        """Put the change into the edits."""


def simulate(
    schedule: Schedule, actions: Iterable[Action], model: Model = Model.LIKELY
) -> Simulation:
    """Play a run again with all of these changes made."""
    return Simulation(schedule, with_actions(schedule, Edits(), actions), model)


def with_actions(schedule: Schedule, edits: Edits, actions: Iterable[Action]) -> Edits:
    """These edits with more changes."""
    more = edits.copy()
    for action in actions:
        action.apply(schedule, more)
    return more


@dataclass(frozen=True, slots=True)
class Parallelise:
    """Start these spans, or the branches that they are in, at once, as soon as the first could."""

    rows: tuple[int, ...]

    def apply(self, schedule: Schedule, edits: Edits) -> None:
        """Let each start like the first."""
        first, *others = siblings(schedule.tree, self.rows)
        edits.like |= dict.fromkeys(others, edits.like.get(first, first))


@dataclass(frozen=True, slots=True)
class Share:
    """Fetch once what these spans fetch again: a cache, and single flight for those at once."""

    rows: tuple[int, ...]
    hit_ns: int

    def apply(self, schedule: Schedule, edits: Edits) -> None:
        """Let all but the first take what the first has."""
        edits.shared.append(Sharing(self.rows, self.hit_ns))


@dataclass(frozen=True, slots=True)
class Shorten:
    """Let a span take so long instead, with everything below it."""

    row: int
    to_ns: int

    def apply(self, schedule: Schedule, edits: Edits) -> None:
        """Give the span its new length."""
        edits.length[self.row] = self.to_ns


@dataclass(frozen=True, slots=True)
class ShortenBy:
    """Let these spans take so much less, by row and in nanoseconds, with everything below them."""

    saved: tuple[tuple[int, int], ...]

    def apply(self, schedule: Schedule, edits: Edits) -> None:
        """Take it from the length that each has, whatever else gives it one."""
        for row, saved_ns in self.saved:
            edits.less[row] = edits.less.get(row, 0) + saved_ns


@dataclass(frozen=True, slots=True)
class Remove:
    """Leave these spans out, and the pause between each and the sibling after it."""

    rows: tuple[int, ...]

    def apply(self, schedule: Schedule, edits: Edits) -> None:
        """Give them no length, and what follows each the pause before it."""
        for row in self.rows:
            edits.length[row] = 0
            follower = _follower(schedule, row)
            if follower is not None:
                edits.gap[follower] = 0


@dataclass(frozen=True, slots=True)
class RemoveGap:
    """Let a span start so soon after what it waits for."""

    row: int
    to_ns: int = 0

    def apply(self, schedule: Schedule, edits: Edits) -> None:
        """Give the span its new gap."""
        edits.gap[self.row] = self.to_ns


@dataclass(frozen=True, slots=True)
class RemoveTail:
    """Let a span end so soon after the last of its children."""

    row: int
    to_ns: int = 0

    def apply(self, schedule: Schedule, edits: Edits) -> None:
        """Give the span its new tail."""
        edits.tail[self.row] = self.to_ns


@dataclass(frozen=True, slots=True)
class RemoveWaits:
    """Raise the limit for which these spans waited, by row and in nanoseconds."""

    waits: tuple[tuple[int, int], ...]

    def apply(self, schedule: Schedule, edits: Edits) -> None:
        """Take the wait from the span, or from what passes before its first child."""
        for row, wait_ns in self.waits:
            family = schedule.family(row)
            if family.rows and family.start[0] >= wait_ns:
                edits.gap[family.rows[0]] = max(family.gap(0) - wait_ns, 0)
            else:
                edits.length[row] = max(schedule.tree.duration(row) - wait_ns, 0)


@dataclass(frozen=True, slots=True)
class LimitTo:
    """Let at most so many of these branches run at once."""

    rows: tuple[int, ...]
    at_once: int

    def apply(self, schedule: Schedule, edits: Edits) -> None:
        """Put the limit on the branches."""
        edits.slots.append(Slots(siblings(schedule.tree, self.rows), self.at_once, {}))


@dataclass(frozen=True, slots=True)
class RemoveBarrier:
    """Let the spans of one branch wait for that branch alone, not for others at each superstep.

    `branches` are rows of siblings, in order of start.
    """

    branches: tuple[tuple[int, ...], ...]

    def apply(self, schedule: Schedule, edits: Edits) -> None:
        """Chain the spans of each branch."""
        for branch in self.branches:
            edits.chains.append(branch)


@dataclass(frozen=True, slots=True)
class UnblockLoop:
    """Let nothing block the event loop: await the calls, or move them to threads.

    `groups` are the branches that were meant to run at once.
    """

    groups: tuple[tuple[int, ...], ...]

    def apply(self, schedule: Schedule, edits: Edits) -> None:
        """Start the branches at once, and take from each activity what held it up."""
        for group in self.groups:
            Parallelise(group).apply(schedule, edits)
        tree = schedule.tree
        found = schedule.blocks
        if not found:
            return
        for row in tree.rows:
            family = schedule.family(row)
            if not family.rows:
                held = held_ns(tree, found, row, tree.start[row], tree.end[row])
                if held:
                    edits.length[row] = tree.duration(row) - held
                continue
            for number, child in enumerate(family.rows):
                at, gap = tree.start[child], family.gap(number)
                held = held_ns(tree, found, child, at - gap, at)
                if held:
                    edits.gap[child] = gap - held
            held = held_ns(tree, found, row, tree.end[row] - family.tail, tree.end[row])
            if held:
                edits.tail[row] = family.tail - held


@dataclass(frozen=True, slots=True)
class FreeInterpreter:
    """Take the CPU work of these spans out of the interpreter lock that they took turns at."""

    rows: tuple[int, ...]

    def apply(self, schedule: Schedule, edits: Edits) -> None:
        """Give each its share of the time in which several were at work."""
        tree = schedule.tree
        for row, own_ns in _shares(tree, self.rows).items():
            edits.length[row] = own_ns


def siblings(tree: CallTree, rows: Sequence[int]) -> tuple[int, ...]:
    """The branches of these spans below the nearest span above them all, in order of start."""
    parents, depth = tree.parents, tree.depth
    lifted = list(dict.fromkeys(rows))
    while len({parents[row] for row in lifted}) > 1:
        deepest = max(depth[row] for row in lifted)
        lifted = [parents[r] if depth[r] == deepest else r for r in lifted]
        lifted = list(dict.fromkeys(lifted))
    return tuple(sorted(sorted(lifted), key=tree.start.__getitem__))


def _follower(schedule: Schedule, row: int) -> int | None:
    """The first sibling to start after a span has ended."""
    tree = schedule.tree
    if row == tree.run:
        return None
    family = schedule.family(int(tree.trace.parent[row]))
    ended = family.end[family.number[row]]
    later = bisect_left(family.start, ended, lo=family.number[row] + 1)
    return family.rows[later] if later < len(family.rows) else None


def _shares(tree: CallTree, rows: Sequence[int]) -> dict[int, int]:
    """What each span would have taken alone, where all of them shared one interpreter evenly."""
    bounds = sorted({tree.start[row] for row in rows} | {tree.end[row] for row in rows})
    own = dict.fromkeys(rows, 0.0)
    for low, high in pairwise(bounds):
        at_work = [row for row in rows if tree.start[row] <= low and tree.end[row] >= high]
        for row in at_work:
            own[row] += (high - low) / len(at_work)
    return {row: int(took) for row, took in own.items()}
