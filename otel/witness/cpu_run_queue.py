"""How long a thread ran, and how long it was ready to run while the machine ran others."""

import os
import threading
from contextlib import suppress
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
