"""Puts the witness into the process, and takes it out again."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from trading_graph.otel.witness.activities import watch_activities
from trading_graph.otel.witness.blocking import watch_blocking
from trading_graph.otel.witness.loops import watch_loops, watches
from trading_graph.otel.witness.patches import Patches
from trading_graph.otel.witness.pauses import pauses
from trading_graph.otel.witness.spans import forget_spans, watch_spans
from trading_graph.otel.witness.waits import watch_waits

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

_patches = Patches()
_lock = threading.RLock()
_users = 0


def install(on_end: "Callable[[ReadableSpan], None] | None" = None) -> None:
    """Watch every span from now on; a second call changes nothing.

    It may come before or after tracer providers and instrumentors are set up. `on_end` is called
    with each span that ends, on the thread that ends it.
    """
    global _users
    with _lock:
        if _users == 0:
            pauses.install()
            watch_activities(_patches)
            watch_waits(_patches)
            watch_blocking(_patches)
            watch_loops(_patches)
            watch_spans(_patches, on_end)
        _users = max(_users, 1)


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
        installed_before = is_installed()
        install()
        _users += installed_before
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                uninstall()
