"""Spans that a backend did not take: they wait on disk, and are sent again, each of them once.

The spool has a folder for each backend and a file for each batch. A file is written whole or not at
all; its name keeps two processes apart, and names in order are batches in order. The folder is
bounded: beyond the bound the oldest batch is deleted, and its spans are counted.

Jaeger stores a span twice if it is sent twice, and a slow backend may take a batch after we gave up
on it. So a replay asks the backend which span ids it has, and sends the rest.
"""

import itertools
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path

from opentelemetry.sdk.trace import ReadableSpan

from trading_graph.otel.errors import TraceError
from trading_graph.otel.export.otlp import Exporter
from trading_graph.otel.export.span_queue import BATCH
from trading_graph.otel.files.sdk_spans import from_lines
from trading_graph.otel.files.span_lines import to_line

MAX_BYTES = 64 * 2**20
_SUFFIX = ".jsonl"
_EVICTED = "evicted"
_COUNTER = itertools.count()


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch in the spool; its file may be gone by the time it is read."""

    path: Path
    spans: int

    def read(self) -> list[ReadableSpan]:
        """Read the spans; none where the file is gone. Raises OSError or TraceError."""
        try:
            return from_lines(self.path.read_bytes(), str(self.path))
        except FileNotFoundError:
            return []

    def remove(self) -> bool:
        """Delete the file; false where somebody else has deleted it."""
        try:
            self.path.unlink()
        except FileNotFoundError:
            return False
        return True


class Spool:
    """The spool of one backend. Blocks; safe among threads and processes."""

    def __init__(self, folder: Path, max_bytes: int = MAX_BYTES) -> None:
        self.folder = folder
        self._max_bytes = max_bytes

    def put(self, spans: Sequence[ReadableSpan]) -> None:
        """Write a batch, and make room for it; raises OSError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        content = to_line(spans)
        name = f"{time.time_ns():020d}-{os.getpid()}-{next(_COUNTER)}.{len(spans)}{_SUFFIX}"
        partial = self.folder / f".{name}.partial"
        try:
            with partial.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, self.folder / name)
        finally:
            partial.unlink(missing_ok=True)
        self._evict()

    def batches(self) -> list[Batch]:
        """List the batches, the oldest first."""
        batches = []
        for path in sorted(self.folder.glob(f"[0-9]*{_SUFFIX}")):
            count = path.name.removesuffix(_SUFFIX).rpartition(".")[2]
            batches.append(Batch(path, int(count) if count.isdigit() else 0))
        return batches

    @property
    def spans(self) -> int:
        """How many spans wait."""
        return sum(batch.spans for batch in self.batches())

    @property
    def evictions(self) -> int:
        """How many spans were deleted because the folder was full, since `reset_evictions`."""
        try:
            return sum(map(int, (self.folder / _EVICTED).read_text().split()))
        except (FileNotFoundError, ValueError):
            return 0

    def reset_evictions(self) -> None:
        """Start counting evictions from zero."""
        (self.folder / _EVICTED).unlink(missing_ok=True)

    @contextmanager
    def lock(self) -> Iterator[bool]:
        """Reserve this spool for one sender; yields false where another process has it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("wb") as file:
            try:
                flock(file, LOCK_EX | LOCK_NB)  # the system releases it when the process dies
            except BlockingIOError:
                yield False
            else:
                yield True

    def _evict(self) -> None:
        sizes = []
        for batch in self.batches():
            try:
                sizes.append((batch, batch.path.stat().st_size))
            except FileNotFoundError:
                continue
        total = sum(size for _, size in sizes)
        # The newest batch stays, even if it alone is larger than the bound.
        for batch, size in sizes[:-1]:
            if total <= self._max_bytes:
                break
            total -= size
            if batch.remove():
                with (self.folder / _EVICTED).open("a") as file:
                    file.write(f"{batch.spans}\n")


def spool_of(folder: Path, backend: str) -> Spool:
    """Return the spool of a backend, by its name, below the folder of all spools."""
    return Spool(folder / backend.lower())


SpanIdLookup = Callable[[str], Iterable[str]]
"""Looks up the ids of the spans that a backend has of a trace, both in lower-case hexadecimal."""


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """What became of one batch, in spans: sent now, present before, or refused again."""

    sent: int = 0
    present: int = 0
    refused: int = 0
    unreadable: str | None = None
    """Why the batch cannot be read, or None."""


class Replay:
    """Sends a backend the spans that it does not have."""

    def __init__(self, exporter: Exporter, look_up: SpanIdLookup) -> None:
        self._exporter = exporter
        self._look_up = look_up
        self._span_ids: dict[str, set[str]] = {}

    @property
    def endpoint(self) -> str:
        """The URL that spans are sent to."""
        return self._exporter.endpoint

    def spool(self, spool: Spool) -> Iterator[ReplayResult]:
        """Send the batches of a spool, the oldest first, and delete those that have arrived.

        Ends at the first batch that is refused. Raises OSError, and TraceError where the backend
        cannot be asked for its spans.
        """
        for batch in spool.batches():
            try:
                spans = batch.read()
            except TraceError as error:
                yield ReplayResult(refused=batch.spans, unreadable=str(error))
                continue
            result = self._send(spans)
            if result.refused:
                yield result
                return
            batch.remove()
            yield result

    def spans(self, spans: Sequence[ReadableSpan]) -> Iterator[ReplayResult]:
        """Send spans, such as those of a trace file; ends at the first batch that is refused."""
        for begin in range(0, len(spans), BATCH):
            result = self._send(spans[begin : begin + BATCH])
            yield result
            if result.refused:
                return

    def _send(self, spans: Sequence[ReadableSpan]) -> ReplayResult:
        missing: list[ReadableSpan] = []
        new_ids: dict[str, set[str]] = defaultdict(set)
        for span in spans:
            context = span.get_span_context()
            assert context is not None  # a span from a file always has one
            trace_id, span_id = f"{context.trace_id:032x}", f"{context.span_id:016x}"
            if trace_id not in self._span_ids:
                self._span_ids[trace_id] = set(self._look_up(trace_id))
            if span_id not in self._span_ids[trace_id] | new_ids[trace_id]:
                missing.append(span)
                new_ids[trace_id].add(span_id)
        present = len(spans) - len(missing)
        if missing and not self._exporter.send(missing):
            return ReplayResult(present=present, refused=len(missing))
        for trace_id, span_ids in new_ids.items():
            self._span_ids[trace_id] |= span_ids
        return ReplayResult(sent=len(missing), present=present)
