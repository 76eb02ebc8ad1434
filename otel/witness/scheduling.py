"""Follows every task, callback, job and thread from where it is started to where it runs."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from typing import Any

from trading_graph.otel.vocabularies.witness import Wait
from trading_graph.otel.witness.activities import (
    LEAST_WAIT_NS,
    TIMER,
    Activity,
    Cause,
    tracking,
)
from trading_graph.otel.witness.clock import now_ns
from trading_graph.otel.witness.cpu_time import thread_time
from trading_graph.otel.witness.current import (
    ATTRIBUTE,
    activity_of,
    current_activity,
    current_cause,
    here,
)
from trading_graph.otel.witness.faults import faults
from trading_graph.otel.witness.patches import Method, Patches


def _run_step(activity: Activity, callback: Callable[..., object], *args: object) -> None:
    """Run one step of a task."""
    before, here.cause = here.cause, activity
    activity.run()
    try:
        callback(*args)
    finally:
        here.cause = before
        activity.suspend()
        if callback.__self__.done():  # type: ignore[attr-defined]
            activity.finish()


def _run_callback(cause: Cause, callback: Callable[..., object], *args: object) -> None:
    """Run a callback on behalf of what scheduled it."""
    before, here.cause = here.cause, cause
    try:
        callback(*args)
    finally:
        here.cause = before


def run_job(job: Activity, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Run a job of an executor on the current thread."""
    began, queued, had = now_ns(), job.submitted, thread_time()
    before, here.cause = here.cause, job
    job.submitted = began
    note = None
    if queued and began - queued >= LEAST_WAIT_NS and tracking.spans and job.parent is not None:
        note = job.parent.tell_wait(Wait.EXECUTOR, queued, began)
    try:
        return function(*args, **kwargs)
    finally:
        if note is not None and job.spans:
            # The span outlives the job that started it: an instrumentor's callback was queued.
            note[0] = Wait.CALLBACK
        if tracking.spans:
            job.account(began, had)
        job.finish()
        # The future's callbacks run next, on this thread, and this job is their cause.
        if before is not None and not (isinstance(before, Activity) and before.is_over):
            here.cause = before


def _call_soon(original: Method) -> Method:
    def call_soon(
        loop: Any, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> Any:
        run: Callable[..., object] | None = None
        try:
            cause = here.cause or current_cause()
            task = getattr(callback, "__self__", None)
            if (
                isinstance(task, asyncio.Task)
                and getattr(callback, "__name__", type(callback).__name__) in STEPS
            ):
                activity = getattr(task, ATTRIBUTE, None) or activity_of(task)
                activity.wake(cause)
                run, cause = _run_step, activity
            elif cause is not None:
                run = _run_callback
        except Exception as error:
            faults.note(error)
        if run is None:
            return original(loop, callback, *args, context=context)
        return original(loop, run, cause, callback, *args, context=context)

    return call_soon


STEPS = frozenset({"TaskStepMethWrapper", "task_wakeup", "__step", "__wakeup"})
"""The names of a task's callbacks that are its next step, and not its `cancel`, for example.

CPython's task has a type for its first step and a built-in function for the others.
"""


def _call_soon_threadsafe(original: Method) -> Method:
    def call_soon_threadsafe(
        loop: Any, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> Any:
        cause = current_cause()
        return original(loop, _run_callback, cause, callback, *args, context=context)

    return call_soon_threadsafe


def _call_timed(original: Method) -> Method:
    def call_timed(
        loop: Any, time: float, callback: Callable[..., Any], *args: Any, context: Any = None
    ) -> Any:
        return original(loop, time, _run_callback, TIMER, callback, *args, context=context)

    return call_timed


def _create_task(original: Method) -> Method:
    def create_task(loop: Any, coroutine: Any, **kwargs: Any) -> Any:
        task = original(loop, coroutine, **kwargs)
        if not hasattr(task, ATTRIBUTE) and isinstance(task, asyncio.Task) and not task.done():
            # An eager task: it has run already, up to its first wait.
            activity_of(task).suspended_since = now_ns()
        return task

    return create_task


def _submit(original: Method) -> Method:
    def submit(
        executor: "ThreadPoolExecutor", function: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Any:
        job = Activity(current_activity())
        job.submitted = now_ns()
        return original(executor, run_job, job, function, *args, **kwargs)

    return submit


def _start_thread(original: Method) -> Method:
    def start(thread: threading.Thread) -> None:
        thread.__dict__[ATTRIBUTE] = current_activity()
        original(thread)

    return start


def watch_activities(patches: Patches) -> None:
    """Replace what creates tasks, callbacks, jobs and threads."""
    _watch_loop_class(patches, asyncio.BaseEventLoop)
    patches.when_imported("uvloop", lambda module: _watch_loop_class(patches, module.Loop))
    patches.replace(ThreadPoolExecutor, "submit", _submit)
    patches.replace(threading.Thread, "start", _start_thread)


def _watch_loop_class(patches: Patches, loop_class: type) -> None:
    patches.replace(loop_class, "call_soon", _call_soon)
    patches.replace(loop_class, "call_soon_threadsafe", _call_soon_threadsafe)
    patches.replace(loop_class, "call_at", _call_timed)
    if loop_class is not asyncio.BaseEventLoop:  # whose `call_later` calls `call_at`
        patches.replace(loop_class, "call_later", _call_timed)
    patches.replace(loop_class, "create_task", _create_task)
