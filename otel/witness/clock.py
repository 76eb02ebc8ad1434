"""The clock that the times of this process's spans come from.

It shows the machine's time as it was when the process began, and goes on by a clock that nobody
sets: where the machine's clock is set during a run, no span ends before it began, and what was
before another thing stays so. A new trace begins by the machine's time again, if no span is open.
"""

import hashlib
import os
import socket
from functools import cache
from pathlib import Path
from time import monotonic_ns, time_ns

_LEAST_STEP_NS = 1_000_000
"""A smaller difference is how exactly two clocks can be read one after the other."""
_READINGS = 5
_GRAIN_NS = 100_000_000


def _boot_id() -> str:
    """The system's id of its start; empty where it has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except (OSError, ValueError):
        return ""


# Read once, and never on an event loop.
_BOOT_ID = _boot_id()
_HOST = "" if _BOOT_ID else socket.gethostname()


def _ahead_ns() -> int:
    """By how much the machine's time is ahead of the clock that nobody sets.

    Of several readings the one that was interrupted least.
    """
    readings = []
    for _ in range(_READINGS):
        before, now, after = monotonic_ns(), time_ns(), monotonic_ns()
        readings.append((after - before, now - (before + after) // 2))
    return min(readings)[1]


_anchor_ns = _ahead_ns()


def now_ns() -> int:
    """The time, in nanoseconds since the epoch; it never goes back."""
    return monotonic_ns() + _anchor_ns


def anchor() -> None:
    """Take the machine's time again, if its clock was set; only while no span is open."""
    global _anchor_ns
    if abs(time_ns() - now_ns()) > _LEAST_STEP_NS:
        ahead_ns = _ahead_ns()
        if abs(ahead_ns - _anchor_ns) > _LEAST_STEP_NS:
            _anchor_ns = ahead_ns


def clock_id() -> str:
    """The id, equal in all processes that share the clock of one host since its start.

    Where the system has no id of its start, each process has an id of its own; so have processes
    between whose beginnings the clock was set. A hash, because the system's id names the machine.
    """
    return _hash(f"{_BOOT_ID or f'{_HOST} {os.getpid()}'} {_anchor_ns // _GRAIN_NS}")


@cache
def _hash(identity: str) -> str:
    return hashlib.sha256(identity.encode()).hexdigest()[:16]
