"""What is different in a run that is played again."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from trading_graph.otel.diagnosis.call_tree import CallTree
from trading_graph.otel.diagnosis.schedule import Slots


@dataclass(frozen=True, slots=True)
class Sharing:
    """Spans that ask for the same: the first does the work, and the others take its result.

    Who asks while the first is still at work ends with it; who asks later takes `hit_ns`.
    """

    rows: tuple[int, ...]
    hit_ns: int


@dataclass
class Edits:
    """What is different in a run that is played again.

    `length` is a span's new duration, whatever was below it, and `less` what is to be taken from
    its duration, be it new or not; `gap` what passes before it, once those it waits for have ended;
    `tail` what passes in it after its last child; `like` lets a span wait for what an earlier
    sibling waited for, and start as soon as that one. Each of `chains` are siblings of which one
    waits for the one before it, and for nothing else; `slots` lets so many of some siblings run at
    once. Nanoseconds, by row.
    """

    length: dict[int, int] = field(default_factory=dict)
    less: dict[int, int] = field(default_factory=dict)
    gap: dict[int, int] = field(default_factory=dict)
    tail: dict[int, int] = field(default_factory=dict)
    like: dict[int, int] = field(default_factory=dict)
    shared: list[Sharing] = field(default_factory=list)
    slots: list[Slots] = field(default_factory=list)
    chains: list[tuple[int, ...]] = field(default_factory=list)

    def lengths(self, tree: CallTree) -> dict[int, int]:
        """The new duration of every span that has one."""
        lengths = self.length.copy()
        for row, less in self.less.items():
            lengths[row] = max(lengths.get(row, tree.duration(row)) - less, 0)
        return lengths

    def copy(self) -> "Edits":
        """The same edits, to add more to."""
        return Edits(
            self.length.copy(),
            self.less.copy(),
            self.gap.copy(),
            self.tail.copy(),
            self.like.copy(),
            self.shared.copy(),
            self.slots.copy(),
            self.chains.copy(),
        )

    def differing(self, known: "Edits") -> tuple[set[int], set[int]]:
        """The rows that these place or measure in another way than their first part does.

        And those whose tail is another.
        """
        changed: set[int] = set()
        for new, old in (
            (self.length, known.length),
            (self.less, known.less),
            (self.gap, known.gap),
            (self.like, known.like),
        ):
            changed |= _differing(new, old)
        for sharing in self.shared[len(known.shared) :]:
            changed.update(sharing.rows)
        for slots in self.slots[len(known.slots) :]:
            changed.update(slots.rows)
        for chain in self.chains[len(known.chains) :]:
            changed.update(chain)
        return changed, _differing(self.tail, known.tail)


def _differing(new: Mapping[int, int], old: Mapping[int, int]) -> set[int]:
    if not old:
        return set(new)
    return {row for row, value in new.items() if old.get(row) != value}
