"""Which spans of a run have started: a file beside its trace, for as long as the run is not over.

A killed process cannot say what it left open, so every start is written down before its end is, in
the form of the trace file. A lock on the file tells a run that goes on from one that was killed:
the system lets go of it with the process. Its time of change is the process's last sign of life.
"""

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, flock
from io import FileIO
from pathlib import Path
from typing import Self

from opentelemetry.sdk.trace import ReadableSpan

from trading_graph.otel.files.stored_spans import from_lines, to_line
from trading_graph.otel.spans import Unfinished
from trading_graph.otel.trace import semconv

_BEAT_NS = 1_000_000_000
_TRIES, _PAUSE_S = 5, 0.02


class Journal:
    """The journal of a run of this process. Blocks; raises OSError."""

    def __init__(self, path: Path, file: FileIO) -> None:
        self.path = path
        self._file = file
        self._touched_ns = time.monotonic_ns()

    @classmethod
    def begin(cls, path: Path) -> Self:
        """A new journal, locked before anybody can see it."""
        partial = path.with_name(f".{path.name}.partial")
        file = FileIO(partial, "ab")
        flock(file, LOCK_EX | LOCK_NB)
        os.replace(partial, path)
        return cls(path, file)

    @classmethod
    def take_up(cls, path: Path) -> Self | None:
        """The journal of a killed process; None where one that lives has it, or it is over.

        Raises FileNotFoundError where there is none.
        """
        file = FileIO(path, "r+b")
        # Whoever looks whether the run goes on holds the lock for a moment.
        for _ in range(_TRIES):
            try:
                flock(file, LOCK_EX | LOCK_NB)
            except BlockingIOError:
                time.sleep(_PAUSE_S)
                continue
            if _is(file, path):
                return cls(path, file)
            break
        file.close()
        return None

    def write(self, started: Sequence[ReadableSpan]) -> None:
        """Note that spans have started."""
        self._file.write(to_line(started))
        self._touched_ns = time.monotonic_ns()

    def beat(self) -> None:
        """Give a sign of life, where the last is a second old."""
        now = time.monotonic_ns()
        if now - self._touched_ns >= _BEAT_NS:
            self._touched_ns = now
            with suppress(OSError):  # then the last sign is older than it could be
                os.utime(self._file.fileno())

    def mend(self) -> None:
        """Cut off a last line that is not whole, so that more can follow."""
        mend(self._file)

    def close(self, *, over: bool) -> None:
        """Let go of it; a run that is over leaves none."""
        if over:
            self.path.unlink(missing_ok=True)
        self._file.close()


def mend(file: FileIO) -> None:
    """Cut off a last line that is not whole, and go to the end."""
    file.seek(0)
    content = file.readall()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        file.truncate(whole)
    file.seek(whole)


def is_locked(journal: Path) -> bool:
    """Whether the process that writes a journal lives; raises FileNotFoundError."""
    with journal.open("rb") as file:
        try:
            flock(file, LOCK_SH | LOCK_NB)
        except BlockingIOError:
            return True
        return False


def read_unfinished(trace: Path, journal: Path) -> Unfinished | None:
    """What a killed process left; None where nothing of the run was recorded, or its span ended.

    Raises OSError or TraceError.
    """
    changed_ns = journal.stat().st_mtime_ns
    started = _by_id(from_lines(journal.read_bytes(), str(journal)))
    written = trace.read_bytes() if trace.exists() else b""
    ended = _by_id(from_lines(written, str(trace)))
    left = [span for span_id, span in started.items() if span_id not in ended]
    root = next((span for span in left if semconv.RUN_ID in (span.attributes or {})), None)
    if root is None:
        return None
    times = [span.start_time or 0 for span in left] + [
        span.end_time or 0 for span in ended.values()
    ]
    return Unfinished(
        root=root,
        open=tuple(span for span in left if span is not root),
        ended=tuple(ended.values()),
        last_sign_ns=max(changed_ns, *times),
    )


def _by_id(spans: Sequence[ReadableSpan]) -> dict[int, ReadableSpan]:
    """The spans in the order in which they come first."""
    return {span.context.span_id: span for span in spans}


def _is(file: FileIO, path: Path) -> bool:
    """Whether the path still names the open file: a run that ended in time has deleted it."""
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    here = os.fstat(file.fileno())
    return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)
