"""Random slow programs of agents, each defect of which can be mended: run for real, traced.

A program is drawn from its seed. What differs between its slow and its mended form are only its
defects, so that a prediction made from the slow one's trace can be held against the other's time.
"""

import asyncio
import contextvars
import operator
import random
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Annotated, Any, TypedDict

from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext

from trading_graph.otel import spans
from trading_graph.otel.diagnosis import FindingKind
from trading_graph.otel.sources.in_memory import from_spans
from trading_graph.otel.spans import GraphPlace, RecordingProcessor
from trading_graph.otel.trace import SpanTable


class Defect(StrEnum):
    """What is wrong with a program; the value is what a diagnosis should call it."""

    DISPATCH = FindingKind.SERIAL_FAN_OUT
    TOOLS = FindingKind.SERIAL_TOOLS
    BLOCKING = FindingKind.BLOCKED_LOOP
    LIMIT = FindingKind.LIMIT
    DUPLICATES = FindingKind.DUPLICATES
    RETRIES = FindingKind.RETRIES
    GAP = FindingKind.GAP
    MANY_CALLS = FindingKind.MANY_SMALL_CALLS
    BARRIER = FindingKind.BARRIER


Defects = frozenset[Defect]

SAME = "the same"
"""What several agents fetch."""

_FREE = (Defect.TOOLS, Defect.DUPLICATES, Defect.RETRIES, Defect.GAP, Defect.MANY_CALLS)
"""Those that any two of can be in one program of the asyncio kind."""


@dataclass(frozen=True)
class Agent:
    """An agent: an LLM call, its tools, another call; seconds each."""

    name: str
    first_s: float
    tools: tuple[tuple[str, float], ...]
    last_s: float


@dataclass(frozen=True)
class Program:
    """A program as drawn from its seed."""

    seed: int
    kind: str
    agents: tuple[Agent, ...]
    final_s: float
    gap_s: float
    backoff_s: float
    limit: int
    defects: Defects
    small_s: float = 0.03
    small: int = field(default=10)


KINDS = ("asyncio", "asyncio", "blocking", "semaphore", "executor", "barrier", "steps")


def draw(seed: int) -> Program:
    """The program of a seed."""
    rng = random.Random(seed)
    kind = KINDS[seed % len(KINDS)]
    free = [Defect.DISPATCH, *_FREE]
    defects = {
        "asyncio": lambda: set(rng.sample(free, rng.randint(1, 3))),
        "blocking": lambda: {Defect.BLOCKING, rng.choice([Defect.GAP, Defect.MANY_CALLS])},
        "semaphore": lambda: {Defect.LIMIT, rng.choice([Defect.GAP, Defect.MANY_CALLS])},
        "executor": lambda: {Defect.LIMIT, rng.choice([Defect.GAP, Defect.MANY_CALLS])},
        "barrier": lambda: {Defect.BARRIER},
        "steps": lambda: {rng.choice([Defect.DISPATCH, Defect.LIMIT]), Defect.TOOLS},
    }[kind]()
    alike = kind in ("semaphore", "executor")
    usual = rng.uniform(0.08, 0.2)
    agents = []
    for number in range(4 if alike else rng.choice([3, 4])):
        tools = [f"tool {number} {n}" for n in range(rng.randint(2, 4))]
        if Defect.DUPLICATES in defects:
            tools[0] = SAME
        agents.append(
            Agent(
                name=f"agent {number}",
                first_s=usual if alike else rng.uniform(0.06, 0.12) + 0.15 * (number % 2),
                tools=tuple(
                    (tool, usual if tool == SAME else rng.uniform(0.05, 0.2)) for tool in tools
                ),
                last_s=rng.uniform(0.06, 0.12) + 0.15 * (1 - number % 2),
            )
        )
    return Program(
        seed=seed,
        kind=kind,
        agents=tuple(agents),
        final_s=rng.uniform(0.05, 0.15),
        gap_s=rng.uniform(0.12, 0.25),
        backoff_s=rng.uniform(0.05, 0.12),
        limit=2,
        defects=frozenset(defects),
    )


def trace_of(program: Program, defects: Defects) -> SpanTable:
    """Run a program with these of its defects and return its trace."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(RecordingProcessor(_raise))
    provider.add_span_processor(SimpleSpanProcessor(exporter))

    async def whole() -> None:
        running = _Running(program, defects)
        await asyncio.sleep(0.01)
        async with spans.run("program", provider=provider, attributes={}):
            await running.run()

    asyncio.run(whole())
    (trace,) = from_spans(list(exporter.get_finished_spans()))
    return trace


def _raise(error: BaseException) -> None:
    raise error


class _State(TypedDict):
    done: Annotated[list[str], operator.add]


class _Running:
    """One run of a program."""

    def __init__(self, program: Program, defects: Defects) -> None:
        self.program = program
        self.defects = defects
        self.fetched: dict[str, asyncio.Task[None]] = {}
        self.slots = asyncio.Semaphore(program.limit)
        self.threads = ThreadPoolExecutor(
            program.limit if Defect.LIMIT in defects else len(program.agents)
        )
        self.dispatcher: SpanContext | None = None
        # LangGraph imports and compiles outside the run, which takes longer on a busy machine.
        graphs: dict[str, Callable[[], Callable[[], Awaitable[object]]]] = {
            "barrier": self._two_nodes_an_agent,
            "steps": self._a_node_an_agent,
        }
        build = graphs.get(program.kind)
        self.fan_out = build() if build else self._tasks

    async def run(self) -> None:
        with spans.dispatch("agents", fanout=len(self.program.agents)) as span:
            self.dispatcher = span.get_span_context()
        await self.fan_out()
        if Defect.GAP in self.program.defects and Defect.GAP in self.defects:
            await asyncio.sleep(self.program.gap_s)
        if Defect.MANY_CALLS in self.program.defects:
            await self._small_calls()
        await self._chat("judge", self.program.final_s, 0)
        self.threads.shutdown()

    async def _tasks(self) -> None:
        agents = [self._agent(agent) for agent in self.program.agents]
        if Defect.DISPATCH in self.defects:
            for agent in agents:
                await agent
        else:
            await asyncio.gather(*agents)

    async def _agent(self, agent: Agent, task: GraphPlace | None = None) -> None:
        if self.program.kind == "executor":
            context = contextvars.copy_context()
            work = partial(context.run, self._in_thread, agent)
            await asyncio.get_running_loop().run_in_executor(self.threads, work)
            return
        with spans.agent(agent.name, dispatcher=self.dispatcher, task=task):
            await self._first_turn(agent)
            if self.program.kind == "semaphore":
                return
            tools = [self._tool(name, seconds) for name, seconds in agent.tools]
            if Defect.TOOLS in self.defects:
                for tool in tools:
                    await tool
            else:
                await asyncio.gather(*tools)
            await self._chat(agent.name, agent.last_s, 1)

    def _in_thread(self, agent: Agent) -> None:
        with (
            spans.agent(agent.name, dispatcher=self.dispatcher),
            spans.chat("model", agent=agent.name, turn=0),
        ):
            time.sleep(agent.first_s)

    async def _first_turn(self, agent: Agent) -> None:
        troubled = agent is self.program.agents[0] and Defect.RETRIES in self.defects
        if troubled:
            try:
                await self._chat(agent.name, agent.first_s, 0, fails=True)
            except RuntimeError:
                await asyncio.sleep(self.program.backoff_s)
        await self._chat(agent.name, agent.first_s, 0)

    async def _chat(self, agent: str, seconds: float, turn: int, *, fails: bool = False) -> None:
        limited = agent != "judge" and self.program.kind == "semaphore"
        blocks = agent != "judge" and self.program.kind == "blocking" and turn == 0
        with spans.chat("model", agent=agent, turn=turn):
            if fails:
                await asyncio.sleep(seconds / 2)
                raise RuntimeError("the first attempt fails")
            if blocks and Defect.BLOCKING in self.defects:
                time.sleep(seconds)  # noqa: ASYNC251
            elif limited and Defect.LIMIT in self.defects:
                async with self.slots:
                    await asyncio.sleep(seconds)
            else:
                await asyncio.sleep(seconds)

    async def _tool(self, name: str, seconds: float) -> None:
        with spans.tool(name, call_id=name, args_hash=name, turn=0):
            if Defect.DUPLICATES in self.defects or name != SAME:
                await self._fetch(name, seconds)
            else:
                if name not in self.fetched:
                    self.fetched[name] = asyncio.create_task(self._fetch(name, seconds))
                await self.fetched[name]

    async def _fetch(self, name: str, seconds: float) -> None:
        with spans.fetch(name):
            await asyncio.sleep(seconds)

    async def _small_calls(self) -> None:
        calls = [self._small(n) for n in range(self.program.small)]
        if Defect.MANY_CALLS in self.defects:
            for call in calls:
                await call
        else:
            await asyncio.gather(*calls)

    async def _small(self, number: int) -> None:
        with spans.fetch("row", params={"number": str(number)}):
            await asyncio.sleep(self.program.small_s)

    def _a_node_an_agent(self) -> Callable[[], Awaitable[object]]:
        """One node an agent: LangGraph sends them all at once, or one after the other."""
        graph = StateGraph(_State)
        names = [agent.name for agent in self.program.agents]
        for agent in self.program.agents:
            graph.add_node(agent.name, self._node(agent))
        if Defect.DISPATCH in self.defects:
            for before, after in zip([START, *names], [*names, END], strict=True):
                graph.add_edge(before, after)
        else:
            for name in names:
                graph.add_edge(START, name)
                graph.add_edge(name, END)
        limited = Defect.LIMIT in self.program.defects and Defect.LIMIT in self.defects
        config: RunnableConfig = {"max_concurrency": self.program.limit} if limited else {}
        return partial(graph.compile().ainvoke, {"done": []}, config)

    def _node(self, agent: Agent) -> Any:
        async def run(state: _State, config: RunnableConfig) -> _State:
            found = config["metadata"]
            task = GraphPlace(found["langgraph_node"], found["langgraph_step"], "task")
            await self._agent(agent, task)
            return {"done": [agent.name]}

        return run

    def _two_nodes_an_agent(self) -> Callable[[], Awaitable[object]]:
        """Turn and tools as nodes of one graph, at its barrier; mended, as one node."""
        graph = StateGraph(_State)
        for agent in self.program.agents:
            if Defect.BARRIER not in self.defects:
                graph.add_node(agent.name, self._steps(agent, agent.first_s, agent.last_s))
                graph.add_edge(START, agent.name)
                graph.add_edge(agent.name, END)
                continue
            later = f"{agent.name} tools"
            graph.add_node(agent.name, self._steps(agent, agent.first_s))
            graph.add_node(later, self._steps(agent, agent.last_s))
            graph.add_edge(START, agent.name)
            graph.add_edge(agent.name, later)
            graph.add_edge(later, END)
        return partial(graph.compile().ainvoke, {"done": []})

    def _steps(self, agent: Agent, *seconds: float) -> Any:
        async def run(state: _State, config: RunnableConfig) -> _State:
            found = config["metadata"]
            task = GraphPlace(found["langgraph_node"], found["langgraph_step"], "task")
            for each in seconds:
                with spans.agent(agent.name, task=task):
                    await self._chat(agent.name, each, 1)
            return {"done": [agent.name]}

        return run
