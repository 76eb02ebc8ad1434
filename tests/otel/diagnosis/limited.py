"""Programs under limits, run in virtual time, with the traces that they leave.

Many jobs share slots, and the calls of a job share the requests and tokens a minute of a model. The
limits are those of the product (`ModelRate`) and of asyncio, not those that the judge simulates.
"""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.virtual_time import VirtualTimeLoop, run_virtually
from trading_graph.graph.chat.rate_limits import WINDOW_S, ModelRate, RateLimits
from trading_graph.otel.spans import grant_attributes, limit_attributes
from trading_graph.otel.trace import Event, SpanTable, SpanValues, TraceBuilder, semconv
from trading_graph.otel.vocabularies import limits as names
from trading_graph.otel.vocabularies.limits import DeclaredLimit

SLOTS, REQUESTS, TOKENS = "jobs", "m requests", "m tokens"
BEGIN = 1_700_000_000_000_000_000


@dataclass(frozen=True, slots=True)
class Limits:
    """The most at once, and within a minute; None is no limit."""

    slots: int
    requests: int | None = None
    tokens: int | None = None

    def raised(self, name: str, factor: float) -> "Limits":
        """The same with one of them multiplied."""

        def times(limit: int | None, own: str) -> int | None:
            return int(limit * factor) if limit is not None and own == name else limit

        slots = times(self.slots, SLOTS)
        assert slots is not None
        return Limits(slots, times(self.requests, REQUESTS), times(self.tokens, TOKENS))

    @property
    def declared(self) -> list[DeclaredLimit]:
        """What the program declares."""
        limits = [DeclaredLimit(SLOTS, self.slots, unit="jobs")]
        if self.requests is not None:
            limits.append(DeclaredLimit(REQUESTS, self.requests, WINDOW_S, "requests"))
        if self.tokens is not None:
            limits.append(DeclaredLimit(TOKENS, self.tokens, WINDOW_S, "tokens"))
        return limits


@dataclass(frozen=True, slots=True)
class Work:
    """What the jobs do: phases in a row, each of chains of calls at once.

    With `with_call_spans` each call has a span; else the span of the job tells what its calls were
    granted. `in_batches` hands jobs out in waves, each of which waits for the one before it.
    """

    jobs: int
    phases: Sequence[Sequence[int]] = ((2, 2, 2, 2), (1, 1), (1,), (1,), (1, 1, 1), (1,))
    latency_s: float = 8.0
    spread: float = 0.4
    prompt: int = 1500
    answer: int = 500
    pause_s: float = 0.3
    with_call_spans: bool = False
    slow_jobs: frozenset[int] = frozenset()
    in_batches: bool = False


@dataclass(slots=True)
class _Recorder:
    loop: VirtualTimeLoop
    spans: list[SpanValues] = field(default_factory=list)

    def now(self) -> int:
        return BEGIN + round(self.loop.time() * 1e9)

    def add(
        self,
        name: str,
        parent: str,
        start: int,
        attributes: dict[str, object],
        events: Sequence[Event] = (),
        span_id: str = "",
    ) -> None:
        self.spans.append(
            SpanValues(
                span_id or f"{len(self.spans) + 2:016x}",
                parent,
                name,
                1,
                start,
                self.now(),
                0,
                lambda: attributes,
                lambda: events,
            )
        )


def run_limited(work: Work, limits: Limits, seed: int = 0) -> SpanTable:
    """Run the jobs, and return the trace of the run."""

    async def play(loop: VirtualTimeLoop) -> SpanTable:
        return await _Program(loop, work, limits, seed).run()

    return run_virtually(play)


class _Program:
    def __init__(self, loop: VirtualTimeLoop, work: Work, limits: Limits, seed: int) -> None:
        self._work, self._limits, self._seed = work, limits, seed
        self._recorder = _Recorder(loop)
        self._rate = ModelRate(RateLimits(limits.requests, limits.tokens), loop.time, "m")
        self._slots = asyncio.Semaphore(limits.slots)

    async def run(self) -> SpanTable:
        recorder, start = self._recorder, self._recorder.now()
        at_once = self._limits.slots if self._work.in_batches else self._work.jobs
        for first in range(0, self._work.jobs, at_once):
            async with asyncio.TaskGroup() as group:
                for number in range(first, min(first + at_once, self._work.jobs)):
                    group.create_task(self._job(number, start))
        attributes: dict[str, object] = {
            semconv.OPERATION_NAME: semconv.INVOKE_WORKFLOW,
            semconv.SPANS_STARTED: len(recorder.spans) + 1,
            **limit_attributes(self._limits.declared),
        }
        recorder.add("run", "", start, attributes, span_id=f"{1:016x}")
        builder = TraceBuilder("0a" * 16)
        for span in recorder.spans:
            builder.add(span)
        return builder.build()

    async def _job(self, number: int, queued: int) -> None:
        random_ = random.Random(self._seed * 100_003 + number)
        recorder, own = self._recorder, f"{number + 0xF000_0000:016x}"
        async with self._slots:
            start = recorder.now()
            wait = grant_attributes({SLOTS: 1}, wait_s=(start - queued) / 1e9, waited_for=SLOTS)
            events = [Event(names.GRANT, start, wait)]
            for phase in self._work.phases:
                chains = [
                    [self._call(random_, number in self._work.slow_jobs) for _ in range(calls)]
                    for calls in phase
                ]
                await asyncio.gather(*(self._chain(chain, events, own) for chain in chains))
            shown = [] if not self._work.with_call_spans else events[1:]
            kept = [each for each in events if each not in shown]
            recorder.add("job", f"{1:016x}", start, {names.ITEM: f"job {number}"}, kept, own)

    def _call(self, random_: random.Random, is_slow: bool) -> tuple[int, int, float]:
        work = self._work
        prompt = int(work.prompt * random_.uniform(0.5, 1.5))
        answer = int(work.answer * random_.uniform(0.5, 1.5))
        latency = work.latency_s * random_.lognormvariate(0, work.spread) * (6 if is_slow else 1)
        return prompt, answer, latency

    async def _chain(
        self, calls: Sequence[tuple[int, int, float]], events: list[Event], job: str
    ) -> None:
        recorder = self._recorder
        for number, (prompt, answer, latency) in enumerate(calls):
            if number:
                await asyncio.sleep(self._work.pause_s)
            began = recorder.now()
            turn = await self._rate.turn(prompt)
            given = recorder.now()
            await asyncio.sleep(latency)
            turn.settle(prompt + answer)
            longest = max(turn.waits, key=turn.waits.__getitem__, default=None)
            attributes = grant_attributes(
                turn.amounts,
                wait_s=(given - began) / 1e9,
                waited_for="" if longest is None else f"m {longest}",
                held_s=(recorder.now() - given) / 1e9,
                more=turn.more,
            )
            event = Event(names.GRANT, given, attributes)
            if turn.amounts:
                events.append(event)
            if self._work.with_call_spans:
                chat: dict[str, object] = {
                    semconv.OPERATION_NAME: semconv.CHAT,
                    semconv.REQUEST_MODEL: "m",
                    semconv.USAGE_INPUT_TOKENS: prompt,
                    semconv.USAGE_OUTPUT_TOKENS: answer,
                }
                recorder.add("chat m", job, began, chat, [event] if turn.amounts else [])
