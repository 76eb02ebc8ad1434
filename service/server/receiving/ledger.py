"""What the receiver knows of its traces, and their files: which grow, and which are judged.

Everything here blocks and runs in the receiver's one thread, so that nothing is read while it
changes. The event loop reads single values only.
"""

import contextlib
import logging
import time
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from trading_graph.otel.redaction import Redactor
from trading_graph.service.server.receiving.batches import Batch, Rejection, Splitter, unpacked
from trading_graph.service.server.receiving.errors import MalformedMessageError
from trading_graph.service.server.receiving.growing import GrowingTrace
from trading_graph.service.server.receiving.message import JSON, Encoding
from trading_graph.service.server.receiving.trace_files import TraceFiles

_LOG = logging.getLogger(__name__)

_MIB = 2**20


@dataclass(frozen=True, slots=True)
class ReceiverLimits:
    """What the receiver holds: sizes in bytes, times in seconds.

    `message` limits a body, packed and unpacked; `bodies` those that are read at once; `waiting`
    the spans of traces that are not judged; `kept` the files of judged traces, and `traces` their
    number.
    """

    settle_s: float
    keep_s: float
    kept: int
    traces: int
    trace: int
    message: int = 8 * _MIB
    bodies: int = 64 * _MIB
    waiting: int = 200_000
    judges: int = 2


@dataclass(frozen=True, slots=True)
class Body:
    """A message of spans, in an encoding; `packing` is its Content-Encoding.

    `is_whole`: whoever hands it over knows that nothing more comes of its traces. `service` is the
    name under which their verdicts are listed, where that is not their root's service.
    """

    content: bytes
    packing: str
    encoding: Encoding
    is_whole: bool = False
    service: str = ""


@dataclass(frozen=True, slots=True)
class Recorded:
    """The traces of a body's spans, what was written, and how many spans were rejected for what."""

    traces: list[GrowingTrace]
    lines: list[bytes]
    rejections: Counter[Rejection]


@dataclass(frozen=True, slots=True)
class _KeptTrace:
    """A judged trace: the size of its file in bytes, and when it was judged."""

    size: int
    judged: float


class Ledger:
    """The traces of a receiver; raises OSError where its folder cannot be written."""

    def __init__(self, files: TraceFiles, limits: ReceiverLimits, redactor: Redactor) -> None:
        self._files = files
        self._limits = limits
        self._splitter = Splitter(redactor)
        self._growing: dict[str, GrowingTrace] = {}
        self._unread: set[str] = set()
        """Traces of an earlier process that are not judged, and not taken up yet."""
        self._kept: OrderedDict[str, _KeptTrace] = OrderedDict()
        self._kept_bytes = 0
        self.waiting = 0
        """The number of spans of the traces that are not judged."""

    def open(self) -> list[str]:
        """Make the folder, or read what is in it; returns the ids of the traces to judge."""
        self._files.open()
        now = time.time()
        for trace_id, size, age in self._files.judged():
            self._note_kept(trace_id, size, now - age)
        unjudged = self._files.unjudged()
        self._unread.update(unjudged)
        return unjudged

    def judged(self) -> list[str]:
        """The ids of the traces that are judged, the oldest first."""
        return list(self._kept)

    def record_all(self, bodies: Sequence[Body]) -> list[Recorded | Exception]:
        """Record bodies one after the other; an error is in the place of its body."""
        outcomes: list[Recorded | Exception] = []
        for body in bodies:
            try:
                outcomes.append(self.record(body))
            except Exception as error:
                outcomes.append(error)
        return outcomes

    def record(self, body: Body) -> Recorded:
        """Write the spans of a body to the files of their traces.

        If a file cannot be written, whoever sends the body again adds what is missing. Raises
        MalformedMessageError or MessageTooLargeError.
        """
        content = unpacked(body.content, body.packing, self._limits.message)
        batches, rejections = self._splitter.split(content, body.encoding)
        traces, lines = list[GrowingTrace](), list[bytes]()
        try:
            for batch in batches:
                trace = self.take_up(batch.trace_id)
                traces.append(trace)
                trace.is_whole, trace.service = body.is_whole, body.service or trace.service
                if trace.repeats(batch):
                    continue
                if trace.size + len(batch.line) > self._limits.trace:
                    rejections[Rejection.SIZE] += len(batch.spans)
                    continue
                self._files.append(batch.trace_id, batch.line)
                self._add(trace, batch)
                lines.append(batch.line)
        finally:
            for trace in traces:
                if not trace.size:
                    del self._growing[trace.trace_id]
        return Recorded([trace for trace in traces if trace.size], lines, rejections)

    def _add(self, trace: GrowingTrace, batch: Batch) -> None:
        before = trace.spans
        trace.add(batch, time.monotonic())
        self.waiting += trace.spans - before

    def growing(self, trace_id: str) -> GrowingTrace | None:
        """The trace with an id if it is not judged; also for the event loop."""
        return self._growing.get(trace_id)

    def all_growing(self) -> list[GrowingTrace]:
        """The traces that are not judged; also for the event loop."""
        return list(self._growing.values())

    def take_up(self, trace_id: str) -> GrowingTrace:
        """The trace with an id; a judged one grows again."""
        trace = self._growing.get(trace_id)
        if trace is not None:
            return trace
        trace = self._growing[trace_id] = GrowingTrace(trace_id, time.monotonic())
        kept = self._kept.pop(trace_id, None)
        if kept is not None:
            self._kept_bytes -= kept.size
            self._files.take_back(trace_id)
        if kept is not None or trace_id in self._unread:
            self._unread.discard(trace_id)
            self._read(trace)
        return trace

    def _read(self, trace: GrowingTrace) -> None:
        with contextlib.suppress(FileNotFoundError):  # Somebody else deleted it.
            for line in self._files.lines(trace.trace_id):
                self._add(trace, self._batch_of(trace.trace_id, line))

    def _batch_of(self, trace_id: str, line: bytes) -> Batch:
        with contextlib.suppress(MalformedMessageError):
            batches, _ = self._splitter.split(line, JSON)
            for batch in batches:
                if batch.trace_id == trace_id:
                    return replace(batch, line=line)
        # Somebody else wrote to the file; the verdict says what is wrong with it.
        return Batch(trace_id, (), line)

    def settle(self, judged: Sequence[tuple[GrowingTrace, int]]) -> tuple[list[bool], list[str]]:
        """Keep traces that were judged at a size; false for one that has grown since.

        Returns also the ids of the traces that had to go for them.
        """
        kept = [self._keep(trace, size) for trace, size in judged]
        return kept, self.forget_old()

    def _keep(self, trace: GrowingTrace, size: int) -> bool:
        if trace.size != size or not self._files.keep(trace.trace_id, size):
            return False
        self._growing.pop(trace.trace_id, None)
        self.waiting -= trace.spans
        self._note_kept(trace.trace_id, size, time.time())
        return True

    def _note_kept(self, trace_id: str, size: int, judged: float) -> None:
        self._kept[trace_id] = _KeptTrace(size, judged)
        self._kept_bytes += size

    def forget_old(self) -> list[str]:
        """Delete the oldest traces past the limits of size, number and age; returns their ids."""
        gone, before, limits = list[str](), time.time() - self._limits.keep_s, self._limits
        while self._kept:
            trace_id, kept = next(iter(self._kept.items()))
            fits = self._kept_bytes <= limits.kept and len(self._kept) <= limits.traces
            if fits and kept.judged >= before:
                break
            self._files.delete(trace_id)
            del self._kept[trace_id]
            self._kept_bytes -= kept.size
            gone.append(trace_id)
        if gone:
            _LOG.info("Received traces that went for newer ones, or were too old: %d.", len(gone))
        return gone

    def discard(self, trace: GrowingTrace) -> None:
        """Forget a trace without any spans: what a killed process left of its first line."""
        if trace.size:
            return  # some came meanwhile
        self._growing.pop(trace.trace_id, None)
        self._files.growing(trace.trace_id).unlink(missing_ok=True)
