"""How long the current thread had a CPU, how long it waited for one, and for whom."""

import os
import threading
from time import process_time_ns, thread_time_ns
from typing import NamedTuple

from trading_graph.otel.witness.blocks import LOCK_RUNS_PER_S
from trading_graph.otel.witness.cpu_run_queue import RunQueue, reading_of

OTHERS_SHARE = 0.5


class ThreadTime(NamedTuple):
    """What the scheduler has given to a thread, and to the process, so far; in nanoseconds.

    The thread's account is read, and understood only where two times are compared: most are not.
    """

    running: int
    process: int
    """The CPU time of all threads."""
    account: bytes

    def since(self, before: "ThreadTime") -> "Given":
        """What was given between another time and this one."""
        running = self.running - before.running
        others = self.process - before.process - running
        if self.account == before.account:
            return Given(running, 0, 0, others)
        was, now = reading_of(before.account), reading_of(self.account)
        if was is None or now is None:
            return Given(running, 0, 0, others)
        return Given(running, now.queue_ns - was.queue_ns, now.runs - was.runs, others)


class Given(NamedTuple):
    """What a thread was given in some time; in nanoseconds."""

    running: int
    queued: int
    """How long it was ready to run, and had no CPU."""
    runs: int
    """How often it was given a CPU."""
    others: int
    """The CPU time of the process's other threads."""

    def is_held_up_by_others(self, time_ns: int) -> bool:
        """Whether it waited for the interpreter lock in the time that nothing else explains.

        Other threads computed meanwhile, and it was woken often: a thread that wants the
        interpreter asks for it every 5 ms (`sys.setswitchinterval`).
        """
        runs_per_s = self.runs * 1e9 / max(time_ns, 1)
        return self.others >= OTHERS_SHARE * time_ns and runs_per_s > LOCK_RUNS_PER_S


class _Thread(threading.local):
    """The run queue of the current thread; its descriptor is closed when the thread is gone."""

    run_queue: RunQueue | None = None


_thread = _Thread()


def thread_time(process_ns: int | None = None) -> ThreadTime:
    """The time of the current thread so far; that of the process may have been read already."""
    run_queue = _thread.run_queue
    if run_queue is None:
        run_queue = _thread.run_queue = RunQueue()
    if process_ns is None:
        process_ns = process_time_ns()
    return ThreadTime(thread_time_ns(), process_ns, run_queue.text())


def _after_fork() -> None:
    """Let go of the account in a forked child: it is that of the parent's thread."""
    _thread.run_queue = None


os.register_at_fork(after_in_child=_after_fork)
