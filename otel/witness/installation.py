"""Puts the witness into the process, and takes it out again."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trading_graph.otel.probe.plan import Plan
from trading_graph.otel.witness.activities import numbering
from trading_graph.otel.witness.delays import Delays
from trading_graph.otel.witness.faults import faults
from trading_graph.otel.witness.loops import watch_loops, watches
from trading_graph.otel.witness.patches import Patches
from trading_graph.otel.witness.pauses import pauses
from trading_graph.otel.witness.scheduling import watch_activities
from trading_graph.otel.witness.span_file import SpanFile
from trading_graph.otel.witness.spans import forget_spans, watch_spans
from trading_graph.otel.witness.thread_waits import watch_blocking
from trading_graph.otel.witness.waits import watch_waits
from trading_graph.otel.witness.watchdog import Watchdog

_patches = Patches()
_lock = threading.RLock()
_users = 0
_watchdog: Watchdog | None = None


def install(span_file: Path | str | None = None, *, blocked_after_s: float = 0.1) -> None:
    """Watch every span from now on; a second call changes nothing.

    It may come before or after tracer providers and instrumentors are set up. With a file, each
    span that ends is also written there, as a line of OTLP JSON. A loop that is blocked for longer
    than `blocked_after_s`, in seconds, is recorded with the line that blocks it.
    """
    global _users
    with _lock:
        if _users == 0:
            file = None if span_file is None else SpanFile(Path(span_file), faults.note)
            _install(file, blocked_after_s, finds_loops=True)
        _users = max(_users, 1)


def _install(file: SpanFile | None, blocked_after_s: float = 0.1, *, finds_loops: bool) -> None:
    global _watchdog
    _watchdog = Watchdog(lambda: watches.running, threshold_ns=int(blocked_after_s * 1e9))
    pauses.install()
    watch_activities(_patches)
    watch_waits(_patches)
    watch_blocking(_patches)
    watch_loops(_patches, finds_loops)
    watch_spans(_patches, _watchdog, None if file is None else file.write)
    _watchdog.start()


def hold(plan: Plan) -> None:
    """Hold spans and tasks as a plan says, until the witness is taken out; it has to be in.

    A second call changes nothing: each span is held once.
    """
    with _lock:
        if not numbering.is_on:
            Delays(plan).inject(_patches)


def uninstall() -> None:
    """Take the witness out; spans that are open end as if it had never been there."""
    global _users
    with _lock:
        _users = 0
        _patches.restore()
        numbering.is_on = False
        if _watchdog is not None:
            _watchdog.stop()
        watches.restore()
        pauses.restore()
        forget_spans()


def is_installed() -> bool:
    """Whether the witness watches the process."""
    return _users > 0


@contextmanager
def recording(*, finds_loops: bool = False) -> Iterator[None]:
    """Watch while the block runs; at its end, remove the witness if nobody else wants it.

    With `finds_loops`, loops that run already are looked for, which takes some milliseconds.
    """
    global _users
    with _lock:
        if _users == 0:
            _install(None, finds_loops=finds_loops)
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                uninstall()


def _after_fork() -> None:
    """Begin anew in a forked child: its threads are gone, and so are the loops that they ran."""
    global _lock
    _lock = threading.RLock()
    if _users and _watchdog is not None:
        watches.forget_running()
        _watchdog.start()


os.register_at_fork(after_in_child=_after_fork)
