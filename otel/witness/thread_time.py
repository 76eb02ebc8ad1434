"""How long the current thread had a CPU, how long it waited for one, and for whom."""

import threading
from time import process_time_ns, thread_time_ns
from typing import NamedTuple

from trading_graph.otel.witness.blocks import LOCK_RUNS_PER_S
from trading_graph.otel.witness.run_queue import RunQueue

OTHERS_SHARE = 0.5


class ThreadTime(NamedTuple):
    """What the scheduler has given to a thread, and to the process, so far; in nanoseconds."""

    running: int
    queued: int
    runs: int
    """How often the thread was given a CPU."""
    process: int
    """The CPU time of all threads."""

    def given(self, since: "ThreadTime") -> int:
        """How long the thread ran, or waited for a CPU, since another time."""
        return self.running - since.running + self.queued - since.queued

    def held_up_by_others(self, since: "ThreadTime", time_ns: int) -> bool:
        """Whether it waited for the interpreter lock in the time that nothing else explains.

        Other threads computed meanwhile, and it was woken often: a thread that wants the
        interpreter asks for it every 5 ms (`sys.setswitchinterval`).
        """
        others = self.process - since.process - (self.running - since.running)
        runs_per_s = (self.runs - since.runs) * 1e9 / max(time_ns, 1)
        return others >= OTHERS_SHARE * time_ns and runs_per_s > LOCK_RUNS_PER_S


class _Thread(threading.local):
    """The run queue of the current thread; its descriptor is closed when the thread is gone."""

    def __init__(self) -> None:
        self.run_queue = RunQueue()


_thread = _Thread()


def thread_time() -> ThreadTime:
    """The time of the current thread so far."""
    reading = _thread.run_queue.read()
    queued, runs = (reading.queue_ns, reading.runs) if reading else (0, 0)
    return ThreadTime(thread_time_ns(), queued, runs, process_time_ns())
