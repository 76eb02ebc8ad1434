"""An id of the clock that the times of this process's spans come from."""

import hashlib
import os
import socket
from functools import cache
from pathlib import Path


def _boot_id() -> str:
    """The system's id of its start; empty where it has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except (OSError, ValueError):
        return ""


# Read once, and never on an event loop.
_BOOT_ID = _boot_id()
_HOST = "" if _BOOT_ID else socket.gethostname()


def clock_id() -> str:
    """The id, equal in all processes that share the clock of one host since its start.

    Where the system has no id of its start, each process has an id of its own. A hash, because the
    system's own id names the machine.
    """
    return _hash(_BOOT_ID or f"{_HOST} {os.getpid()}")


@cache
def _hash(identity: str) -> str:
    return hashlib.sha256(identity.encode()).hexdigest()[:16]
