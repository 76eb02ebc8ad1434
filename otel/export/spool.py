"""Spans that a backend did not take, kept on disk until it does.

A folder for each backend, a file for each batch: written whole or not at all, named so that two
processes never meet and the names in order are the batches in order. The folder is bounded: past
the bound the oldest batch goes, and its spans are counted.
"""

import itertools
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path

from opentelemetry.sdk.trace import ReadableSpan

from trading_graph.otel.files.stored_spans import from_lines, to_line

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
        """The spans; none where the file is gone. Raises OSError or TraceError."""
        try:
            return from_lines(self.path.read_bytes(), str(self.path))
        except FileNotFoundError:
            return []

    def remove(self) -> bool:
        """Delete the file; false where somebody else has."""
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
        """Keep a batch, and make room for it; raises OSError."""
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
        """What is kept, the oldest first."""
        found = []
        for path in sorted(self.folder.glob(f"[0-9]*{_SUFFIX}")):
            count = path.name.removesuffix(_SUFFIX).rpartition(".")[2]
            found.append(Batch(path, int(count) if count.isdigit() else 0))
        return found

    @property
    def spans(self) -> int:
        """How many spans are kept."""
        return sum(batch.spans for batch in self.batches())

    @property
    def evicted(self) -> int:
        """How many spans had to go because the folder was full, since `forget_evicted`."""
        try:
            return sum(map(int, (self.folder / _EVICTED).read_text().split()))
        except (FileNotFoundError, ValueError):
            return 0

    def forget_evicted(self) -> None:
        """Begin counting anew."""
        (self.folder / _EVICTED).unlink(missing_ok=True)

    @contextmanager
    def locked(self) -> Iterator[bool]:
        """Whether the block is the only one that sends from this spool; for as long as it runs."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("wb") as file:
            try:
                flock(file, LOCK_EX | LOCK_NB)  # the system lets go of it when the process dies
            except BlockingIOError:
                yield False
            else:
                yield True

    def _evict(self) -> None:
        kept = []
        for batch in self.batches():
            try:
                kept.append((batch, batch.path.stat().st_size))
            except FileNotFoundError:
                continue
        total = sum(size for _, size in kept)
        # The newest stays even where it alone is larger than the bound.
        for batch, size in kept[:-1]:
            if total <= self._max_bytes:
                break
            total -= size
            if batch.remove():
                with (self.folder / _EVICTED).open("a") as file:
                    file.write(f"{batch.spans}\n")
