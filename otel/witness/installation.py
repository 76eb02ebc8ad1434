"""Puts the witness into the process, and takes it out again."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trading_graph.otel.witness.activities import watch_activities
from trading_graph.otel.witness.blocking import watch_blocking
from trading_graph.otel.witness.faults import faults
from trading_graph.otel.witness.loops import watch_loops, watches
from trading_graph.otel.witness.patches import Patches
from trading_graph.otel.witness.pauses import pauses
from trading_graph.otel.witness.span_file import SpanFile
from trading_graph.otel.witness.spans import forget_spans, watch_spans
from trading_graph.otel.witness.waits import watch_waits

_patches = Patches()
_lock = threading.RLock()
_users = 0


def install(span_file: Path | None = None) -> None:
    """Watch every span from now on; a second call changes nothing.

    It may come before or after tracer providers and instrumentors are set up. With a file, each
    span that ends is also written there, as a line of OTLP JSON.
    """
    global _users
    with _lock:
        if _users == 0:
            _install(None if span_file is None else SpanFile(span_file, faults.note), True)
        _users = max(_users, 1)


def _install(file: SpanFile | None, finds_loops: bool) -> None:
    pauses.install()
    watch_activities(_patches)
    watch_waits(_patches)
    watch_blocking(_patches)
    watch_loops(_patches, finds_loops)
    watch_spans(_patches, None if file is None else file.write)


def uninstall() -> None:
    """Take the witness out; spans that are open end as if it had never been there."""
    global _users
    with _lock:
        _users = 0
        _patches.restore()
        watches.restore()
        pauses.restore()
        forget_spans()


def is_installed() -> bool:
    """Whether the witness watches the process."""
    return _users > 0


@contextmanager
def recording() -> Iterator[None]:
    """Watch while the block runs; at its end, remove the witness if nobody else wants it."""
    global _users
    with _lock:
        if _users == 0:
            _install(None, finds_loops=False)
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                uninstall()
