"""What blocked an event loop, in words: which line, for how long, or that nothing of it did.

A loop that got no CPU because other programs had it was not blocked by what it was doing.
"""

from collections.abc import Sequence
from os import getcwd

from trading_graph.otel.trace import SpanTable
from trading_graph.otel.trace.blocks import LoopBlock, loop_blocks
from trading_graph.otel.trace.loops import loops
from trading_graph.otel.vocabularies.witness import BlockState

BLOCKED_NS = 100_000_000
"""A starved loop was blocked as well if that much of the time was its own."""


def blocks_beside(trace: SpanTable, rows: Sequence[int]) -> Sequence[LoopBlock]:
    """The recorded blocks of the loops of some spans while these were open, the longest first."""
    run = trace.top(rows[0])
    found = loop_blocks(trace, run)
    if not found:
        return ()
    loop_of, intervals = loops(trace, run), trace.intervals
    beside = [
        block
        for block in found
        if any(
            intervals[row][0] < block.end_ns
            and block.start_ns < intervals[row][1]
            and (loop_of is None or loop_of[row] == block.loop)
            for row in rows
        )
    ]
    return longest_first(beside)


def longest_first(blocks: Sequence[LoopBlock]) -> Sequence[LoopBlock]:
    """Blocks by the time that was the program's own; then by how long it was starved."""
    return sorted(blocks, key=lambda block: (-_blocking_ns(block), -block.starved_ns))


def is_blocking(block: LoopBlock) -> bool:
    """Whether the program itself kept the loop, whatever other programs did meanwhile."""
    return block.state is not BlockState.STARVED or block.own_ns >= BLOCKED_NS


def _blocking_ns(block: LoopBlock) -> int:
    return block.own_ns if is_blocking(block) else 0


def longest_in_words(blocks: Sequence[LoopBlock]) -> str:
    """The first of some blocks in words, and how long all that blocked did so in sum."""
    words, blocking_ns = in_words(blocks[0]), [_blocking_ns(each) for each in blocks]
    if len(own_ns := [each for each in blocking_ns if each]) < 2:
        return words
    return f"{words} ({len(own_ns)} blocks, {sum(own_ns) / 1e6:.0f} ms in all)"


def in_words(block: LoopBlock) -> str:
    """For how long a loop was blocked, and by which line; or by whom it was starved."""
    sentences = []
    if is_blocking(block):
        sentences.append(f"{_held_up(block)}{_by(block)}")
    if block.starved_ns >= BLOCKED_NS or not sentences:
        share = block.cpu_share
        got = "" if share is None else f": the process got {share * 100:.0f} % of a CPU"
        sentences.append(f"starved by other programs for {block.starved_ns / 1e6:.0f} ms{got}")
    return ", and ".join(sentences)


def _held_up(block: LoopBlock) -> str:
    time = f"for {block.own_ns / 1e6:.0f} ms"
    if block.state is BlockState.INTERPRETER_LOCK:
        return f"held up {time} by threads that hold the interpreter lock"
    return f"blocked {time}" + (" in a garbage collection" if block.in_collection else "")


def _by(block: LoopBlock) -> str:
    """The library that blocked and who called it, or the line itself."""
    where = "" if block.line is None else block.line.shown(getcwd())
    if block.library and block.state is not BlockState.INTERPRETER_LOCK:
        return f" by {block.library}" + (f", called from {where}" if where else "")
    return f" at {where}" if where else ""
