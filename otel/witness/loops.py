"""How long each event loop was kept busy by one iteration, and so was late for everything else.

An iteration lasts from the return of the selector's `select` to its next call; the wrapper around
`select` sees both. uvloop has no selector: there a timer ticks while spans are open, and how late
it comes is how long the loop was busy. The time for which other programs had the CPU does not
count: a starved loop was not blocked.
"""

import asyncio
import gc
import itertools
import os
import threading
from collections import deque
from collections.abc import Sequence
from typing import Any

from trading_graph.otel.witness.activities import tracking
from trading_graph.otel.witness.clock import now_ns
from trading_graph.otel.witness.cpu_time import RunQueue
from trading_graph.otel.witness.current import current_activity, loop_runs
from trading_graph.otel.witness.faults import faults
from trading_graph.otel.witness.patches import Method, Patches
from trading_graph.otel.witness.timeline import CHILDREN

LEAST_NS = 1_000_000
"""A shorter iteration delays nobody that could tell."""

TICK_NS = 20_000_000
"""The period of the timer on uvloop: a stall can be up to one tick longer than recorded."""

MOST_STALLS = 10_000

_ids = itertools.count(1)


class LoopWatch:
    """One running event loop: the iterations that kept it busy for long, in order of time."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.loop_id = next(_ids)
        self.name = f"{os.getpid()}.{self.loop_id}"
        self._has_selector = hasattr(loop, "_selector")
        self.thread_id = threading.get_ident()
        self.native_id = threading.get_native_id()
        self._run_queue = RunQueue()
        self._busy_since: int | None = None
        self._account: bytes | None = None
        self._account_ns = 0
        self._stalls: deque[tuple[int, int, int]] = deque(maxlen=MOST_STALLS)
        self._due = 0

    @property
    def busy_since_ns(self) -> int | None:
        """Since when the current iteration has kept the loop busy; None while it waits."""
        if self._due:
            return self._due if now_ns() > self._due + LEAST_NS else None
        return self._busy_since

    def settle(self) -> None:
        """Note that the current thread runs the loop: another one, or a forked child's."""
        if self.native_id != threading.get_native_id():
            self.name = f"{os.getpid()}.{self.loop_id}"
            self.thread_id, self.native_id = threading.get_ident(), threading.get_native_id()
            self._run_queue.close()
            self._run_queue, self._account = RunQueue(), None

    def begin(self) -> None:
        """Note that an iteration begins."""
        self._busy_since = now = now_ns()
        if not tracking.spans:
            self._account = None
        elif self._account is None or now - self._account_ns >= LEAST_NS:
            # In between the thread can have waited for a CPU for no longer than counts.
            self._read_account(now)

    def end(self) -> None:
        """Note that the loop waits again."""
        since, self._busy_since = self._busy_since, None
        if since is not None and (now := now_ns()) - since >= LEAST_NS:
            self._note(since, now)

    def tick(self) -> None:
        """Note how late this call of the timer is, and set the next one while spans are open."""
        now = now_ns()
        if self._due and now - self._due >= LEAST_NS:
            self._note(self._due, now)
        if tracking.spans and not self.loop.is_closed():
            self._read_account(now)
            self._due = now_ns() + TICK_NS
            self.loop.call_later(TICK_NS / 1e9, self.tick)
        else:
            self._due, self._account = 0, None  # which would be old when the next span opens

    def note_span(self) -> None:
        """Note that a span opens: from now on the run queue counts, and the timer has to tick."""
        if self._account is None:
            self._read_account(now_ns())
        if not self._has_selector and not self._due:
            self._due = now_ns() + TICK_NS
            self.loop.call_soon_threadsafe(self.tick)

    def lag_ns(self, start: int, end: int) -> int:
        """The longest time for which the loop was busy at a stretch inside a window."""
        if end - start < LEAST_NS:
            return 0
        longest = 0
        since = self.busy_since_ns
        if since is not None and end - max(since, start) > LEAST_NS:
            length = end - max(since, start)
            longest = length - min(length, self._queued())
        for began, ended, queued in reversed(self._stalls):
            if ended <= start:
                break
            inside = min(ended, end) - max(began, start)
            if inside > longest:
                longest = max(longest, inside - min(inside, queued))
        return max(longest, 0)

    def close(self) -> None:
        """Note that the loop has stopped; what was recorded stays for spans that end later."""
        self.end()
        self._due = 0
        self._run_queue.close()

    def _note(self, began: int, ended: int) -> None:
        self._stalls.append((began, ended, self._queued()))

    def _queued(self) -> int:
        """How long the thread has waited for a CPU in this iteration."""
        before = self._account
        return 0 if before is None else self._run_queue.waited_ns(before)

    def _read_account(self, now: int) -> None:
        self._account, self._account_ns = self._run_queue.text(), now


class LoopWatches:
    """The loops of the process that run, and those that ran last."""

    def __init__(self) -> None:
        self._by_loop: dict[int, LoopWatch] = {}
        self._running: dict[int, LoopWatch] = {}

    @property
    def running(self) -> Sequence[LoopWatch]:
        """The loops that run now."""
        return tuple(self._running.values())

    def of(self, loop_id: int) -> LoopWatch | None:
        """The watch of the loop with an id of Python's."""
        return self._by_loop.get(loop_id)

    @property
    def only(self) -> LoopWatch | None:
        """The only loop that runs; None where there are several, or none."""
        return next(iter(self._running.values())) if len(self._running) == 1 else None

    def watch(self, loop: asyncio.AbstractEventLoop) -> LoopWatch:
        """Watch a loop that the current thread runs."""
        watch = self._by_loop.get(id(loop))
        if watch is None or watch.loop is not loop:
            watch = LoopWatch(loop)
            _hook_selector(loop, watch)
            self._forget_closed()
            self._by_loop[id(loop)] = watch
        watch.settle()
        self._running[id(loop)] = watch
        return watch

    def leave(self, loop: asyncio.AbstractEventLoop) -> None:
        """Note that a loop stops running."""
        watch = self._running.pop(id(loop), None)
        if watch is not None:
            watch.end()

    def forget_running(self) -> None:
        """Forget which loops run."""
        self._running.clear()

    def restore(self) -> None:
        """Take the wrappers of all selectors off again."""
        for watch in self._by_loop.values():
            selector = getattr(watch.loop, "_selector", None)
            if selector is not None:
                selector.__dict__.pop("select", None)
            watch.close()
        self._by_loop.clear()
        self._running.clear()

    def _forget_closed(self) -> None:
        for key, watch in list(self._by_loop.items()):
            if watch.loop.is_closed():
                del self._by_loop[key]
                watch.close()


watches = LoopWatches()


def watch_loops(patches: Patches, finds_others: bool) -> None:
    """Watch every loop from when it starts to run, and the one that runs here.

    `finds_others` looks for those that run in other threads, among all objects of the process.
    """
    patches.replace(asyncio.BaseEventLoop, "run_forever", _run_forever)
    patches.when_imported(
        "uvloop", lambda module: patches.replace(module.Loop, "run_forever", _run_forever)
    )
    here = asyncio._get_running_loop()
    if here is not None:
        watches.watch(here).begin()
    for each in gc.get_objects() if finds_others else ():
        # isinstance would call what a proxy object calls its class.
        if issubclass(type(each), asyncio.AbstractEventLoop) and each is not here:
            _watch_running(each)


def _watch_running(loop: asyncio.AbstractEventLoop) -> None:
    """Watch a loop that another thread runs; that thread has to begin it."""
    try:
        if loop.is_running():
            loop.call_soon_threadsafe(watches.watch, loop)
    except Exception as error:
        faults.note(error)


def _run_forever(original: Method) -> Method:
    def run_forever(loop: asyncio.AbstractEventLoop) -> None:
        watch, activity, since = None, None, now_ns()
        try:
            activity = current_activity()
            watch = watches.watch(loop)
        except Exception as error:
            faults.note(error)
        try:
            with loop_runs():
                original(loop)
        finally:
            if watch is not None:
                watches.leave(loop)
            if activity is not None and tracking.spans:
                activity.spend(CHILDREN, since, now_ns())

    return run_forever


def _hook_selector(loop: asyncio.AbstractEventLoop, watch: LoopWatch) -> None:
    selector: Any = getattr(loop, "_selector", None)
    if selector is None:
        return
    select = selector.select

    def watched_select(timeout: float | None = None) -> Any:
        watch.end()
        events = select(timeout)
        watch.begin()
        return events

    selector.select = watched_select
