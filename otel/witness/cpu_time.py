"""The CPU time of threads: how long one ran, how long it waited for a CPU, and for whom."""

import os
import threading
from contextlib import suppress
from time import process_time_ns, thread_time_ns
from typing import NamedTuple


class Reading(NamedTuple):
    """What the scheduler has counted for a thread so far."""

    cpu_ns: int
    queue_ns: int
    """How long it was ready to run and had no CPU."""
    runs: int
    """How often it was given a CPU."""


def reading_of(text: bytes) -> Reading | None:
    """What an account says; None if it says nothing."""
    try:
        cpu_ns, queue_ns, runs = text.split()
        return Reading(int(cpu_ns), int(queue_ns), int(runs))
    except ValueError:
        return None


class RunQueue:
    """The scheduler's account of one thread, by default the one that makes it; any may read it.

    Linux keeps it in `/proc/self/task/TID/schedstat`. Elsewhere nothing is known, and a starved
    thread cannot be told from a busy one.
    """

    def __init__(self, native_id: int | None = None) -> None:
        self._task = f"/proc/self/task/{native_id or threading.get_native_id()}"
        self._descriptor = -1
        with suppress(OSError):
            self._descriptor = os.open(f"{self._task}/schedstat", os.O_RDONLY | os.O_CLOEXEC)

    def read(self) -> Reading | None:
        """Read the account; None where there is none, or the thread has ended."""
        return reading_of(self.text())

    def text(self) -> bytes:
        """The account as the system writes it: quick to get, for `reading_of`, if ever."""
        if self._descriptor < 0:
            return b""
        try:
            return os.pread(self._descriptor, 64, 0)
        except OSError:
            return b""

    def waited_ns(self, since: bytes) -> int:
        """How long the thread has waited for a CPU since it had this account, in nanoseconds."""
        before, after = reading_of(since), self.read()
        return after.queue_ns - before.queue_ns if before and after else 0

    def is_runnable(self) -> bool:
        """Whether the thread runs, or would if it had a CPU.

        The account has a wait for a CPU only when it is over; this shows one that goes on.
        """
        try:
            descriptor = os.open(f"{self._task}/stat", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            # The name of the thread, in parentheses, may hold any character.
            return os.read(descriptor, 512).rpartition(b") ")[2].startswith(b"R")
        except OSError:
            return False
        finally:
            os.close(descriptor)

    def __del__(self) -> None:
        """Give back the descriptor of a thread that is gone."""
        self.close()

    def close(self) -> None:
        """Give back the descriptor."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


OTHERS_SHARE = 0.5
LOCK_RUNS_PER_S = 150
"""A thread that asks for the interpreter runs more often than this, and one that sleeps less."""


class ThreadTime(NamedTuple):
    """What the scheduler has given to a thread, and to the process, so far; in nanoseconds.

    The thread's account is read, and understood only where two times are compared: most are not.
    """

    running: int
    process: int
    """The CPU time of all threads."""
    account: bytes

    def since(self, before: "ThreadTime") -> "CpuUse":
        """What was given between another time and this one."""
        running = self.running - before.running
        others = self.process - before.process - running
        if self.account == before.account:
            return CpuUse(running, 0, 0, others)
        was, now = reading_of(before.account), reading_of(self.account)
        if was is None or now is None:
            return CpuUse(running, 0, 0, others)
        return CpuUse(running, now.queue_ns - was.queue_ns, now.runs - was.runs, others)


class CpuUse(NamedTuple):
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
