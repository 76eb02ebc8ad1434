"""How long the current thread had a CPU, and how long it waited for one."""

import threading
from time import thread_time_ns
from typing import NamedTuple

from trading_graph.otel.witness.run_queue import RunQueue


class ThreadTime(NamedTuple):
    """Nanoseconds since the thread began."""

    running: int
    queued: int


class _Thread(threading.local):
    """The run queue of the current thread; its descriptor is closed when the thread is gone."""

    def __init__(self) -> None:
        self.run_queue = RunQueue()


_thread = _Thread()


def thread_time() -> ThreadTime:
    """The time of the current thread so far."""
    return ThreadTime(thread_time_ns(), _thread.run_queue.waited_ns())
