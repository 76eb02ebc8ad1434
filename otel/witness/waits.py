"""The waits for a turn: at semaphores, locks, limiters, queues and connection pools.

A wait at one of these is given its kind here. What other classes make a task wait for is told by
what wakes it (see `activities`).
"""

import asyncio
import weakref
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, TypeVar

from trading_graph.otel.vocabularies.witness import Wait
from trading_graph.otel.witness.activities import Activity, Turn, tracking
from trading_graph.otel.witness.clock import now_ns
from trading_graph.otel.witness.current import current_activity
from trading_graph.otel.witness.faults import faults
from trading_graph.otel.witness.patches import Method, Patches
from trading_graph.otel.witness.scheduling import run_job
from trading_graph.otel.witness.thread_waits import block

T = TypeVar("T")

_QUEUE_ATTRIBUTE = "_trading_graph_items"

MOST_ITEMS = 10_000


@contextmanager
def waiting(kind: str) -> Iterator[None]:
    """Mark that the current task, or thread, waits for its turn inside the block.

    `kind` is one of `Wait`, or a word of the program's own, and stands on the span as
    `witness.wait.kind`. Use it where a limit sleeps until there is room: nothing else tells such a
    sleep from work.
    """
    activity = current_activity()
    before, activity.waiting = activity.waiting, activity.waiting or kind
    began = now_ns()
    try:
        yield
    finally:
        activity.waiting = before
        if before is None and activity.loop_id is None and tracking.spans:
            activity.spend(kind, began, now_ns())


async def _wait(operation: Awaitable[T], kind: "str | Turn") -> T:
    activity = current_activity()
    if activity.waiting is not None:
        return await operation
    activity.waiting = kind
    try:
        return await operation
    finally:
        activity.waiting = None


def watch_waits(patches: Patches) -> None:
    """Replace the methods that wait."""
    patches.replace(asyncio.Semaphore, "acquire", _acquire(Wait.SEMAPHORE))
    patches.replace(asyncio.Lock, "acquire", _acquire(Wait.LOCK))
    patches.replace(asyncio.Queue, "get", _get)
    patches.replace(asyncio.Queue, "put", _put)
    patches.replace(asyncio.Queue, "get_nowait", _get_nowait)
    patches.replace(asyncio.Queue, "put_nowait", _put_nowait)
    patches.when_imported("aiohttp.connector", lambda module: _watch_aiohttp(patches, module))
    for package in ("httpcore", "httpcore2"):
        patches.when_imported(
            f"{package}._async.connection_pool", lambda module: _watch_httpcore(patches, module)
        )
        patches.when_imported(
            f"{package}._sync.connection_pool", lambda module: _watch_httpcore(patches, module)
        )
    patches.when_imported("anyio._backends._asyncio", lambda module: _watch_anyio(patches, module))


def _acquire(kind: Wait) -> Callable[[Method], Method]:
    def make(original: Method) -> Method:
        def acquire(primitive: Any) -> Any:
            if not primitive.locked():
                return original(primitive)
            return _wait(original(primitive), kind)

        return acquire

    return make


def _always(kind: Wait) -> Callable[[Method], Method]:
    """Give a coroutine method that is called only in order to wait its kind."""

    def make(original: Method) -> Method:
        def wait(*args: Any, **kwargs: Any) -> Any:
            return _wait(original(*args, **kwargs), kind)

        return wait

    return make


class Items(Turn):
    """The items of a queue: who put each and when, and who took it.

    A queue to which what was taken comes back is a pool, and waiting at it is waiting for a turn.
    """

    def __init__(self) -> None:
        self.put: dict[int, tuple[Activity, int]] = {}
        self.taken: dict[int, tuple[Callable[[], object], Activity]] = {}

    def note_put(self, item: object) -> None:
        """Note that the current activity puts an item."""
        activity = current_activity()
        taken = self.taken.pop(id(item), None)
        if taken is not None and taken[0]() is item and taken[1] is activity:
            self.kind = Wait.CONNECTION_POOL
        if len(self.put) < MOST_ITEMS:
            self.put[id(item)] = activity, now_ns()

    def note_get(self, item: object) -> None:
        """Note that the current activity takes an item."""
        activity = current_activity()
        putter, put_ns = self.put.pop(id(item), (activity, 0))
        if putter is not activity:
            if putter.taken is None:
                putter.taken = {}
            putter.taken[activity] = put_ns, now_ns()
        if len(self.taken) >= MOST_ITEMS:
            self.taken.clear()
        try:
            self.taken[id(item)] = weakref.ref(item), activity
        except TypeError:
            if item is None or isinstance(item, bool | int | str):
                self.taken[id(item)] = lambda: item, activity


def _items(q: Any) -> Items:
    items: Items | None = q.__dict__.get(_QUEUE_ATTRIBUTE)
    if items is None:
        items = q.__dict__[_QUEUE_ATTRIBUTE] = Items()
    return items


def _get(original: Method) -> Method:
    def get(q: "asyncio.Queue[Any]") -> Any:
        return _wait(original(q), _items(q)) if q.empty() else original(q)

    return get


def _put(original: Method) -> Method:
    def put(q: "asyncio.Queue[Any]", item: object) -> Any:
        return _wait(original(q, item), Wait.QUEUE) if q.full() else original(q, item)

    return put


def _get_nowait(original: Method) -> Method:
    def get_nowait(q: "asyncio.Queue[Any]") -> Any:
        item = original(q)
        if tracking.spans:
            try:
                _items(q).note_get(item)
            except Exception as error:
                faults.note(error)
        return item

    return get_nowait


def _put_nowait(original: Method) -> Method:
    def put_nowait(q: "asyncio.Queue[Any]", item: object) -> None:
        if tracking.spans:
            try:
                _items(q).note_put(item)
            except Exception as error:
                faults.note(error)
        original(q, item)

    return put_nowait


def _watch_aiohttp(patches: Patches, module: ModuleType) -> None:
    pool_wait = _always(Wait.CONNECTION_POOL)
    patches.replace(module.BaseConnector, "_wait_for_available_connection", pool_wait)


def _watch_httpcore(patches: Patches, module: ModuleType) -> None:
    request: Any = getattr(module, "AsyncPoolRequest", None)
    if request is not None:
        pool_wait = _always(Wait.CONNECTION_POOL)
        patches.replace(request, "wait_for_connection", pool_wait)
    else:
        patches.replace(module.PoolRequest, "wait_for_connection", block(Wait.CONNECTION_POOL))


def _watch_anyio(patches: Patches, module: ModuleType) -> None:
    limiter_wait = _always(Wait.LIMITER)
    patches.replace(module.CapacityLimiter, "acquire_on_behalf_of", limiter_wait)
    patches.replace(module.AsyncIOBackend, "run_sync_in_worker_thread", _run_in_worker_thread)
    for name, kind in (("Semaphore", Wait.SEMAPHORE), ("Lock", Wait.LOCK)):
        if (primitive := getattr(module, name, None)) is not None:
            patches.replace(primitive, "acquire", _always(kind))


def _run_in_worker_thread(original: Method) -> Method:
    def run_sync_in_worker_thread(
        function: Any, args: tuple[Any, ...], *more: Any, **kw: Any
    ) -> Any:
        job = Activity(current_activity())
        return original(run_job, (job, function, *args), *more, **kw)

    return run_sync_in_worker_thread
