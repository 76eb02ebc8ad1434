"""Random programs of which it is known who waits for whom: drawn, run in virtual time, traced.

The spans are those of calls, and of agents around some of them. What the calls wait for follows
from how the program is made: chains, gathers, graphs of tasks, semaphores, locks of its own, a
queue between two loops, pools of workers. Every sleep differs by a little from run to run.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from time import time_ns

from opentelemetry import trace as api
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.otel.structure.virtual_clock import START_S, now_ns, run_virtually
from trading_graph.otel.probe.plan import Plan
from trading_graph.otel.sources.in_memory import from_spans
from trading_graph.otel.trace import SpanTable
from trading_graph.otel.witness import recording
from trading_graph.otel.witness.activities import numbering
from trading_graph.otel.witness.current import here
from trading_graph.otel.witness.delays import Delays
from trading_graph.otel.witness.patches import Patches

Ends = frozenset[str]
"""The spans whose end something waits for."""


@dataclass
class Truth:
    """Who waits for whom, by the names of spans; and which share a limit."""

    waits_for: dict[str, Ends] = field(default_factory=dict)
    inside: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    limits: list[tuple[Ends, int]] = field(default_factory=list)


class World:
    """What a program runs in: its tracer, its clock, and its dice."""

    def __init__(self, seed: int, run: int, changed: Mapping[str, float]) -> None:
        self._dice = random.Random(seed * 1000 + run)
        self._changed = changed
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self._tracer = provider.get_tracer("program")

    async def pause(self) -> None:
        """What a program does between two calls."""
        await asyncio.sleep(self._dice.uniform(0.0001, 0.0004))

    async def call(self, name: str, seconds: float) -> None:
        """A call that takes about so long."""
        async with self.span(name):
            usual = self._changed.get(name, seconds)
            await asyncio.sleep(max(usual * self._dice.gauss(1, 0.004), 0.0005))

    @asynccontextmanager
    async def span(self, name: str) -> AsyncIterator[None]:
        """A span that is current inside."""
        span = self._tracer.start_span(name, start_time=now_ns())
        with api.use_span(span, end_on_exit=False):
            try:
                yield
            finally:
                span.end(now_ns())


class Part:
    """A part of a program: it can be run, and it knows what its spans wait for."""

    async def run(self, world: World) -> None:
        raise NotImplementedError

    def tell(self, truth: Truth, after: Ends, within: str) -> Ends:
        """Note what each span of the part waits for, after some ends; return what ends it."""
        raise NotImplementedError


@dataclass
class Call(Part):
    """One call."""

    name: str
    seconds: float

    async def run(self, world: World) -> None:
        await world.pause()
        await world.call(self.name, self.seconds)

    def tell(self, truth: Truth, after: Ends, within: str) -> Ends:
        truth.waits_for[self.name] = after
        truth.inside[within].append(self.name)
        return frozenset([self.name])


@dataclass
class Agent(Part):
    """A span around a part."""

    name: str
    part: Part

    async def run(self, world: World) -> None:
        await world.pause()
        async with world.span(self.name):
            await self.part.run(world)

    def tell(self, truth: Truth, after: Ends, within: str) -> Ends:
        truth.waits_for[self.name] = after
        truth.inside[within].append(self.name)
        self.part.tell(truth, frozenset(), self.name)
        return frozenset([self.name])


@dataclass
class Chain(Part):
    """One part after the other."""

    parts: Sequence[Part]

    async def run(self, world: World) -> None:
        for each in self.parts:
            await each.run(world)

    def tell(self, truth: Truth, after: Ends, within: str) -> Ends:
        for each in self.parts:
            after = each.tell(truth, after, within)
        return after


@dataclass
class Gather(Part):
    """Some parts at once."""

    parts: Sequence[Part]
    is_group: bool = False
    """Whether a TaskGroup does it, of which nothing records what it awaits."""

    async def run(self, world: World) -> None:
        if self.is_group:
            async with asyncio.TaskGroup() as group:
                for each in self.parts:
                    group.create_task(each.run(world))
        else:
            await asyncio.gather(*(each.run(world) for each in self.parts))

    def tell(self, truth: Truth, after: Ends, within: str) -> Ends:
        ends = [each.tell(truth, after, within) for each in self.parts]
        return frozenset[str]().union(*ends)


@dataclass
class Staggered(Part):
    """Calls that start one after the other by a timer, and not because one has ended."""

    calls: Sequence[Call]
    every_s: float

    async def run(self, world: World) -> None:
        async def later(number: int, call: Call) -> None:
            await asyncio.sleep(number * self.every_s)
            await call.run(world)

        await asyncio.gather(*(later(at, each) for at, each in enumerate(self.calls)))

    def tell(self, truth: Truth, after: Ends, within: str) -> Ends:
        for each in self.calls:
            each.tell(truth, after, within)
        return frozenset(each.name for each in self.calls)


@dataclass
class Graph(Part):
    """A task for each call, which awaits the tasks that it needs."""

    calls: Sequence[Call]
    needs: Sequence[Sequence[int]]
    has_events: bool = False
    """Whether tasks wait for events, and not for each other."""

    async def run(self, world: World) -> None:
        tasks: list[asyncio.Task[None]] = []
        events = [asyncio.Event() for _ in self.calls]

        async def one(number: int, call: Call, needs: Sequence[int]) -> None:
            for each in needs:
                await (events[each].wait() if self.has_events else tasks[each])
            await call.run(world)
            events[number].set()

        for number, (call, needs) in enumerate(zip(self.calls, self.needs, strict=True)):
            tasks.append(asyncio.ensure_future(one(number, call, needs)))
        await asyncio.gather(*tasks)

    def tell(self, truth: Truth, after: Ends, within: str) -> Ends:
        names = [each.name for each in self.calls]
        for call, needs in zip(self.calls, self.needs, strict=True):
            call.tell(truth, frozenset(names[each] for each in needs) or after, within)
        needed = {each for needs in self.needs for each in needs}
        return frozenset(name for at, name in enumerate(names) if at not in needed)


class OwnLock:
    """A lock as programs write it themselves: of futures, which no witness knows."""

    def __init__(self, slots: int) -> None:
        self._free = slots
        self._waiting: list[asyncio.Future[None]] = []

    async def __aenter__(self) -> None:
        if self._free:
            self._free -= 1
            return
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(mine)
        await mine

    async def __aexit__(self, *_: object) -> None:
        if self._waiting:
            self._waiting.pop(0).set_result(None)
        else:
            self._free += 1


@dataclass
class Limited(Part):
    """Calls at once, of which so many run at a time."""

    calls: Sequence[Call]
    slots: int
    make: Callable[[int], AbstractAsyncContextManager[object]]

    async def run(self, world: World) -> None:
        limit = self.make(self.slots)

        async def one(call: Call) -> None:
            async with limit:
                await call.run(world)

        await asyncio.gather(*(one(each) for each in self.calls))

    def tell(self, truth: Truth, after: Ends, within: str) -> Ends:
        for each in self.calls:
            each.tell(truth, after, within)
        names = frozenset(each.name for each in self.calls)
        truth.limits.append((names, self.slots))
        return names


@dataclass
class Workers(Part):
    """Clients that each put a call into a queue and wait; so many workers take them."""

    calls: Sequence[Call]
    workers: int

    async def run(self, world: World) -> None:
        queue: asyncio.Queue[tuple[Call, asyncio.Future[None]]] = asyncio.Queue()

        async def work() -> None:
            while True:
                call, done = await queue.get()
                await call.run(world)
                done.set_result(None)

        async def client(call: Call) -> None:
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            await queue.put((call, done))
            await done

        workers = [asyncio.ensure_future(work()) for _ in range(self.workers)]
        await asyncio.gather(*(client(each) for each in self.calls))
        for each in workers:
            each.cancel()
        await asyncio.gather(*workers, return_exceptions=True)

    def tell(self, truth: Truth, after: Ends, within: str) -> Ends:
        return Limited(self.calls, self.workers, OwnLock).tell(truth, after, within)


@dataclass
class Stream(Part):
    """A loop that makes items and one that takes them, with a queue between."""

    makes: Sequence[Call]
    takes: Sequence[Call]

    async def run(self, world: World) -> None:
        queue: asyncio.Queue[int] = asyncio.Queue()

        async def make() -> None:
            for at, each in enumerate(self.makes):
                await each.run(world)
                await queue.put(at)

        async def take() -> None:
            for each in self.takes:
                await queue.get()
                await each.run(world)

        await asyncio.gather(make(), take())

    def tell(self, truth: Truth, after: Ends, within: str) -> Ends:
        before, taken = after, frozenset[str]()
        for made, took in zip(self.makes, self.takes, strict=True):
            before = made.tell(truth, before, within)
            taken = took.tell(truth, before | taken, within)
        return taken


@dataclass(frozen=True)
class Program:
    """A program as drawn from its seed."""

    seed: int
    part: Part

    def truth(self) -> Truth:
        """What its spans wait for."""
        truth = Truth()
        self.part.tell(truth, frozenset(), "run")
        return truth

    def trace(self, run: int, plan: Plan, changed: Mapping[str, float] | None = None) -> SpanTable:
        """Run it once, with delays and perhaps with calls of another length."""
        world, patches = World(self.seed, run, changed or {}), Patches()

        async def main() -> None:
            async with world.span("run"):
                await self.part.run(world)

        with recording():
            try:
                numbering.now = _now_ns
                here.activity = None  # a new process begins to count anew
                Delays(plan).inject(patches)
                run_virtually(main())
            finally:
                patches.restore()
                numbering.is_on, numbering.now = False, time_ns
        (trace,) = from_spans(world.exporter.get_finished_spans())
        return trace


def _now_ns() -> int:
    """The virtual time, also before its loop runs."""
    return now_ns() if asyncio._get_running_loop() else START_S * 10**9


class _Draw:
    """Draws the parts of a program; each call has a name of its own."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.calls = 0

    def call(self) -> Call:
        self.calls += 1
        return Call(f"call {self.calls}", self.dice.uniform(0.03, 0.3))

    def calls_of(self, least: int, most: int) -> list[Call]:
        return [self.call() for _ in range(self.dice.randint(least, most))]

    def graph(self) -> Graph:
        calls = self.calls_of(5, 9)
        needs = [
            self.dice.sample(range(at), min(at, self.dice.choice([0, 1, 1, 2])))
            for at in range(len(calls))
        ]
        return Graph(calls, needs, has_events=self.dice.random() < 0.5)

    def limited(self) -> Part:
        slots = self.dice.choice([1, 1, 2, 3])
        make = self.dice.choice([OwnLock, asyncio.Semaphore])
        return Limited(self.calls_of(slots + 3, slots + 5), slots, make)

    def stream(self) -> Part:
        count = self.dice.randint(3, 4)
        return Stream([self.call() for _ in range(count)], [self.call() for _ in range(count)])

    def agents(self) -> Part:
        self.calls += 1
        first = self.calls
        return Gather(
            [
                Agent(f"agent {first}.{at}", Chain(self.calls_of(2, 3)))
                for at in range(self.dice.randint(2, 3))
            ]
        )

    def simple(self) -> Part:
        choice = self.dice.choice(["call", "chain", "gather", "both"])
        if choice == "call":
            return self.call()
        if choice == "chain":
            return Chain(self.calls_of(2, 3))
        if choice == "gather":
            return Gather(self.calls_of(2, 4), is_group=self.dice.random() < 0.5)
        return Gather([Chain(self.calls_of(2, 3)), Chain(self.calls_of(1, 3))])

    def workers(self) -> Part:
        workers = self.dice.choice([1, 2, 3])
        return Workers(self.calls_of(workers + 3, workers + 5), workers)

    def staggered(self) -> Part:
        calls = self.calls_of(3, 4)
        return Staggered(calls, max(each.seconds for each in calls) + self.dice.uniform(0.02, 0.1))


KINDS = ("graph", "limited", "workers", "stream", "agents", "staggered", "gather", "chain")


def draw(seed: int) -> Program:
    """The program of a seed; the first kinds of part follow each other with the seeds."""
    drawing = _Draw(seed)
    kind = KINDS[seed % len(KINDS)]
    main: Part
    if kind == "gather":
        main = Gather([drawing.limited(), drawing.graph()], is_group=seed % 2 == 0)
    elif kind == "chain":
        main = Chain([drawing.simple(), drawing.limited(), drawing.simple()])
    else:
        main = getattr(drawing, kind)()
    return Program(seed, Chain([drawing.simple(), main, drawing.call()]))
