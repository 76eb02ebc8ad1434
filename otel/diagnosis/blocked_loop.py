"""Which span blocked its event loop at which time, and what that delayed.

Where blocks are recorded, their times are exact. Else a trace records how late the loop was during
each span. A loop runs one coroutine at a time: while it is blocked, spans end one after the other,
and the time before each end was spent by that span. Other loops, and other processes, go on
meanwhile.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from trading_graph.otel.diagnosis.call_tree import CallTree
from trading_graph.otel.trace.blocks import LoopBlock, loop_blocks
from trading_graph.otel.trace.loops import loops
from trading_graph.otel.verdict.blocked import is_blocking
from trading_graph.otel.verdict.causes import TICK_NS
from trading_graph.otel.vocabularies import witness
from trading_graph.otel.vocabularies.witness import BlockState

BLOCKED_MS = 20.0
"""The lag from which the loop counts as blocked: one tick of its monitor."""

RELEASE_NS = 5_000_000
RELEASE_SHARE = 0.1
"""An activity was delayed by a block if it ends at most so long after it.

In nanoseconds, or as a share of the block: what the block held up then runs in turn, and the longer
it lasted the more of that there is.
"""


class Block(NamedTuple):
    """A period, in nanoseconds since the epoch, during which a span blocked its loop."""

    start_ns: int
    end_ns: int
    row: int


@dataclass(frozen=True, slots=True)
class Blocks:
    """The periods during which spans blocked each loop, in order of time; they do not overlap.

    `loop_of` is the loop of each span by row; None where all share one.
    """

    by_loop: Mapping[Hashable, Sequence[Block]]
    loop_of: Sequence[Hashable] | None

    @property
    def rows(self) -> tuple[int, ...]:
        """The spans that blocked a loop."""
        return tuple(dict.fromkeys(each.row for some in self.by_loop.values() for each in some))

    def beside(self, row: int) -> Sequence[Block]:
        """The blocks of the loop of a span."""
        return self.by_loop.get(None if self.loop_of is None else self.loop_of[row], ())


def blocks(tree: CallTree) -> Blocks:
    """The periods during which spans blocked their loops."""
    by_loop: dict[Hashable, list[int]] = defaultdict(list)
    recorded: dict[Hashable, list[LoopBlock]] = defaultdict(list)
    for block in loop_blocks(tree.trace, tree.run):
        recorded[block.loop].append(block)
    suspects = _suspects(tree)
    loop_of = loops(tree.trace, tree.run) if suspects or recorded else None
    for row in suspects:
        by_loop[None if loop_of is None else loop_of[row]].append(row)
    periods = {loop: _periods(tree, rows) for loop, rows in by_loop.items() if loop not in recorded}
    return Blocks(
        periods | {loop: _recorded(tree, some) for loop, some in recorded.items()}, loop_of
    )


def _recorded(tree: CallTree, some: Sequence[LoopBlock]) -> list[Block]:
    """The periods during which a loop was blocked as recorded, by the program itself."""
    periods: list[Block] = []
    last_end = 0
    for each in some:
        if not is_blocking(each) or each.state is BlockState.INTERPRETER_LOCK:
            continue
        start = max(each.end_ns - each.own_ns, last_end)
        if start < each.end_ns and (row := _guilty(tree, each)) is not None:
            periods.append(Block(start, each.end_ns, row))
            last_end = each.end_ns
    return periods


def _guilty(tree: CallTree, block: LoopBlock) -> int | None:
    """The deepest span that ends first of those that were open all the time, or longest of it."""
    inside = {row for row in block.rows if row in tree.inside}
    if not inside:
        return None

    def open_ns(row: int) -> int:
        return min(tree.end[row], block.end_ns) - max(tree.start[row], block.start_ns)

    longest = max(map(open_ns, inside))
    candidates = {row for row in inside if open_ns(row) >= 0.9 * longest}
    deepest = [row for row in candidates if candidates.isdisjoint(tree.children(row))]
    return min(deepest, key=lambda row: (tree.end[row], -tree.start[row]))


def _periods(tree: CallTree, suspects: Sequence[int]) -> list[Block]:
    """The periods during which spans blocked the loop that they share."""
    periods: list[Block] = []
    last_end = 0
    lags_ms = tree.trace.column_of(witness.loop_lag_ms)
    for row in sorted(suspects, key=tree.end.__getitem__):
        lag_ns = int((lags_ms[row] or 0.0) * 1e6)
        start, end = tree.start[row], tree.end[row]
        # The monitor sees a block from its next tick on.
        block_start = max(start, last_end, end - lag_ns - TICK_NS)
        if end - block_start >= BLOCKED_MS * 1e6 / 4:
            periods.append(Block(block_start, end, row))
            last_end = end
    return periods


def blocked_ns(periods: Sequence[Block], start: int, end: int) -> int:
    """How long the loop was blocked between start and end, in nanoseconds."""
    return sum(max(0, min(b.end_ns, end) - max(b.start_ns, start)) for b in periods)


def delay_ns(tree: CallTree, periods: Sequence[Block], row: int, start: int, end: int) -> int:
    """How long blocks of other branches delayed an activity of a span, in nanoseconds.

    Only an activity that ends together with a block can have been delayed by it.
    """
    last = bisect_left(periods, end + 1, key=lambda block: block.start_ns) - 1
    if last < 0 or end - periods[last].end_ns > _release_ns(periods[last]):
        return 0
    delay = 0
    while last >= 0 and periods[last].end_ns > start:
        block = periods[last]
        if not _is_below(tree, block.row, row):
            delay += min(block.end_ns, end) - max(block.start_ns, start)
        last -= 1
    return delay


def _release_ns(block: Block) -> float:
    return max(RELEASE_NS, RELEASE_SHARE * (block.end_ns - block.start_ns))


def _suspects(tree: CallTree) -> list[int]:
    """The deepest spans during which the loop was late."""
    lags = tree.trace.numbers_of(witness.loop_lag_ms)
    late = {row for row, lag in lags if lag >= BLOCKED_MS}
    if not late:
        return []
    return [row for row in tree.rows if row in late and late.isdisjoint(tree.children(row))]


def _is_below(tree: CallTree, row: int, above: int) -> bool:
    """Whether a span is another one, or is below it."""
    while tree.depth[row] > tree.depth[above]:
        row = tree.parents[row]
    return row == above
