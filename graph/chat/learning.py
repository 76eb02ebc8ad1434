"""Learning what a model of a service accepts: from its profile, its refusals and the memory.

A refusal that names a parameter leads one step down; a step that was taken is not taken back, so
the steps end. As long as it is unknown whether a service accepts a use (`Use`), the first call that
makes use of it goes ahead, and the others wait until its answer begins or for a moment at most: a
refusal comes at once, and then only one call has met it. From then on no call waits, in this run or
in a later one.
"""

import asyncio
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from trading_graph.graph.chat.capabilities import Capabilities, StepDown
from trading_graph.graph.chat.conversation import Use
from trading_graph.graph.chat.memory import Lesson, Memory
from trading_graph.graph.chat.refusal import Refusal

SCOUT_S = 1.0
"""How long calls wait, once, for the first one of their kind."""

_STATUSES = frozenset((400, 404, 405, 422))

_log = logging.getLogger("trading_graph.models")


class Learning:
    """What is known of one model of one service, shared by all its calls.

    `start` are the capabilities by profile and settings; nothing changes the fields in `fixed`, and
    the memory none of those in `given`, which the settings give. With `memory` None nothing is
    learned: the service is our own.
    """

    def __init__(
        self,
        service: str,
        model: str,
        start: Capabilities,
        memory: Memory | None,
        *,
        fixed: frozenset[str] = frozenset(),
        given: frozenset[str] = frozenset(),
    ) -> None:
        self._service, self._model, self._memory, self._start = service, model, memory, start
        self._fixed = fixed
        self.reasons: list[str] = []
        self.current = start
        self._uses: set[Use] = set()
        self._scouts: dict[Use, asyncio.Event] = {}
        lesson = memory.recall(service, model) if memory is not None else None
        if lesson is not None:
            self._recall(lesson, fixed | given)
        self._former = {start, self.current}
        self._saving: set[asyncio.Task[None]] = set()

    def _recall(self, lesson: Lesson, but: frozenset[str]) -> None:
        changes = {name: value for name, value in lesson.changes.items() if name not in but}
        try:
            self.current = self._start.with_facts(changes)
            self._uses = {Use(each) for each in lesson.uses}
        except ValueError:  # A file that somebody has changed.
            self.current, self._uses = self._start, set()
        else:
            self.reasons = list(lesson.reasons)

    async def wait(self, use: Use) -> None:
        """Wait for the call that finds out whether a use is accepted, if there is one."""
        scout = self._scouts.get(use)
        if scout is None or scout.is_set():
            return
        try:
            async with asyncio.timeout(SCOUT_S):
                # A call that was refused goes ahead again, one step down.
                while scout is not None and not scout.is_set():
                    await scout.wait()
                    scout = self._scouts.get(use)
        except TimeoutError:
            if scout is not None:
                scout.set()  # The service takes its time: nobody else waits.

    @contextmanager
    def scouting(self, use: Use) -> Iterator[None]:
        """A call whose use may be unknown yet; the others wait for the first one of these."""
        if self._memory is None or use in self._uses or use in self._scouts:
            yield
            return
        scout = self._scouts[use] = asyncio.Event()
        try:
            yield
        finally:
            scout.set()
            if use not in self._uses and self._scouts.get(use) is scout:
                del self._scouts[use]

    def accept(self, use: Use) -> None:
        """Note that the service has accepted a use."""
        if scout := self._scouts.get(use):
            scout.set()
        if self._memory is None or use in self._uses:
            return
        # A request with tools has everything that one without them has.
        self._uses |= {use, Use.TEXT}
        self._save()

    def step_down(
        self, tried: Capabilities, refusal: Refusal, sent: Mapping[str, Any]
    ) -> StepDown | None:
        """The step that a refused call takes; None where the refusal names nothing to give up.

        `tried` are the capabilities that the call went by. What another call has given up in the
        meantime is not given up twice.
        """
        if refusal.status not in _STATUSES:
            return None
        learned = tried.difference(self.current)
        for step in tried.steps_down(refusal, sent):
            if learned.keys() & step.change.keys():
                return replace(step, capabilities=self.current, change=learned)
            lower = replace(self.current, **step.change)
            if lower in self._former or self._fixed & step.change.keys():
                continue
            self.current = lower
            self._former.add(lower)
            self.reasons.append(f"{step.words}: {refusal.quotation}")
            _log.warning("%s at %s: %s", self._model, self._service, self.reasons[-1])
            self._save()
            return step
        return None

    def _save(self) -> None:
        """Write what is known, in a thread: it must not hold the loop."""
        if self._memory is None:
            return
        lesson = Lesson(
            self._service,
            self._model,
            time.time(),
            self._start.difference(self.current),
            list(self.reasons),
            sorted(self._uses),
        )
        task = asyncio.create_task(asyncio.to_thread(self._memory.keep, lesson))
        self._saving.add(task)
        task.add_done_callback(self._saving.discard)

    async def aclose(self) -> None:
        """Wait until everything is written."""
        await asyncio.gather(*self._saving, return_exceptions=True)
