"""What the watchdog knows of one loop: the blocks that are over, and the turn that may be one."""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from trading_graph.otel.vocabularies.witness import BlockState
from trading_graph.otel.witness.blocks import Block, Mark, Place, Turn
from trading_graph.otel.witness.clock import now_ns
from trading_graph.otel.witness.cpu_time import RunQueue

MAX_BLOCKS = 1_000
"""So many blocks are kept of each loop, the newest."""


class WatchedLoop(Protocol):
    """An event loop, as the watchdog sees it. None of this may take a lock."""

    @property
    def loop_id(self) -> int:
        """An id that no other loop of the process has or had."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop itself."""

    @property
    def thread_id(self) -> int:
        """The id of its thread."""

    @property
    def native_id(self) -> int:
        """The system's id of its thread."""

    @property
    def busy_since_ns(self) -> int | None:
        """When its turn began, on the wall clock; None while it waits for events."""


class LoopState(NamedTuple):
    """What is known of a loop: replaced in one step, so that any thread may read it."""

    ended: tuple[Block, ...] = ()
    turn: Turn | None = None


class Track:
    """One loop: its blocks that are over, and the turn that it was seen in last."""

    def __init__(
        self,
        watched: WatchedLoop,
        threshold_ns: int,
        fresh_ns: int,
        collected_ns: Callable[[int, int], int],
    ) -> None:
        self.watched: WatchedLoop | None = watched
        self.run_queue = RunQueue(watched.native_id)
        self.state = LoopState()
        self._loop_id = watched.loop_id
        self._native_id = watched.native_id
        self._threshold_ns = threshold_ns
        self._fresh_ns = fresh_ns
        self._collected_ns = collected_ns
        self._last: Mark | None = None
        self._going: tuple[Turn, int, Sequence[Block]] | None = None

    def follow(self, watched: WatchedLoop) -> None:
        """Look at the loop from now on, on the thread on which it runs now."""
        if self.watched is None or watched.native_id != self._native_id:
            self.run_queue.close()
            self.run_queue = RunQueue(watched.native_id)
            self._native_id, self._last = watched.native_id, None
        self.watched = watched

    def note(self, mark: Mark, since: int | None, place: Place | None) -> None:
        """Note what a poll saw."""
        ended, turn = self.state
        if turn is not None and turn.start_ns != since:
            self._close(turn, _end_of(turn, since, mark.time_ns), mark)
            ended, turn = self.state
        if since is not None and place is not None:
            if turn is None:
                turn = Turn(since, self._last or mark)
            turn.add(mark, place)
            self.state = LoopState(ended, turn)
        self._last = mark

    def end(self, mark: Mark) -> None:
        """Note that the loop has ended."""
        if turn := self.state.turn:
            self._close(turn, _end_of(turn, None, mark.time_ns), mark)
        self.watched = None
        self.run_queue.close()

    def _close(self, turn: Turn, end_ns: int, after: Mark) -> None:
        ended = self.state.ended
        if end_ns - turn.start_ns >= self._threshold_ns:
            blocks = self._blocks(turn, end_ns, after)
            ended = (*ended, *blocks)[-MAX_BLOCKS:]
        self.state = LoopState(ended)

    def going(self, turn: Turn) -> Sequence[Block]:
        """The blocks of a turn that was not over at the last poll."""
        now = now_ns()
        going, watched = self._going, self.watched
        # A blocked loop may end a thousand spans: they need not each be told to the millisecond.
        if going is not None and going[0] is turn and now - going[1] < self._fresh_ns:
            return going[2]
        since = watched.busy_since_ns if watched else None
        is_over = since != turn.start_ns
        late_ns = self._last.late_ns if self._last else 0
        mark = Mark(now, time.process_time_ns(), late_ns, self.run_queue.read())
        blocks = self._blocks(turn, _end_of(turn, since, now) if is_over else now, mark)
        if blocks and not is_over and watched and self._may_be_starved(blocks[-1], watched):
            return blocks[:-1]
        self._going = turn, now, blocks
        return blocks

    def _may_be_starved(self, block: Block, watched: WatchedLoop) -> bool:
        """Whether a thread that did nothing so far waits for a CPU: that is counted afterwards."""
        return (
            block.state in (BlockState.SLEEPING, BlockState.INTERPRETER_LOCK)
            and threading.get_ident() != watched.thread_id
            and self.run_queue.is_runnable()
        )

    def _blocks(self, turn: Turn, end_ns: int, after: Mark) -> list[Block]:
        return turn.blocks(self._loop_id, end_ns, after, self._threshold_ns, self._collected_ns)


def _end_of(turn: Turn, since: int | None, now: int) -> int:
    """When a turn ended that is over: halfway from its last sample to what was seen next."""
    return (turn.last_ns + (now if since is None else min(since, now))) // 2
