"""When garbage collection stopped the process, and for how long."""

import gc
from typing import Literal

from trading_graph.otel.witness.clock import now_ns

LONG_NS = 1_000_000
"""A shorter pause blocks nothing; it only counts in the sum."""

MOST_PAUSES = 1_000


class Pauses:
    """The pauses since it was installed; one on any thread holds up all."""

    def __init__(self) -> None:
        self.total_ns = 0
        self._since_ns: int | None = None
        self._long: tuple[tuple[int, int], ...] = ()

    def install(self) -> None:
        """Be told of each collection."""
        if self._note not in gc.callbacks:
            gc.callbacks.append(self._note)

    def restore(self) -> None:
        """Stop being told."""
        if self._note in gc.callbacks:
            gc.callbacks.remove(self._note)

    def collected_ns(self, start_ns: int, end_ns: int) -> int:
        """How long garbage was collected between two times."""
        pauses, since_ns = self._long, self._since_ns
        if since_ns is not None:
            pauses = (*pauses, (since_ns, end_ns))
        overlaps = (min(stop, end_ns) - max(start, start_ns) for start, stop in pauses)
        return sum(each for each in overlaps if each > 0)

    def _note(self, phase: Literal["start", "stop"], _: object) -> None:
        now = now_ns()
        if phase == "start":
            self._since_ns = now
            return
        since_ns, self._since_ns = self._since_ns, None
        if since_ns is None or now <= since_ns:
            return
        self.total_ns += now - since_ns
        if now - since_ns >= LONG_NS:
            self._long = (*self._long[1 - MOST_PAUSES :], (since_ns, now))


pauses = Pauses()
