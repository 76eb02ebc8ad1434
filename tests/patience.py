"""How long a test waits for what has to come.

It keeps a test from hanging and proves nothing: a machine that is busy with many other things may
take long to start a process, and the test holds all the same.
"""

import time

PATIENCE_S = 120.0


class Patience:
    """Lasts PATIENCE_S from when something last went on: work that proceeds may take its time."""

    def __init__(self) -> None:
        self._seen: object = None
        self._since_s = time.monotonic()

    def has_seen(self, progress: object) -> bool:
        """Whether to wait on, where things are at `progress`."""
        now_s = time.monotonic()
        if progress != self._seen:
            self._seen, self._since_s = progress, now_s
        return now_s - self._since_s < PATIENCE_S
