"""What the programs do, and when they really did it: the variants, and a tool that keeps time.

Every program asks for the weather of cities. A variant says how: all calls at once or one after the
other, in one turn or several, awaiting or blocking, behind a lock or a semaphore. The tool writes
down when it worked, behind any lock that it waits for. So the truth does not come from the spans.
"""

import asyncio
import threading
import time
from dataclasses import dataclass, field

TOOL_S = 0.4
SECOND_TURN = ("Quito", "Cairo", "Accra")


@dataclass(frozen=True)
class Variant:
    """A way to arrange the work: the model's script, how a tool waits, and the truth that follows.

    `tools` and `calls` are how many tools, and how many model calls, work at once at most; `gain_s`
    is what the program would gain without its barriers.
    """

    name: str
    model: str
    wait: str
    kind: str
    tools: int
    calls: int = 1
    gain_s: float | None = None


VARIANTS = {
    each.name: each
    for each in (
        Variant("par", "par3", "await", "parallel", 3),
        Variant("serial", "par3", "await", "serial", 1),
        Variant("turns", "turns", "await", "turns", 1),
        Variant("mixed", "mixed", "await", "parallel", 3),
        Variant("mixlock", "twice", "second lock", "limit", 3),
        Variant("mixfake", "twice", "second block", "blocked", 3),
        Variant("fake", "par3", "block", "blocked", 1),
        Variant("threads", "par3", "thread", "parallel", 3),
        Variant("lock", "par3", "lock", "limit", 1),
        Variant("sem", "par4", "semaphore", "limit", 2),
        # Agents, each with a tool: one needs the other, three at once, three in a row for nothing.
        Variant("agents", "one", "await", "dependent", 1),
        Variant("fan", "one", "await", "parallel", 3, 3),
        Variant("row", "one", "await", "row", 1),
        # Model calls without tools.
        Variant("chatpar", "plain", "await", "parallel", 0, 4),
        Variant("chatrow", "plain", "await", "row", 0, 1),
        Variant("chatchain", "plain", "await", "dependent", 0, 1),
        Variant("chatfake", "plain", "await", "row", 0, 1),
        Variant("chatsem", "plain", "await", "limit", 0, 2),
        # A pool of two: connections, or threads.
        Variant("pool", "par4", "await", "limit", 2),
        # Nodes of a graph.
        Variant("barrier", "two", "await", "barrier", 3, 3, gain_s=0.6),
        Variant("maxcon", "plain", "await", "limit", 0, 2),
    )
}


@dataclass
class Workload:
    """The tool of a variant, and the begins and ends of its work on the monotonic clock."""

    variant: Variant
    scale: float = 1.0
    work: list[tuple[float, float]] = field(default_factory=list)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    semaphore: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(2))
    thread_lock: threading.Lock = field(default_factory=threading.Lock)
    thread_semaphore: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(2))

    def way(self, city: str) -> str:
        """Say how the tool waits for this city."""
        first, _, way = self.variant.wait.rpartition(" ")
        return "await" if first and city not in SECOND_TURN else way

    async def weather(self, city: str) -> str:
        """Return the weather of a city, for callers on an event loop."""
        match self.way(city):
            case "block":
                self.block()
            case "lock":
                async with self.lock:
                    await self.rest()
            case "semaphore":
                async with self.semaphore:
                    await self.rest()
            case _:
                await self.rest()
        return "sunny"

    def weather_in_thread(self, city: str) -> str:
        """Return the weather of a city, for callers that give each call a thread."""
        match self.way(city):
            case "lock":
                with self.thread_lock:
                    self.block()
            case "semaphore":
                with self.thread_semaphore:
                    self.block()
            case _:
                self.block()
        return "sunny"

    async def rest(self, seconds: float = TOOL_S) -> None:
        """Work for a while, and let others work meanwhile."""
        begin = time.monotonic()
        await asyncio.sleep(seconds * self.scale)
        self.work.append((begin, time.monotonic()))

    def block(self, seconds: float = TOOL_S) -> None:
        """Work for a while, and hold the thread."""
        begin = time.monotonic()
        time.sleep(seconds * self.scale)
        self.work.append((begin, time.monotonic()))


def at_once(intervals: list[tuple[float, float]]) -> int:
    """Count how many of the intervals overlap at most, by a fifth of the shortest or more.

    What follows at once on a busy machine is not concurrency.
    """
    if not intervals:
        return 0
    margin = min(end - begin for begin, end in intervals) / 10
    edges = [(begin + margin, 1) for begin, _ in intervals]
    edges += [(end - margin, -1) for _, end in intervals]
    level = highest = 0
    for _, change in sorted(edges):
        level += change
        highest = max(highest, level)
    return highest
