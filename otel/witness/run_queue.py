"""How long a thread was ready to run while the machine ran others: a starved CPU is no block."""

import os
import threading
from contextlib import suppress


class RunQueue:
    """The run queue's clock of the thread that makes it; any thread may read it.

    Linux keeps it in `/proc/self/task/TID/schedstat`. Elsewhere nothing is known, and it is 0.
    """

    def __init__(self) -> None:
        self._descriptor = -1
        with suppress(OSError):
            path = f"/proc/self/task/{threading.get_native_id()}/schedstat"
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def waited_ns(self) -> int:
        """How long the thread has waited for a CPU so far, in nanoseconds."""
        if self._descriptor < 0:
            return 0
        try:
            return int(os.pread(self._descriptor, 64, 0).split()[1])
        except (OSError, IndexError, ValueError):
            return 0

    def close(self) -> None:
        """Give back the descriptor."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
