"""Tasks, executor jobs and threads: who started which, what each did when, and what woke it.

An activity is a task, a job of an executor, or a thread. Its parent is the activity that started
it. A task is suspended until something schedules its next step. That happens in a callback, and
each callback knows its cause: a timer, a message of another thread, the activity that scheduled it,
or none of these, which leaves the loop's selector: input or output.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from trading_graph.otel.vocabularies.witness import Wait
from trading_graph.otel.witness import timeline
from trading_graph.otel.witness.clock import now_ns
from trading_graph.otel.witness.cpu_time import ThreadTime, thread_time
from trading_graph.otel.witness.timeline import WAITS, Step, Timeline

if TYPE_CHECKING:
    from trading_graph.otel.witness.span_measures import OpenSpan

LEAST_WAIT_NS = 100_000
"""A shorter wait is what switching to another task costs."""


class Timer:
    """The cause of what a timer calls."""


TIMER: Final = Timer()
Cause: TypeAlias = "Activity | Timer | None"


class Numbering:
    """Whether activities are numbered, so that each is known again in the next run."""

    def __init__(self) -> None:
        self.is_on = False
        self.now: Callable[[], int] = now_ns


numbering = Numbering()


class Turn:
    """What an activity waits for at a queue: known only when the wait is over."""

    kind: str = timeline.IDLE


class Activity:
    """A task, a job or a thread."""

    __slots__ = (
        "born_ns",
        "created",
        "goes_on",
        "is_main",
        "is_over",
        "loop_id",
        "parent",
        "path",
        "ready_since",
        "running_since",
        "seen_since",
        "spans",
        "submitted",
        "suspended_since",
        "taken",
        "timeline",
        "waited",
        "waited_since",
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
        self.waited: str = timeline.IDLE
        """What it waited for until it was ready, which began at `waited_since`."""
        self.suspended_since = self.waited_since = self.ready_since = self.running_since = 0
        self.goes_on = False
        """Whether the step that runs has asked for the next one, without a wait between."""
        self.submitted = 0
        self.seen_since = 0
        """When a span was opened in a step that began before the witness was installed."""
        self.path = ""
        """The numbers in which activities created each other, down to this one: if these count."""
        self.born_ns = self.created = 0
        if numbering.is_on and parent is not None:
            self.path = f"{parent.path}.{parent.created}" if parent.path else str(parent.created)
            self.born_ns = numbering.now()
            parent.created += 1

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
        if end - start >= LEAST_WAIT_NS:
            self._tell(kind, start, end)

    def _tell(self, kind: str, start: int, end: int) -> None:
        if kind in WAITS or (kind == timeline.UNACCOUNTED and not self.spans):
            self.tell_wait(kind, start, end)

    def tell_wait(self, kind: str, start: int, end: int) -> "list[Any] | None":
        """Note a wait on the span that it belongs to; return the note, which can be corrected."""
        span = self.innermost_span()
        return None if span is None else span.add_wait(kind, start, end)

    def wake(self, cause: Cause) -> None:
        """Note that the next step was scheduled, and what the time until now was spent on."""
        if self.running_since:
            self.goes_on = True
            return
        now = now_ns()
        since = self.suspended_since or self.seen_since
        self.suspended_since = self.seen_since = 0
        self.waited_since = self.ready_since = now
        if since and tracking.spans:
            self._settle(since, now, cause)

    def run(self) -> None:
        """Note that a step begins."""
        self.running_since = now = now_ns()
        if not self.ready_since:
            self.waited_since = self.ready_since = now

    def suspend(self) -> None:
        """Note that a step is over."""
        now = now_ns()
        if tracking.spans:
            self.timeline.add_step(
                (self.waited, self.waited_since, self.ready_since, self.running_since, now)
            )
        self.running_since = 0
        if self.goes_on:
            self.goes_on = False
            self.waited_since = self.ready_since = now
        else:
            self.ready_since = 0
            self.suspended_since = now

    def totals(self, start: int, end: int, cause: Cause) -> dict[str, int]:
        """The nanoseconds of each kind inside a window that ends now or earlier."""
        return self.timeline.totals(start, end, self._current(end, cause))

    def _current(self, end: int, cause: Cause) -> Step | None:
        """What goes on, as a step that is over at the end of a window, or begins after it."""
        waited, since, ready = self.waited, self.waited_since, self.ready_since
        if began := self.running_since:
            return waited, since, ready, began, max(end, began)
        if ready:
            now = max(end, ready)
            return waited, since, ready, now, now
        if since := self.suspended_since:
            now = max(end, since)
            return self.kind_of(cause), since, now, now, now
        if began := self.seen_since:
            return timeline.IDLE, began, began, began, max(end, began)
        return None

    def account(self, began: int, had: ThreadTime) -> None:
        """Tell the span above how much of a job's time on its thread nothing explains."""
        if self.spans:
            return
        now, cpu = now_ns(), thread_time().since(had)
        explained_ns = cpu.running + cpu.queued + sum(self.timeline.totals(began, now).values())
        unknown = now - began - explained_ns
        if unknown >= LEAST_WAIT_NS:
            is_held_up = cpu.is_held_up_by_others(unknown)
            kind = Wait.INTERPRETER_LOCK if is_held_up else timeline.UNACCOUNTED
            self.tell_wait(kind, began + explained_ns, now)

    def finish(self) -> None:
        """Note the end; spans that are still open go to the nearest activity that still runs."""
        self.is_over = True
        self.suspended_since = self.ready_since = self.running_since = 0
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
                self.waited, self.waited_since = timeline.CHILDREN, got
                return
        kind = self.kind_of(cause)
        if kind is timeline.CHILDREN and isinstance(cause, Activity) and cause.submitted > start:
            began = min(cause.submitted, end)  # until then the job lay in its executor's queue
            self.timeline.add(Wait.EXECUTOR, start, began)
            start = began
        self.waited, self.waited_since = kind, start
        if end - start >= LEAST_WAIT_NS:
            self._tell(kind, start, end)

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
