"""The log of a run: one file, to which its spans are appended as they start and as they end.

The log is the run's trace file. Whatever is no ended span stands in a field of its own beside an
empty list of spans, and a reader of OTLP takes such a line for a message without spans:

    {"resourceSpans":[],"logOf":"NAME"}       the first line: the folder that the log belongs to
    {"resourceSpans":[],"started":[...]}      spans that have started, as `resourceSpans` has them
    {"resourceSpans":[...]}                   spans that have ended
    {"resourceSpans":[],"isOver":true}        the last line of a run that is over

A killed process cannot say what it left open, but every span's start is in its log before its end.
A lock on the log tells a live run from a killed one: the system releases it with the process. The
time of the last change is the process's last sign of life. In another folder than its own, a log is
a trace like any other.
"""

import json
import os
import time
from contextlib import suppress
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, flock
from io import FileIO
from pathlib import Path
from typing import Self

_BEAT_NS = 1_000_000_000
_TRIES, _PAUSE_S = 5, 0.02

_SPANS = b'{"resourceSpans":'
_STARTED = b'{"resourceSpans":[],"started":'
_OVER = b'{"resourceSpans":[],"isOver":true}\n'

JOURNAL = "open.jsonl"
"""Where 0.1 wrote the starts: a file beside the trace, which the end of the run deleted."""


class RunLog:
    """The log of a run of this process, which holds its lock. Blocks; raises OSError."""

    def __init__(self, path: Path, file: FileIO) -> None:
        self.path = path
        self._file = file
        self._last_change_ns = time.monotonic_ns()

    @classmethod
    def begin(cls, path: Path, lines: bytes = b"") -> Self:
        """Create a log that is locked before anybody can see it; `lines` are there already."""
        partial = path.with_name(f".{path.name}.partial")
        partial.unlink(missing_ok=True)
        file = FileIO(partial, "a+b")
        flock(file, LOCK_EX | LOCK_NB)
        append(file, _first_line(path) + lines)
        os.replace(partial, path)
        return cls(path, file)

    @classmethod
    def take_up(cls, path: Path) -> Self | None:
        """Take over the log of another process; None where that is alive.

        A trace that is no log becomes one. Raises FileNotFoundError where there is no file.
        """
        file = FileIO(path, "r+b")
        if not lock(path, file):
            file.close()
            return None
        if is_log(path):
            return cls(path, file)
        with file:
            mend(file)
            return cls.begin(path, path.read_bytes())

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
        """Release the log; with `over`, its last line says that the run is."""
        if over:
            with suppress(OSError):  # the end of the run's span says it too
                append(self._file, _OVER)
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


def started_line(line: bytes) -> bytes:
    """The line of spans that have started, from one as spans are written."""
    return _STARTED + line.removeprefix(_SPANS)


def as_spans(content: bytes) -> bytes:
    """The text of a log in which a span that has started is a span with an end of 0."""
    return content.replace(b"\n" + _STARTED, b"\n" + _SPANS)


def is_open(path: Path) -> bool:
    """Whether there is the log of a run that is not over, or whose process could not say so."""
    if not is_log(path):
        return False
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - len(_OVER)))
        return file.read() != _OVER


def is_locked(path: Path) -> bool:
    """Whether the process that writes a log is alive; raises FileNotFoundError."""
    with path.open("rb") as file:
        try:
            flock(file, LOCK_SH | LOCK_NB)
        except BlockingIOError:
            return True
        return False


def _first_line(path: Path) -> bytes:
    name = json.dumps(path.absolute().parent.name)
    return b'{"resourceSpans":[],"logOf":%b}\n' % name.encode()


def is_log(path: Path) -> bool:
    """Whether there is the log of a run, in its own folder."""
    first = _first_line(path)
    try:
        with path.open("rb") as file:
            return file.read(len(first)) == first
    except FileNotFoundError:
        return False


def lock(path: Path, file: FileIO) -> bool:
    """Lock a file, if no live process has it and the path still names it."""
    # A process that checks whether the run is alive holds the lock for a moment.
    for _ in range(_TRIES):
        try:
            flock(file, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            time.sleep(_PAUSE_S)
            continue
        with suppress(FileNotFoundError):
            return os.path.samestat(os.fstat(file.fileno()), path.stat())
        return False
    return False
