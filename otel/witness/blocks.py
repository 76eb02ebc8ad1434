"""What blocked a loop: the samples of one of its turns, cut into blocks that have a line each.

A turn may hold several blocks: three tasks that block one after the other share one. A block is the
deepest place in the program's own code at which one task stayed for the whole time. It may be one
line, or a function whose lines took turns: then its line is the one that took longest.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple, TypeVar

from trading_graph.otel.vocabularies.witness import BlockState
from trading_graph.otel.witness.cpu_time import LOCK_RUNS_PER_S, Reading
from trading_graph.otel.witness.stacks import Line, Stack

MAX_STRETCHES = 512
"""A turn with more of them loses every other one: a loop that never ends stays small."""

# Measured in 12 to 45 cases each; docs/witness.md has the table.
MOST = 0.5
"""From this share of a block on, what happened during it explains it."""
ON_TIME = 0.15
"""Where the scheduler keeps no account: later than this share, the watchdog was not on time."""
STARVED = 0.2
"""Where the scheduler keeps no account: from this share on, it was starved if nobody computed."""


@dataclass(frozen=True, slots=True)
class Block:
    """A time for which one place in a program kept its loop from going on; in nanoseconds.

    `line` is None where only library code ran. `starved_ns` of it the machine ran other programs.
    `cpu_share` is the CPU time that the process got over the block's length: 1.0 is one CPU.
    """

    loop_id: int
    start_ns: int
    end_ns: int
    starved_ns: int
    line: Line | None
    library: Line | None
    task: str | None
    state: BlockState
    in_collection: bool
    cpu_share: float


class Mark(NamedTuple):
    """What the clocks said at one moment, all in nanoseconds."""

    time_ns: int
    process_ns: int
    """CPU time of the process."""
    late_ns: int
    """How late the watchdog has been so far, all its polls together."""
    thread: Reading | None
    """The account of the loop's thread."""


class Place(NamedTuple):
    """Where a loop stood: its task, by id and name, and the stack."""

    task: tuple[int, str] | None
    stack: Stack


@dataclass(frozen=True, slots=True)
class Stretch:
    """Samples in a row of one task at one own line.

    `library` is the one seen in most of them, as far as `votes` can tell without keeping all.
    """

    first: Mark
    last: Mark
    task: tuple[int, str] | None
    own: tuple[Line, ...]
    library: Line | None
    votes: int = 1

    def and_then(self, mark: Mark, library: Line | None) -> "Stretch":
        """This stretch with one more sample."""
        if library == self.library:
            return replace(self, last=mark, votes=self.votes + 1)
        if self.votes:
            return replace(self, last=mark, votes=self.votes - 1)
        return replace(self, last=mark, library=library, votes=1)


class Turn:
    """One turn of a loop, from its wake-up on, as far as samples show it.

    The watchdog adds samples, and any thread may ask for the blocks so far: a list is replaced or
    appended to in one step, and copied in one.
    """

    def __init__(self, start_ns: int, before: Mark) -> None:
        self.start_ns = start_ns
        self._before = before
        self._stretches: list[Stretch] = []

    @property
    def last_ns(self) -> int:
        """When the last sample was taken."""
        return self._stretches[-1].last.time_ns if self._stretches else self.start_ns

    def add(self, mark: Mark, place: Place) -> None:
        """Add a sample."""
        task, (own, library) = place
        last = self._stretches[-1] if self._stretches else None
        if last and (last.task, last.own) == (task, own):
            self._stretches[-1] = last.and_then(mark, library)
            return
        if len(self._stretches) >= MAX_STRETCHES:
            self._stretches = self._stretches[::2]
        self._stretches.append(Stretch(mark, mark, task, own, library))

    def blocks(
        self,
        loop_id: int,
        end_ns: int,
        after: Mark,
        threshold_ns: int,
        collected_ns: Callable[[int, int], int],
    ) -> list[Block]:
        """The blocks of at least the threshold, if the turn ended then.

        `after` is a mark from the end on, and `collected_ns` says how long garbage was collected
        between two times.
        """
        stretches = self._stretches.copy()
        if not stretches:
            return []
        samples = _Samples(stretches, self.start_ns, end_ns, self._before, after, threshold_ns)
        blocks = []
        for low, high, line in samples.places():
            start, end = samples.edges[low], samples.edges[high]
            starved, share, state = samples.account(low, high)
            tasks = {each.task for each in stretches[low:high]}
            name = samples.heaviest(low, high, lambda each: each.task)
            blocks.append(
                Block(
                    loop_id=loop_id,
                    start_ns=start,
                    end_ns=end,
                    starved_ns=starved,
                    line=line,
                    library=samples.heaviest(low, high, lambda each: each.library),
                    task=name[1] if name and len(tasks) == 1 else None,
                    state=state,
                    in_collection=collected_ns(start, end) >= MOST * (end - start - starved),
                    cpu_share=share,
                )
            )
        return blocks


KeyT = TypeVar("KeyT")

Part = tuple[int, int]
"""Stretches by number, from the first to before the second."""


class _Samples:
    """The samples of a turn, and what the clocks said around them."""

    def __init__(
        self,
        stretches: Sequence[Stretch],
        start_ns: int,
        end_ns: int,
        before: Mark,
        after: Mark,
        threshold_ns: int,
    ) -> None:
        self._stretches = stretches
        self._threshold_ns = threshold_ns
        # What was seen at one sample and not at the next changed halfway, for all that is known.
        between = [(a.last.time_ns + b.first.time_ns) // 2 for a, b in pairwise(stretches)]
        self.edges = [start_ns, *between, max(end_ns, start_ns)]
        self._before = before
        self._after = after
        self._marks = [before, *_marks(stretches), after]
        self._has_account = any(mark.thread for mark in self._marks)

    def places(self) -> Iterator[tuple[int, int, Line | None]]:
        """The parts that are blocks, each with its line."""
        everything = 0, len(self._stretches)
        is_narrow = False
        for part in self._parts(everything, lambda each: each.task):
            for place in self._narrow(part, 0):
                is_narrow = True
                yield place
        if not is_narrow:
            # Many tasks that block for a little each, all at one line.
            for low, high in self._parts(everything, lambda each: each.own[-1:]):
                leaves = {each.own[-1:] for each in self._stretches[low:high]}
                if len(leaves) == 1 and self._is_long(low, high):
                    yield low, high, next(iter(leaves.pop()), None)

    def _narrow(self, part: Part, depth: int) -> list[tuple[int, int, Line | None]]:
        """The deepest places at which this part was long enough; below `depth` all is the same."""
        low, high = part
        if not self._is_long(low, high):
            return []
        inside = self._stretches[low:high]
        lines = {each.own[depth] if depth < len(each.own) else None for each in inside}
        if lines == {None}:
            return [(low, high, inside[0].own[-1] if inside[0].own else None)]
        if len(lines) == 1:
            return self._narrow(part, depth + 1)
        parts = self._parts(part, lambda each: each.own[depth : depth + 1])
        if len(parts) > 1 and (
            places := [place for each in parts for place in self._narrow(each, depth)]
        ):
            return places
        if len({line and (line.path, line.function) for line in lines}) == 1:
            line = self.heaviest(low, high, lambda each: each.own[depth])
        elif depth:
            line = inside[0].own[depth - 1]
        else:
            return []
        return [(low, high, line)]

    def _parts(self, part: Part, key: Callable[[Stretch], KeyT]) -> list[Part]:
        """Cut a part where what it was doing was over: lines that take turns stay together."""
        low, high = part
        keys = [key(each) for each in self._stretches[low:high]]
        last = {each: number for number, each in enumerate(keys)}
        parts, begin, end = [], 0, 0
        for number, each in enumerate(keys):
            end = max(end, last[each])
            if number == end:
                parts.append((low + begin, low + number + 1))
                begin = number + 1
        return parts

    def heaviest(self, low: int, high: int, key: Callable[[Stretch], KeyT]) -> KeyT:
        """The key at which the part stood longest."""
        lengths: dict[KeyT, int] = {}
        for number in range(low, high):
            each = key(self._stretches[number])
            length = self.edges[number + 1] - self.edges[number]
            lengths[each] = lengths.get(each, 0) + length
        return max(lengths, key=lambda each: lengths[each])

    def _is_long(self, low: int, high: int) -> bool:
        length = self.edges[high] - self.edges[low]
        return (
            length >= self._threshold_ns
            and length - self._starved_ns(low, high) >= self._threshold_ns
        )

    def _starved_ns(self, low: int, high: int) -> int:
        """How long other programs had the CPU meanwhile.

        From the sample before to the one after, because a wait for a CPU is counted when it is
        over. Rather too long than to call a loop blocked that was starved.
        """
        length = self.edges[high] - self.edges[low]
        if not self._has_account:
            starved = self._state_without_account(low, high) is BlockState.STARVED
            return length if starved else 0
        before = self._stretches[low - 1].last if low else self._before
        after = self._stretches[high].first if high < len(self._stretches) else self._after
        if after.thread is None:  # The thread has ended.
            after = self._stretches[high - 1].last
        if before.thread is None or after.thread is None:
            return 0
        return min(max(after.thread.queue_ns - before.thread.queue_ns, 0), length)

    def account(self, low: int, high: int) -> tuple[int, float, BlockState]:
        """How long a part was starved, the share of a CPU that the process got, and the state."""
        starved_ns = self._starved_ns(low, high)
        process = self._share(low, high, lambda mark: mark.process_ns)
        if not self._has_account:
            return starved_ns, process, self._state_without_account(low, high)
        cpu = self._share(low, high, lambda mark: mark.thread and mark.thread.cpu_ns)
        runs = self._share(low, high, lambda mark: mark.thread and mark.thread.runs)
        queue = starved_ns / max(self.edges[high] - self.edges[low], 1)
        return starved_ns, process, state_by_account(queue, cpu, process - cpu, runs * 1e9)

    def _state_without_account(self, low: int, high: int) -> BlockState:
        return state_without_account(
            self._share(low, high, lambda mark: mark.process_ns),
            self._share(low, high, lambda mark: mark.late_ns),
        )

    def _share(self, low: int, high: int, count: Callable[[Mark], int | None]) -> float:
        """How much a count grew during a part, a nanosecond.

        Between two marks it is taken to grow evenly.
        """
        start, end = self.edges[low], self.edges[high]
        known = [(mark.time_ns, n) for mark in self._marks if (n := count(mark)) is not None]

        def at(time: int) -> float:
            right = bisect_right(known, time, key=lambda each: each[0])
            if not 0 < right < len(known):
                return known[min(right, len(known) - 1)][1]
            (earlier, less), (later, more) = known[right - 1], known[right]
            return less + (more - less) * (time - earlier) / (later - earlier)

        return max(at(end) - at(start), 0) / max(end - start, 1)


def _marks(stretches: Sequence[Stretch]) -> Iterator[Mark]:
    for each in stretches:
        yield each.first
        if each.last is not each.first:
            yield each.last


def state_by_account(queue: float, cpu: float, others: float, runs_per_s: float) -> BlockState:
    """What a thread did, by shares of the time: ready, computing, and other threads computing."""
    if queue >= MOST:
        return BlockState.STARVED
    if cpu >= MOST:
        return BlockState.COMPUTING
    if others >= MOST and runs_per_s > LOCK_RUNS_PER_S:
        return BlockState.INTERPRETER_LOCK
    return BlockState.SLEEPING


def state_without_account(process: float, late: float) -> BlockState:
    """What a thread did, by the process's CPU and the watchdog's lateness, as shares of the time.

    Where the process computes, whether it was this thread is not known.
    """
    if process >= MOST:
        return BlockState.UNKNOWN
    if late >= STARVED:
        return BlockState.STARVED
    return BlockState.SLEEPING if late <= ON_TIME else BlockState.UNKNOWN
