"""The journal of a run: the spans that have started, in a file beside the trace.

A killed process cannot say what it left open. The journal stands beside the trace until the run is
over, in the same form, and every span's start is in it before its end is in the trace. A lock on
the journal tells a live run from a killed one: the system releases it with the process. The time of
its last change is the process's last sign of life.
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
from opentelemetry.trace import StatusCode

from trading_graph.otel.files.sdk_spans import from_lines
from trading_graph.otel.files.span_lines import to_line
from trading_graph.otel.spans import UnfinishedRun
from trading_graph.otel.trace import semconv

_BEAT_NS = 1_000_000_000
_TRIES, _PAUSE_S = 5, 0.02


class Journal:
    """The journal of a run of this process. Blocks; raises OSError."""

    def __init__(self, path: Path, file: FileIO) -> None:
        self.path = path
        self._file = file
        self._last_change_ns = time.monotonic_ns()

    @classmethod
    def begin(cls, path: Path) -> Self:
        """Create a journal that is locked before anybody can see it."""
        partial = path.with_name(f".{path.name}.partial")
        file = FileIO(partial, "ab")
        flock(file, LOCK_EX | LOCK_NB)
        os.replace(partial, path)
        return cls(path, file)

    @classmethod
    def take_up(cls, path: Path) -> Self | None:
        """Take over the journal of a killed process.

        Returns None where a live process holds it, or where its run is over. Raises
        FileNotFoundError where there is none.
        """
        file = FileIO(path, "r+b")
        # A process that checks whether the run is alive holds the lock for a moment.
        for _ in range(_TRIES):
            try:
                flock(file, LOCK_EX | LOCK_NB)
            except BlockingIOError:
                time.sleep(_PAUSE_S)
                continue
            if _is_at(path, file):
                return cls(path, file)
            break
        file.close()
        return None

    def write(self, starts: Sequence[ReadableSpan]) -> None:
        """Record that spans have started; nothing is written where an error is raised."""
        self.append(to_line(starts))

    def append(self, lines: bytes) -> None:
        """Append whole lines, or nothing."""
        append(self._file, lines)
        self._last_change_ns = time.monotonic_ns()

    def beat(self) -> None:
        """Give a sign of life if the last one is a second old."""
        now = time.monotonic_ns()
        if now - self._last_change_ns >= _BEAT_NS:
            self._last_change_ns = now
            with suppress(OSError):  # the last sign then looks older than it is
                os.utime(self._file.fileno())

    def mend(self) -> None:
        """Cut off an incomplete last line, so that more can follow."""
        mend(self._file)

    def close(self, *, over: bool) -> None:
        """Release the journal; delete it if the run is over."""
        if over:
            self.path.unlink(missing_ok=True)
        self._file.close()


def append(file: FileIO, lines: bytes) -> None:
    """Append whole lines, or nothing where an error is raised: a full disk takes only a part."""
    begin = file.seek(0, os.SEEK_END)
    rest = memoryview(lines)
    try:
        while rest:
            rest = rest[file.write(rest) :]
    except OSError:
        file.truncate(begin)
        raise


def mend(file: FileIO) -> None:
    """Cut off an incomplete last line, and go to the end."""
    file.seek(0)
    content = file.readall()
    end = content.rfind(b"\n") + 1
    if end < len(content):
        file.truncate(end)
    file.seek(end)


def is_locked(journal: Path) -> bool:
    """Return whether the process that writes a journal is alive; raises FileNotFoundError."""
    with journal.open("rb") as file:
        try:
            flock(file, LOCK_SH | LOCK_NB)
        except BlockingIOError:
            return True
        return False


def read_unfinished_run(trace: Path, journal: Path) -> UnfinishedRun | None:
    """Read the spans of a killed or failed run from its files.

    Returns None where nothing of the run was recorded, or where its span has ended well. Raises
    OSError or TraceError.
    """
    changed_ns = journal.stat().st_mtime_ns
    starts = _by_id(from_lines(journal.read_bytes(), str(journal)))
    content = trace.read_bytes() if trace.exists() else b""
    ends = _by_id(from_lines(content, str(trace)))
    open_spans = [span for span_id, span in starts.items() if span_id not in ends]
    root = next((span for span in open_spans if semconv.RUN_ID in (span.attributes or {})), None)
    if root is None:
        root = next((span for span in ends.values() if _is_failed_run(span)), None)
    if root is None:
        return None
    # A process that went on with a failed run may have been killed.
    failed = root.end_time is not None and not open_spans
    times = [span.start_time or 0 for span in open_spans] + [
        span.end_time or 0 for span in ends.values()
    ]
    return UnfinishedRun(
        root=root,
        open_spans=tuple(span for span in open_spans if span is not root),
        ended_spans=tuple(span for span in ends.values() if span is not root),
        last_sign_ns=max([changed_ns, *times]),
        failure=str((root.attributes or {}).get(semconv.ERROR_TYPE, "")) if failed else "",
    )


def read_ended_run(trace: Path) -> UnfinishedRun | None:
    """Read the spans of a run that has ended, so that another process can go on with it.

    Returns None where there is no trace, or no span of a run in it. Raises OSError or TraceError.
    """
    if not trace.exists():
        return None
    spans = _by_id(from_lines(trace.read_bytes(), str(trace)))
    root = next(
        (span for span in spans.values() if semconv.RUN_ID in (span.attributes or {})), None
    )
    if root is None:
        return None
    failure = (root.attributes or {}).get(semconv.ERROR_TYPE, semconv.ENDED)
    return UnfinishedRun(
        root=root,
        open_spans=(),
        ended_spans=tuple(span for span in spans.values() if span is not root),
        last_sign_ns=max([span.end_time or 0 for span in spans.values()]),
        failure=str(failure),
    )


def _is_failed_run(span: ReadableSpan) -> bool:
    is_run = semconv.RUN_ID in (span.attributes or {})
    return is_run and span.status.status_code is StatusCode.ERROR


def _by_id(spans: Sequence[ReadableSpan]) -> dict[int, ReadableSpan]:
    """Index the spans by id, in the order in which they come first."""
    return {span.context.span_id: span for span in spans}


def _is_at(path: Path, file: FileIO) -> bool:
    """Return whether the path still names the open file; a run that just ended has deleted it."""
    try:
        on_disk = path.stat()
    except FileNotFoundError:
        return False
    open_file = os.fstat(file.fileno())
    return (open_file.st_dev, open_file.st_ino) == (on_disk.st_dev, on_disk.st_ino)
