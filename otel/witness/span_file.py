"""A file to which a process appends each span when it ends: one line of OTLP JSON, by one write.

So the file is readable whenever the process dies, also after `os._exit` and SIGKILL.
"""

import os
from collections.abc import Callable
from pathlib import Path

from opentelemetry.sdk.trace import ReadableSpan

from trading_graph.otel.files.span_lines import LineEncoder

_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT
_OWN_ONLY = 0o600  # Spans may hold prompts.


class SpanFile:
    """Writes ended spans, from any thread; a forked child writes to a file of its own.

    Nothing is ever raised: `failures` counts the spans that could not be written, and `on_failure`
    gets the first error. The file is made when the first span ends. There is no lock: a signal
    handler that ends a span would wait for itself.
    """

    def __init__(self, path: Path, on_failure: Callable[[Exception], None] | None = None) -> None:
        self.failures = 0
        self._path = path.absolute()  # The program may change its folder.
        self._on_failure = on_failure
        self._encoder = LineEncoder()
        self._pid = self._first_pid = os.getpid()
        self._file: tuple[int, tuple[int, int]] | None = None
        self._is_full = False

    @property
    def path(self) -> Path:
        """The file of this process."""
        pid = os.getpid()
        if pid == self._first_pid:
            return self._path
        return self._path.with_name(f"{self._path.stem}-{pid}{self._path.suffix}")

    def write(self, span: ReadableSpan) -> None:
        """Append a span that has ended."""
        try:
            if self._is_full:
                self.failures += 1
                return
            line = self._encoder.line(span)
            written = os.write(self._descriptor(), line)
            if written != len(line):
                # What follows would make half a line unreadable; at the end of a file it is not.
                self._is_full = True
                raise OSError(f"{written} of {len(line)} bytes could be written")
        except Exception as error:
            self.failures += 1
            if self.failures == 1 and self._on_failure is not None:
                self._on_failure(error)

    def _descriptor(self) -> int:
        """The open file; opened anew after a fork, and where the program closed it.

        A daemon closes whatever is open, and its next file gets the number: so the number alone
        does not say that it is our file.
        """
        pid = os.getpid()
        if self._file is not None and pid == self._pid:
            descriptor, identity = self._file
            try:
                found = os.fstat(descriptor)
            except OSError:
                pass
            else:
                if (found.st_dev, found.st_ino) == identity:
                    return descriptor
        descriptor = os.open(self.path, _FLAGS, _OWN_ONLY)
        opened = os.fstat(descriptor)
        self._pid, self._file = pid, (descriptor, (opened.st_dev, opened.st_ino))
        return descriptor
