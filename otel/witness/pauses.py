"""How long garbage collection stopped the process."""

import gc
from time import time_ns

from trading_graph.otel.witness.faults import faults


class Pauses:
    """The sum of all pauses since it was installed, in nanoseconds."""

    def __init__(self) -> None:
        self.total_ns = 0
        self._since = 0

    def install(self) -> None:
        """Be told of each collection."""
        if self._note not in gc.callbacks:
            gc.callbacks.append(self._note)

    def restore(self) -> None:
        """Stop being told."""
        if self._note in gc.callbacks:
            gc.callbacks.remove(self._note)

    def _note(self, phase: str, _: object) -> None:
        try:
            if phase == "start":
                self._since = time_ns()
            elif self._since:
                self.total_ns += max(0, time_ns() - self._since)
                self._since = 0
        except Exception as error:
            faults.note(error)


pauses = Pauses()
