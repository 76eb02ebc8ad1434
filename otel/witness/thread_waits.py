"""What a thread without an event loop waits for: sockets, sleeps, other threads, processes.

A call that blocks an event loop is that loop's lag; here only other threads count. What a thread
waits for elsewhere, such as a `threading.Lock`, cannot be seen and is not accounted for.
"""

import queue
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any

from trading_graph.otel.vocabularies.witness import Wait
from trading_graph.otel.witness import timeline
from trading_graph.otel.witness.activities import LEAST_WAIT_NS, tracking
from trading_graph.otel.witness.clock import now_ns
from trading_graph.otel.witness.current import current_activity, current_cause
from trading_graph.otel.witness.faults import faults
from trading_graph.otel.witness.patches import Method, Patches

_NOTIFIER = "_trading_graph_notifier"


class _Thread(threading.local):
    is_blocked = False
    """Whether one of these calls goes on: what it calls in its turn is a part of it."""


_thread = _Thread()


def watch_blocking(patches: Patches) -> None:
    """Replace the functions that block."""
    patches.replace(time, "sleep", block(timeline.TIMER))
    for name in ("accept", "connect", "recv", "recv_into", "recvfrom", "send", "sendall"):
        patches.replace(socket.socket, name, _on_socket)
    for name in ("do_handshake", "read", "recv", "recv_into", "send", "sendall"):
        patches.replace(ssl.SSLSocket, name, _on_socket)
    patches.replace(socket, "getaddrinfo", block(timeline.SOCKET))
    patches.replace(subprocess.Popen, "wait", block(timeline.CHILDREN))
    patches.replace(subprocess.Popen, "communicate", block(timeline.CHILDREN))
    patches.replace(threading.Thread, "join", block(timeline.CHILDREN))
    for name in ("acquire", "__enter__"):
        patches.replace(threading.Semaphore, name, block(Wait.SEMAPHORE))
    patches.replace(queue.Queue, "put", block(Wait.QUEUE))
    patches.replace(queue.Queue, "get", block(timeline.IDLE))
    patches.replace(threading.Condition, "wait", _wait)
    patches.replace(threading.Condition, "notify", _notify)


def block(kind: str) -> Callable[[Method], Method]:
    """Make a method that notes how long it blocked its thread, and for what."""

    def make(original: Method) -> Method:
        def blocking(*args: Any, **kwargs: Any) -> Any:
            if not tracking.spans or _thread.is_blocked:
                return original(*args, **kwargs)
            _thread.is_blocked, began = True, now_ns()
            try:
                return original(*args, **kwargs)
            finally:
                _thread.is_blocked = False
                _note(kind, began)

        return blocking

    return make


def _on_socket(original: Method) -> Method:
    blocking = block(timeline.SOCKET)(original)

    def on_socket(sock: socket.socket, *args: Any, **kwargs: Any) -> Any:
        # An event loop calls its sockets all the time, and they never block.
        method = original if sock.gettimeout() == 0 else blocking
        return method(sock, *args, **kwargs)

    return on_socket


def _note(kind: str, began: int) -> None:
    ended = now_ns()
    if ended - began < LEAST_WAIT_NS:
        return
    try:
        activity = current_activity()
        if activity.loop_id is None:
            waiting = activity.waiting
            activity.spend(waiting if isinstance(waiting, str) else kind, began, ended)
    except Exception as error:
        faults.note(error)


def _wait(original: Method) -> Method:
    def wait(condition: Any, timeout: float | None = None) -> Any:
        if not tracking.spans or _thread.is_blocked:
            return original(condition, timeout)
        _thread.is_blocked, began = True, now_ns()
        try:
            return original(condition, timeout)
        finally:
            _thread.is_blocked = False
            activity = current_activity()
            if activity.loop_id is None:
                _note(activity.kind_of(condition.__dict__.pop(_NOTIFIER, activity)), began)

    return wait


def _notify(original: Method) -> Method:
    def notify(condition: Any, n: int = 1) -> None:
        if tracking.spans:
            condition.__dict__[_NOTIFIER] = current_cause()
        original(condition, n)

    return notify
