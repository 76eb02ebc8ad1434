"""Tasks and executor jobs: who started which, what each did when, and what woke it.

An activity is a task, a job of an executor, or a thread. Its parent is the activity that started
it. A task is suspended until something schedules its next step. That happens in a callback, and
each callback knows its cause: a timer, a message of another thread, the activity that scheduled it,
or none of these, which leaves the loop's selector: input or output.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context
from time import time_ns
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from trading_graph.otel.vocabularies.witness import Wait
from trading_graph.otel.witness import timeline
from trading_graph.otel.witness.faults import faults
from trading_graph.otel.witness.patches import Method, Patches
from trading_graph.otel.witness.thread_time import ThreadTime, thread_time
from trading_graph.otel.witness.timeline import WAITS, Timeline

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

    from trading_graph.otel.witness.spans import OpenSpan

LEAST_WAIT_NS = 100_000
"""A shorter wait is what switching to another task costs."""

_ATTRIBUTE = "_trading_graph_activity"


class Timer:
    """The cause of what a timer calls."""


TIMER: Final = Timer()
Cause: TypeAlias = "Activity | Timer | None"


class Turn:
    """What an activity waits for at a queue: known only when the wait is over."""

    kind: str = timeline.IDLE


class Activity:
    """A task, a job or a thread."""

    __slots__ = (
        "is_main",
        "is_over",
        "loop_id",
        "parent",
        "ready_since",
        "running_since",
        "spans",
        "submitted",
        "suspended_since",
        "taken",
        "timeline",
        "waiting",
    )

    def __init__(self, parent: "Activity | None", loop_id: int | None = None) -> None:
        # A chain of activities that each start the next must not keep all that are over.
        while parent is not None and parent.parent is not None and parent.parent.is_over:
            parent.parent = parent.parent.parent
        self.parent: Activity | None = parent
        self.loop_id = loop_id
        self.is_over: bool = False
        self.is_main = False
        self.spans: list[OpenSpan] = []
        self.timeline = Timeline()
        self.waiting: str | Turn | None = None
        self.taken: dict[Activity, tuple[int, int]] | None = None
        self.running_since = self.suspended_since = self.ready_since = self.submitted = 0

    def is_below(self, other: "Activity") -> bool:
        """Whether this activity was started by another, directly or through others."""
        above = self.parent
        while above is not None:
            if above is other:
                return True
            above = above.parent
        return False

    def is_helper(self) -> bool:
        """Whether this is a thread beside the program's own, and no task or job."""
        return self.loop_id is None and not self.submitted and not self.is_main

    def innermost_span(self) -> "OpenSpan | None":
        """The innermost open span of the nearest activity, this or above it, that has one."""
        activity: Activity | None = self
        while activity is not None:
            if activity.spans:
                return activity.spans[-1]
            activity = activity.parent
        return None

    def spend(self, kind: str, start: int, end: int) -> None:
        """Note what a stretch of time was spent on, and tell the span if it was a wait.

        Time that nothing explains is told too where it belongs to a span of an activity above.
        """
        self.timeline.add(kind, start, end)
        is_told = kind in WAITS or (kind == timeline.UNACCOUNTED and not self.spans)
        if is_told and end - start >= LEAST_WAIT_NS:
            self.tell_wait(kind, start, end)

    def tell_wait(self, kind: str, start: int, end: int) -> "list[Any] | None":
        """Note a wait on the span that it belongs to; return the note, which can be corrected."""
        span = self.innermost_span()
        return None if span is None else span.add_wait(kind, start, end)

    def wake(self, cause: Cause) -> None:
        """Note that the next step was scheduled, and what the time until now was spent on."""
        now = time_ns()
        if self.suspended_since and tracking.spans:
            self._settle(self.suspended_since, now, cause)
        self.suspended_since = 0
        self.ready_since = now

    def totals(self, start: int, end: int, cause: Cause) -> dict[str, int]:
        """The nanoseconds of each kind inside a window that ends now or earlier."""
        sums = self.timeline.totals(start, end)
        for kind, since in (
            (timeline.RUNNING, self.running_since),
            (timeline.READY, self.ready_since),
            (self.kind_of(cause) if self.suspended_since else "", self.suspended_since),
        ):
            if since and since < end:
                sums[kind] = sums.get(kind, 0) + end - max(since, start)
        return sums

    def account(self, began: int, had: ThreadTime) -> None:
        """Tell the span above how much of a job's time on its thread nothing explains."""
        now, has = time_ns(), thread_time()
        known = has.given(had) + sum(self.timeline.totals(began, now).values())
        unknown = now - began - known
        if not self.spans and unknown >= LEAST_WAIT_NS:
            is_held_up = has.held_up_by_others(had, unknown)
            kind = Wait.INTERPRETER_LOCK if is_held_up else timeline.UNACCOUNTED
            self.tell_wait(kind, began + known, now)

    def finish(self) -> None:
        """Note the end; spans that are still open go to the nearest activity that still runs."""
        self.is_over = True
        self.running_since = self.suspended_since = self.ready_since = 0
        if self.spans:
            heir = self.parent
            while heir is not None and heir.is_over:
                heir = heir.parent
            if heir is not None:
                spans, self.spans = self.spans, []
                for span in spans:
                    span.activity = heir
                heir.spans.extend(spans)

    def _settle(self, start: int, end: int, cause: Cause) -> None:
        if self.taken is not None and (taken := self._taken_by(cause)) is not None:
            put, got = taken
            if got > start:  # A worker took what this activity had put into a queue.
                self.spend(Wait.QUEUE, max(put, start), got)
                self.timeline.add(timeline.CHILDREN, got, end)
                return
        kind = self.kind_of(cause)
        if kind is timeline.CHILDREN and isinstance(cause, Activity) and cause.submitted > start:
            began = min(cause.submitted, end)  # until then the job lay in its executor's queue
            self.timeline.add(Wait.EXECUTOR, start, began)
            start = began
        self.spend(kind, start, end)

    def kind_of(self, cause: Cause) -> str:
        """What this activity waited for, if a cause ended the wait."""
        waiting = self.waiting
        if waiting is not None:
            return waiting if isinstance(waiting, str) else waiting.kind
        if cause is None:
            return timeline.SOCKET
        if not isinstance(cause, Activity):
            return timeline.TIMER
        if cause is self:
            return timeline.READY
        if cause.is_below(self):
            return timeline.CHILDREN
        span = cause.innermost_span()
        if span is None or span.activity is self or self.is_below(span.activity):
            return timeline.UNACCOUNTED  # It works for others too: nobody knows for whom.
        return Wait.TASK

    def _taken_by(self, cause: Cause) -> tuple[int, int] | None:
        """When the activity that woke this one, or one above it, took what this one had put."""
        assert self.taken is not None
        activity = cause if isinstance(cause, Activity) else None
        while activity is not None:
            if activity in self.taken:
                return self.taken.pop(activity)
            activity = activity.parent
        return None


class Tracking:
    """The spans that are open in the process; without any, no time is noted."""

    def __init__(self) -> None:
        self.spans: dict[int, OpenSpan] = {}


tracking = Tracking()


class _Thread(threading.local):
    cause: Cause = None
    activity: Activity | None = None


_thread = _Thread()


def thread_activity() -> Activity:
    """The activity that the current thread is, outside all tasks and jobs."""
    activity = _thread.activity
    if activity is None:
        # `current_thread` would make a dummy of a thread that is only starting.
        thread = threading._active.get(threading.get_ident())  # type: ignore[attr-defined]
        activity = Activity(getattr(thread, _ATTRIBUTE, None))
        activity.is_main = thread is threading.main_thread()
        if thread is not None:
            _thread.activity = activity
    return activity


def activity_of(task: "asyncio.Task[Any]") -> Activity:
    """The activity of a task; one that was not seen before was started by what runs now."""
    activity: Activity | None = getattr(task, _ATTRIBUTE, None)
    if activity is None:
        cause = _thread.cause
        parent = cause if isinstance(cause, Activity) else None
        if parent is None:
            running = asyncio.current_task() if asyncio._get_running_loop() else None
            if running is not None and running is not task:
                parent = activity_of(running)
            elif running is None:
                parent = thread_activity()
        activity = Activity(parent, id(task.get_loop()))
        setattr(task, _ATTRIBUTE, activity)  # C tasks take attributes, and have no __dict__
    return activity


def current_activity() -> Activity:
    """The activity that runs now: a task, a job, or what scheduled the running callback."""
    loop = asyncio._get_running_loop()
    if loop is not None and (task := asyncio.current_task(loop)) is not None:
        return activity_of(task)
    cause = _thread.cause
    if isinstance(cause, Activity) and not cause.is_over:
        return cause
    return thread_activity()


def current_cause() -> Cause:
    """What caused the callback, task or job that runs now."""
    cause = _thread.cause
    if cause is None:
        loop = asyncio._get_running_loop()
        if loop is None:
            return thread_activity()
        task = asyncio.current_task(loop)
        if task is not None:  # a step that was scheduled before the witness was installed
            return activity_of(task)
    return cause


@contextmanager
def loop_runs() -> Iterator[None]:
    """Mark that the thread runs a loop: what has no other cause then comes from its selector."""
    before, _thread.cause = _thread.cause, None
    try:
        yield
    finally:
        _thread.cause = before


def _run_step(activity: Activity, callback: Callable[..., object], *args: object) -> None:
    """Run one step of a task."""
    began = time_ns()
    before, _thread.cause = _thread.cause, activity
    activity.running_since = began
    if activity.ready_since:
        if tracking.spans:
            activity.timeline.add(timeline.READY, activity.ready_since, began)
        activity.ready_since = 0
    try:
        callback(*args)
    finally:
        _thread.cause = before
        ended = time_ns()
        if tracking.spans:
            activity.timeline.add(timeline.RUNNING, began, ended)
        activity.running_since = 0
        if callback.__self__.done():  # type: ignore[attr-defined]
            activity.finish()
        elif not activity.ready_since:
            activity.suspended_since = ended


def _run_callback(cause: Cause, callback: Callable[..., object], *args: object) -> None:
    """Run a callback on behalf of what scheduled it."""
    before, _thread.cause = _thread.cause, cause
    try:
        callback(*args)
    finally:
        _thread.cause = before


def run_job(job: Activity, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Run a job of an executor on the current thread."""
    began, queued, had = time_ns(), job.submitted, thread_time()
    before, _thread.cause = _thread.cause, job
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
            _thread.cause = before


def _call_soon(original: Method) -> Method:
    def call_soon(
        loop: Any, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> Any:
        step: tuple[Callable[..., Any], Cause] | None = None
        try:
            cause = current_cause()
            owner = getattr(callback, "__self__", None)
            if isinstance(owner, asyncio.Task) and _is_step(callback):
                activity = activity_of(owner)
                activity.wake(cause)
                step = _run_step, activity
            elif cause is not None:
                step = _run_callback, cause
        except Exception as error:
            faults.note(error)
        if step is None:
            return original(loop, callback, *args, context=context)
        return original(loop, *step, callback, *args, context=context)

    return call_soon


_STEPS = frozenset({"TaskStepMethWrapper", "task_wakeup", "__step", "__wakeup"})


def _is_step(callback: Callable[..., Any]) -> bool:
    """Whether a bound callback of a task is its next step, and not its `cancel`, for example.

    CPython's task has a type for its first step and a built-in function for the others.
    """
    return getattr(callback, "__name__", type(callback).__name__) in _STEPS


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
        if not hasattr(task, _ATTRIBUTE) and isinstance(task, asyncio.Task) and not task.done():
            # An eager task: it has run already, up to its first wait.
            activity_of(task).suspended_since = time_ns()
        return task

    return create_task


def _submit(original: Method) -> Method:
    def submit(
        executor: "ThreadPoolExecutor", function: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Any:
        job = Activity(current_activity())
        job.submitted = time_ns()
        return original(executor, run_job, job, function, *args, **kwargs)

    return submit


def _start_thread(original: Method) -> Method:
    def start(thread: threading.Thread) -> None:
        thread.__dict__[_ATTRIBUTE] = current_activity()
        original(thread)

    return start


def watch_activities(patches: Patches) -> None:
    """Replace what creates tasks, callbacks, jobs and threads."""
    from concurrent.futures import ThreadPoolExecutor

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
