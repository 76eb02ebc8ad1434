"""A trace that is put together from what arrives, and when it is to be judged.

It is judged at once when it holds the spans that it declares. One that looks whole, with a root and
every parent, is judged when nothing has come for the settle time. One that lacks something waits
as long as a watch waits.
"""

import math
from dataclasses import dataclass, field

from trading_graph.service.server.receiving.batches import Batch
from trading_graph.service.watching import QUIET_S, ROOTLESS_S


@dataclass(slots=True)
class GrowingTrace:
    """What is known of a trace in memory; times are of the monotonic clock, in seconds.

    `size` is that of its file, in bytes. `is_whole`: its source says that nothing more comes, and
    `service` may name a service to list it under in the place of `origin`, that of its root. `name`
    is its root's, `started` in seconds since the epoch. `alarm` is when the receiver looks next.
    """

    trace_id: str
    changed: float
    size: int = 0
    has_root: bool = False
    has_entry: bool = False
    declared: int = 0
    is_whole: bool = False
    service: str = ""
    origin: str = ""
    name: str = ""
    started: float = math.inf
    in_line: bool = False
    alarm: float | None = None
    _ids: set[str] = field(default_factory=set)
    _missing: set[str] = field(default_factory=set)
    _lines: set[int] = field(default_factory=set)

    @property
    def spans(self) -> int:
        """The number of different spans that have come."""
        return len(self._ids)

    def repeats(self, batch: Batch) -> bool:
        """Whether a batch has come before, as a client sends it again that got no answer."""
        return hash(batch.line) in self._lines

    def add(self, batch: Batch, now: float) -> None:
        """Note a batch that is in the file."""
        self._lines.add(hash(batch.line))
        self.size += len(batch.line)
        self.changed = now
        self.started = min(self.started, batch.started / 1e9)
        if batch.root is not None or not self.origin:
            self.origin = batch.service
        self.name = self.name if batch.root is None else batch.root
        for span in batch.spans:
            if span.span_id not in self._ids:
                self._ids.add(span.span_id)
                self.declared += max(span.declared or 0, 0)
            self._missing.discard(span.span_id)
            self.has_entry |= span.is_entry
            if not span.parent_id:
                self.has_root = True
            elif span.parent_id not in self._ids:
                self._missing.add(span.parent_id)

    def due(self, settle_s: float) -> float:
        """When it is to be judged if nothing more comes."""
        if self.is_whole:
            return self.changed
        if not self.has_root:
            # What a caller called has ended, and the caller may send its spans elsewhere.
            return self.changed + max(QUIET_S if self.has_entry else ROOTLESS_S, settle_s)
        if self._missing or self.spans < self.declared:
            return self.changed + max(QUIET_S, settle_s)
        return self.changed if self.declared else self.changed + settle_s
