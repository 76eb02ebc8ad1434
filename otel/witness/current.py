"""Which activity runs now, and what caused it."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from trading_graph.otel.witness.activities import Activity, Cause

ATTRIBUTE = "_trading_graph_activity"
"""Where a task, or a thread, keeps the activity that it is, or that started it."""


class _Here(threading.local):
    """What runs on the current thread, and what caused it."""

    cause: Cause = None
    activity: Activity | None = None


here = _Here()


def thread_activity() -> Activity:
    """The activity that the current thread is, outside all tasks and jobs."""
    activity = here.activity
    if activity is None:
        # `current_thread` would make a dummy of a thread that is only starting.
        thread = threading._active.get(threading.get_ident())  # type: ignore[attr-defined]
        activity = Activity(getattr(thread, ATTRIBUTE, None))
        activity.is_main = thread is threading.main_thread()
        if thread is not None:
            here.activity = activity
    return activity


def running_task() -> "asyncio.Task[Any] | None":
    """The task whose step runs now on this thread."""
    loop = asyncio._get_running_loop()
    return None if loop is None else asyncio.current_task(loop)


def activity_of(task: "asyncio.Task[Any]") -> Activity:
    """The activity of a task; one that was not seen before was started by what runs now."""
    activity: Activity | None = getattr(task, ATTRIBUTE, None)
    if activity is None:
        cause = here.cause
        parent = cause if isinstance(cause, Activity) else None
        if parent is None:
            running = running_task()
            if running is None:
                parent = thread_activity()
            elif running is not task:
                parent = activity_of(running)
        activity = Activity(parent, id(task.get_loop()))
        setattr(task, ATTRIBUTE, activity)  # C tasks take attributes, and have no __dict__
    return activity


def current_activity() -> Activity:
    """The activity that runs now: a task, a job, or what scheduled the running callback."""
    task = running_task()
    if task is not None:
        return activity_of(task)
    cause = here.cause
    if isinstance(cause, Activity) and not cause.is_over:
        return cause
    return thread_activity()


def current_cause() -> Cause:
    """What caused the callback, task or job that runs now."""
    cause = here.cause
    if cause is not None:
        return cause
    task = running_task()
    if task is not None:  # a step that was scheduled before the witness was installed
        return activity_of(task)
    return thread_activity() if asyncio._get_running_loop() is None else None


@contextmanager
def loop_runs() -> Iterator[None]:
    """Mark that the thread runs a loop: what has no other cause then comes from its selector."""
    before, here.cause = here.cause, None
    try:
        yield
    finally:
        here.cause = before
