"""The changes to a run that is played again."""

from collections.abc import Mapping

import msgspec

from trading_graph.otel.diagnosis.call_tree import CallTree
from trading_graph.otel.diagnosis.schedule import Slots


class Sharing(msgspec.Struct, frozen=True):
    """Spans with the same request: the first does the work, and the others take its result.

    A span that requests while the first is still at work ends with it; a later one takes `hit_ns`.
    """

    rows: tuple[int, ...]
    hit_ns: int


class Edits(msgspec.Struct):
    """The changes to a run that is played again, in nanoseconds by row.

    `length` is a new duration of a span, whatever is below it; `less` is subtracted from its
    duration, new or not. `gap` is the time before a span, after those it waits for have ended;
    `tail` is the time in a span after its last child. `like` lets a span wait for what an earlier
    sibling waited for, and start as soon as that sibling. Each of `chains` are siblings each of
    which waits for the one before it, and for nothing else. `slots` limit how many of some siblings
    run at once; of several on the same siblings the first counts. `raised` are the declared limits
    whose capacity is multiplied, by name.
    """

    length: dict[int, int] = msgspec.field(default_factory=dict)
    less: dict[int, int] = msgspec.field(default_factory=dict)
    gap: dict[int, int] = msgspec.field(default_factory=dict)
    tail: dict[int, int] = msgspec.field(default_factory=dict)
    like: dict[int, int] = msgspec.field(default_factory=dict)
    sharings: list[Sharing] = msgspec.field(default_factory=list)
    slots: list[Slots] = msgspec.field(default_factory=list)
    chains: list[tuple[int, ...]] = msgspec.field(default_factory=list)
    raised: dict[str, float] = msgspec.field(default_factory=dict)

    def lengths(self, tree: CallTree) -> dict[int, int]:
        """The new duration of every span that has one."""
        lengths = self.length.copy()
        for row, less in self.less.items():
            lengths[row] = max(lengths.get(row, tree.duration(row)) - less, 0)
        return lengths

    def copy(self) -> "Edits":
        """A copy, to which more edits can be added."""
        return Edits(
            self.length.copy(),
            self.less.copy(),
            self.gap.copy(),
            self.tail.copy(),
            self.like.copy(),
            self.sharings.copy(),
            self.slots.copy(),
            self.chains.copy(),
            self.raised.copy(),
        )

    def changes(self, base: "Edits") -> tuple[set[int], set[int]]:
        """What these edits change on top of `base`, which is their first part.

        Returns the rows that are placed or measured differently, and those with another tail.
        """
        rows: set[int] = set()
        for new, old in (
            (self.length, base.length),
            (self.less, base.less),
            (self.gap, base.gap),
            (self.like, base.like),
        ):
            rows |= _differences(new, old)
        for sharing in self.sharings[len(base.sharings) :]:
            rows.update(sharing.rows)
        for slots in self.slots[len(base.slots) :]:
            rows.update(slots.rows)
        for chain in self.chains[len(base.chains) :]:
            rows.update(chain)
        return rows, _differences(self.tail, base.tail)


def _differences(new: Mapping[int, int], old: Mapping[int, int]) -> set[int]:
    if not old:
        return set(new)
    return {row for row, value in new.items() if old.get(row) != value}
