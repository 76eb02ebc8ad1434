"""Holds spans and tasks for a while, as a plan says: the interventions of `trading-graph probe`.

Nothing here runs unless `probe` started the program. Its environment names a token, and the folder
of its recording holds a plan with the same token, made by a process that still lives; a variable
that was left behind delays nothing.

A span starts in synchronous code, which cannot wait without blocking its loop. So a span of a task
is held at the first wait inside it: the wake-up of the task is scheduled that much later, and no
other task notices. A task is held before its first step in the same way. Threads sleep. A span
that ends without a wait is not held, and carries no delay.
"""

import asyncio
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from functools import partial
from typing import Any

from opentelemetry.sdk.trace import Span

from trading_graph.otel.probe.plan import TOP, Plan, name_key, span_key
from trading_graph.otel.vocabularies import witness
from trading_graph.otel.witness.activities import numbering
from trading_graph.otel.witness.current import activity_of, current_activity, running_task
from trading_graph.otel.witness.faults import faults
from trading_graph.otel.witness.patches import Method, Patches
from trading_graph.otel.witness.scheduling import STEPS

PLAN = "delays.json"
"""The name of the plan in the folder of a recording."""

MOST_AWAITED = 256
"""No more tasks than this are noted as awaited by one."""

_HELD = "_trading_graph_held"
"""Where a task keeps the spans that are to be held at its next wait."""
_TASKS = "_trading_graph_tasks"
_BEGUN = "_trading_graph_begun"


def plan_for(folder: str, token: str) -> Plan | None:
    """The plan of a recording, if it was made for this token by a process that still lives."""
    try:
        with open(os.path.join(folder, PLAN), encoding="utf-8") as file:
            plan = Plan.from_json(file.read())
        os.kill(plan.process, 0)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return plan if token and plan.token == token else None


class Delays:
    """Holds the spans and tasks of this process; put in place once, by `inject`."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._others_s = plan.others_s
        self._keys: dict[int, tuple[str, str]] = {}
        self._numbers: Counter[tuple[int, str, str]] = Counter()
        self._made: dict[str, list[str]] = {}
        """The tasks that each activity has made in this iteration of its loop."""
        self._made_with: dict[str, str] = {}
        self._first_steps: dict[str, float] = {}
        """How late each activity is, in seconds, whose first step is due or runs."""
        self._born_late: dict[str, float] = {}
        self._awaited: dict[str, frozenset[str]] = {}
        """The activities whose end each activity has awaited, or had when it was created."""

    def inject(self, patches: Patches) -> None:
        """Hold what starts from now on; the witness has to be in place."""
        numbering.is_on = True
        # A program may load the SDK from a task, whose next step is not its first.
        if task := running_task():
            setattr(task, _BEGUN, True)
        patches.replace(Span, "start", self._start)
        patches.replace(ThreadPoolExecutor, "submit", self._submit)
        patches.replace(asyncio.TaskGroup, "create_task", _create_in_group)
        patches.replace(asyncio.TaskGroup, "__aexit__", self._leave_group)
        patches.replace(asyncio, "wait", self._wait)
        self._watch_loop(patches, asyncio.BaseEventLoop)
        patches.when_imported("uvloop", lambda module: self._watch_loop(patches, module.Loop))

    def _watch_loop(self, patches: Patches, loop_class: type) -> None:
        patches.replace(loop_class, "call_soon", self._call_soon)

    def _start(self, original: Method) -> Method:
        def start(span: Span, start_time: int | None = None, parent_context: Any = None) -> None:
            is_first = span._start_time is None
            original(span, start_time, parent_context)
            if is_first:
                try:
                    self._open(span)
                except Exception as error:
                    faults.note(error)

        return start

    def _open(self, span: Span) -> None:
        """Note what a span is, and hold it if the plan says so."""
        activity = current_activity()
        above, names_above = self._keys.get(span.parent.span_id if span.parent else 0, (TOP, TOP))
        place = (span.parent.span_id if span.parent else 0, span.name, activity.path)
        key = span_key(above, span.name, activity.path, self._numbers[place])
        names = name_key(names_above, span.name)
        self._numbers[place] += 1
        self._keys[span.context.span_id] = key, names
        span.set_attribute(witness.ACTIVITY, activity.path)
        if awaited := self._awaited.get(activity.path):
            span.set_attribute(witness.ACTIVITY_AWAITED, sorted(awaited))
        if activity.born_ns:
            age_ns = max(numbering.now() - activity.born_ns, 0)
            span.set_attribute(witness.ACTIVITY_AGE_MS, round(age_ns / 1e6, 3))
            span.set_attribute(witness.ACTIVITY_WAITED_FOR, str(activity.waited))
            born_late = self._born_late.get(activity.path, 0.0)
            span.set_attribute(witness.ACTIVITY_BORN_LATE_MS, born_late * 1e3)
            if first := self._made_with.get(activity.path):
                span.set_attribute(witness.ACTIVITY_MADE_WITH, first)
            late = self._first_steps.get(activity.path, born_late) - born_late
            span.set_attribute(witness.ACTIVITY_HELD_MS, late * 1e3)
        seconds = self._plan.spans.get(key) or self._plan.spans.get(names)
        if not seconds:
            return
        task = running_task()
        if task is not None:
            held: list[tuple[Span, float]] | None = getattr(task, _HELD, None)
            if held is None:
                held = []
                setattr(task, _HELD, held)
            held.append((span, seconds))
        elif asyncio._get_running_loop() is None:
            span.set_attribute(witness.DELAY_MS, seconds * 1e3)
            time.sleep(seconds)

    def _call_soon(self, original: Method) -> Method:
        def call_soon(
            loop: Any, callback: Callable[..., Any], *args: Any, context: Context | None = None
        ) -> Any:
            task = getattr(callback, "__self__", None)
            if (
                not isinstance(task, asyncio.Task)
                or getattr(callback, "__name__", type(callback).__name__) not in STEPS
            ):
                return original(loop, callback, *args, context=context)
            step = partial(original, loop, callback, *args, context=context)
            try:
                if not hasattr(task, _BEGUN):
                    setattr(task, _BEGUN, True)
                    return self._begin(original, loop, task, step, context)
                self._note_awaited(task, args)
                if seconds := self._of_step(task):
                    return loop.call_later(seconds, step, context=context)
            except Exception as error:
                faults.note(error)
            return step()

        return call_soon

    def _begin(
        self,
        call_soon: Method,
        loop: Any,
        task: "asyncio.Task[Any]",
        step: Callable[[], object],
        context: Context | None,
    ) -> Any:
        """Schedule the first step of a task, when it is known how many were made with it."""
        # The activity is made here, so that its number tells when the task was created.
        path = activity_of(task).path
        creator = path.rpartition(".")[0]
        tasks = self._made.get(creator)
        if tasks is None:
            tasks = self._made[creator] = []
            call_soon(loop, self._made.pop, creator, None)
        tasks.append(path)
        self._made_with[path] = tasks[0]
        if awaited := self._awaited.get(creator):
            self._awaited[path] = awaited
        born_late = self._born_late[path] = self._first_steps.get(creator, 0.0)
        self._first_steps[path] = born_late
        seconds = self._of_task(path)
        if not seconds:
            return step()

        def decide() -> None:
            # A task that was made alone comes first to nothing, and would only make the run longer.
            if len(tasks) > 1:
                self._spend(path, seconds)
                self._first_steps[path] += seconds
                loop.call_later(seconds, step, context=context)
            else:
                step()

        return call_soon(loop, decide, context=context)

    def _of_task(self, path: str) -> float:
        """How long a task is held before its first step, if it is not made alone."""
        is_spared = path not in self._plan.tasks and self._others_s <= 0
        return 0.0 if is_spared else self._plan.of_task(path)

    def _spend(self, path: str, seconds: float) -> None:
        """Note that a task is held."""
        if path not in self._plan.tasks:
            self._others_s -= seconds

    def _note_awaited(self, task: "asyncio.Task[Any]", woken_by: tuple[Any, ...]) -> None:
        """Note which tasks a task has awaited, if that is what wakes it."""
        future = woken_by[0] if woken_by else None
        self._note_ended(task, getattr(future, "_children", (future,)))  # of `asyncio.gather`

    def _note_ended(self, task: "asyncio.Task[Any]", awaited: Iterable[object]) -> None:
        """Note the tasks among what a task has awaited, and what these had."""
        ended = [each for each in awaited if isinstance(each, asyncio.Task) and each.done()]
        if not ended:
            return
        path = activity_of(task).path
        paths = set(self._awaited.get(path, ()))
        for each in ended:
            its = activity_of(each).path
            paths |= {its, *self._awaited.get(its, ())}
        if len(paths) <= MOST_AWAITED:
            self._awaited[path] = frozenset(paths)

    def _leave_group(self, original: Method) -> Method:
        async def leave(group: Any, *error: Any) -> Any:
            try:
                return await original(group, *error)
            finally:
                task = running_task()
                if task is not None:
                    self._note_ended(task, getattr(group, _TASKS, ()))

        return leave

    def _wait(self, original: Method) -> Method:
        async def wait(*args: Any, **kwargs: Any) -> Any:
            done, pending = await original(*args, **kwargs)
            task = running_task()
            if task is not None:
                self._note_ended(task, done)
            return done, pending

        return wait

    def _of_step(self, task: "asyncio.Task[Any]") -> float:
        """How long the next step of a task is held, which is not its first."""
        self._first_steps.pop(activity_of(task).path, None)
        held: list[tuple[Span, float]] | None = getattr(task, _HELD, None)
        if not held:
            return 0.0
        # A span that ended before this wait would not be any longer for it.
        still_open = [(span, seconds) for span, seconds in held if span.is_recording()]
        held.clear()
        for span, seconds in still_open:
            span.set_attribute(witness.DELAY_MS, seconds * 1e3)
        return sum(seconds for _, seconds in still_open)

    def _submit(self, original: Method) -> Method:
        def submit(
            executor: ThreadPoolExecutor, function: Callable[..., Any], /, *args: Any, **kwargs: Any
        ) -> Any:
            return original(executor, self._run_job, function, *args, **kwargs)

        return submit

    def _run_job(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        path = current_activity().path
        if seconds := self._of_task(path):
            self._spend(path, seconds)
            time.sleep(seconds)
        return function(*args, **kwargs)


def _create_in_group(original: Method) -> Method:
    def create_task(group: Any, *args: Any, **kwargs: Any) -> Any:
        task = original(group, *args, **kwargs)
        group.__dict__.setdefault(_TASKS, []).append(task)
        return task

    return create_task
