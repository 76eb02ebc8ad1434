"""Which span blocked the event loop when, and what that held up.

Recorded is how late the loop was during each span. A loop runs one coroutine at a time, so while it
is blocked ends of spans follow each other, and the time before each end was spent by its span.
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

from trading_graph.otel.diagnosis.call_tree import CallTree
from trading_graph.otel.trace import semconv

BLOCKED_MS = 20.0
"""From this lag on the loop is taken to have been blocked: the monitor's own tick."""

RELEASED_NS = 5_000_000
"""How soon after a block an activity has to end to have been held up by it."""

_TICK_NS = 20_000_000


class Block(NamedTuple):
    """A stretch of time, in nanoseconds since the epoch, during which a span blocked the loop."""

    start_ns: int
    end_ns: int
    row: int


def blocks(tree: CallTree) -> list[Block]:
    """When which span blocked the loop, in order of time; none overlaps another."""
    found: list[Block] = []
    reached = 0
    for row in sorted(_suspects(tree), key=tree.end.__getitem__):
        lag_ns = int((tree.trace.number(row, semconv.LOOP_LAG_MAX_MS) or 0.0) * 1e6)
        start, end = tree.start[row], tree.end[row]
        # The monitor sees a block from its next tick on.
        began = max(start, reached, end - lag_ns - _TICK_NS)
        if end - began >= BLOCKED_MS * 1e6 / 4:
            found.append(Block(began, end, row))
            reached = end
    return found


def blocked_ns(found: Sequence[Block], start: int, end: int) -> int:
    """For how much of a stretch of time the loop was blocked."""
    return sum(max(0, min(b.end_ns, end) - max(b.start_ns, start)) for b in found)


def held_ns(tree: CallTree, found: Sequence[Block], row: int, start: int, end: int) -> int:
    """How long an activity of a span was held up by the blocks of other branches.

    Only an activity that ends with a block can have been: else it had an end of its own.
    """
    last = bisect_left(found, end + 1, key=lambda block: block.start_ns) - 1
    if last < 0 or end - found[last].end_ns > RELEASED_NS:
        return 0
    held = 0
    while last >= 0 and found[last].end_ns > start:
        block = found[last]
        if not _is_below(tree, block.row, row):
            held += min(block.end_ns, end) - max(block.start_ns, start)
        last -= 1
    return held


def _suspects(tree: CallTree) -> list[int]:
    """The deepest spans during which the loop was late."""
    lags = tree.trace.numbers(semconv.LOOP_LAG_MAX_MS)
    late = {row for row, lag in lags if lag >= BLOCKED_MS}
    if not late:
        return []
    return [row for row in tree.rows if row in late and late.isdisjoint(tree.children(row))]


def _is_below(tree: CallTree, row: int, above: int) -> bool:
    """Whether a span is, or is below, another one."""
    while tree.depth[row] > tree.depth[above]:
        row = int(tree.trace.parent[row])
    return row == above
