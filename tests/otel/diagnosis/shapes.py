"""Small real programs of many shapes, each in a slow and a mended form, under plain OpenTelemetry.

A shape is a coroutine that sleeps where a real program would call a model. Mended, it does what the
finding of its slow form advises. Shapes without a mended form have nothing to mend, because their
parts need each other; nothing sure may be promised of them.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Span, SpanKind
from opentelemetry.util.types import AttributeValue

from trading_graph.otel.diagnosis import FindingKind, Fix, Parallelise
from trading_graph.otel.sources.in_memory import from_spans
from trading_graph.otel.trace import SpanTable
from trading_graph.otel.vocabularies import witness
from trading_graph.otel.witness import recording

Step = Callable[[], Awaitable[object]]


class Tracing:
    """Opens the spans of one run."""

    def __init__(self, exporter: InMemorySpanExporter, process: str = "main") -> None:
        resource = Resource({"service.name": "shapes", "service.instance.id": process})
        provider = TracerProvider(resource=resource)
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        self.exporter = exporter
        self._tracer = provider.get_tracer("shapes")

    @contextmanager
    def span(
        self, name: str, kind: SpanKind = SpanKind.INTERNAL, **attributes: AttributeValue
    ) -> Iterator[Span]:
        """Open a span; an underscore pair in an attribute's name stands for a dot."""
        dotted = {key.replace("__", "."): value for key, value in attributes.items()}
        with self._tracer.start_as_current_span(name, kind=kind, attributes=dotted) as span:
            yield span

    async def chat(self, seconds: float, name: str = "chat model") -> None:
        """Call a model."""
        with self.span(name, SpanKind.CLIENT, gen_ai__operation__name="chat"):
            await asyncio.sleep(seconds)

    async def agent(self, name: str, *seconds: float) -> None:
        """Run an agent that calls its model once for each of these times."""
        with self.span(name, gen_ai__operation__name="invoke_agent", gen_ai__agent__name=name):
            for each in seconds:
                await self.chat(each)

    async def tool(self, name: str, seconds: float, call: str) -> None:
        """Run a tool that the model asked for by a call id."""
        with self.span(name, gen_ai__operation__name="execute_tool", gen_ai__tool__call__id=call):
            await asyncio.sleep(seconds)

    async def request(self, name: str, seconds: float) -> None:
        """Ask another service."""
        with self.span(name, SpanKind.CLIENT, http__request__method="GET", url__full=name):
            await asyncio.sleep(seconds)


Program = Callable[[Tracing, bool], Awaitable[None]]


@dataclass(frozen=True)
class Shape:
    """A program, and what has to be said of its slow form.

    `kind` is the finding that names what is slow, and whose fix is the mended form; None where
    nothing is to be found. `fixes` are the changes of the mended form where no finding offers them.
    `is_mendable` is false where the parts need each other. `is_sure` says that the gain is proven.
    """

    program: Program
    kind: FindingKind | None
    is_mendable: bool = True
    is_sure: bool = False
    blocks: bool = False
    fixes: Callable[[SpanTable], Sequence[Fix]] | None = None

    @property
    def name(self) -> str:
        """The name of the program."""
        return self.program.__name__


def run_of(shape: Shape, *, mended: bool) -> tuple[SpanTable, float]:
    """The trace of a run, and the longest time for which its loop was late, in milliseconds."""
    exporter = InMemorySpanExporter()
    tracing = Tracing(exporter)

    async def whole() -> None:
        with tracing.span("program"):
            await shape.program(tracing, mended)

    with recording():
        asyncio.run(whole())
    ended = exporter.get_finished_spans()
    lag_ms = witness.loop_lag_ms(ended[-1].attributes or {}) or 0.0
    (trace,) = from_spans(ended if shape.blocks else [_from_times_alone(span) for span in ended])
    return trace, lag_ms


def _from_times_alone(span: ReadableSpan) -> ReadableSpan:
    """A span as a program without the witness records it."""
    attributes = {
        key: value
        for key, value in (span.attributes or {}).items()
        if not key.startswith(("witness.", "thread."))
    }
    return ReadableSpan(
        span.name,
        span.get_span_context(),
        span.parent,
        span.resource,
        attributes,
        span.events,
        span.links,
        span.kind,
        status=span.status,
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


async def _steps(at_once: bool, *steps: Step) -> None:
    """Take steps at once, or one after the other."""
    if at_once:
        await asyncio.gather(*(step() for step in steps))
    else:
        for step in steps:
            await step()


_STAGES = {"collector": (0.14,), "writer": (0.1, 0.12), "editor": (0.09,), "publisher": (0.13,)}


async def pipeline_of_independent_agents(t: Tracing, mended: bool) -> None:
    """Stages in a row, none of which reads what another wrote."""
    await _steps(mended, *(partial(t.agent, name, *s) for name, s in _STAGES.items()))
    await t.chat(0.1)


async def pipeline_of_dependent_agents(t: Tracing, mended: bool) -> None:
    """Stages in a row, each of which reads what the one before wrote."""
    text = ""
    for name, seconds in _STAGES.items():
        assert text or name == "collector"
        await t.agent(name, *seconds)
        text += name
    await t.chat(0.1)


async def independent_calls(t: Tracing, mended: bool) -> None:
    """Requests in a row of which none needs another."""
    await t.chat(0.08)
    await _steps(mended, *(partial(t.request, f"/{n}", 0.08 + 0.02 * n) for n in range(4)))


async def many_small_calls(t: Tracing, mended: bool) -> None:
    """The rows of a list, asked for one by one."""
    await t.request("/list", 0.15)
    await _steps(mended, *(partial(t.request, "/row", 0.04) for _ in range(12)))


async def pages(t: Tracing, mended: bool) -> None:
    """Pages, each of which says where the next one is."""
    following = 0
    while following < 5:
        await t.request("/page", 0.09)
        following += 1


_ROUNDS = (("bull", 0.13), ("bear", 0.16)), (("bull", 0.17), ("bear", 0.1))


async def debate_in_rounds(t: Tracing, mended: bool) -> None:
    """Two sides that speak in turn, with a span for each round; mended, at once in each."""
    for number, sides in enumerate(_ROUNDS):
        with t.span(f"round {number}"):
            await _steps(mended, *(partial(t.agent, *side) for side in sides))
    await t.agent("judge", 0.1)


async def debate_without_rounds(t: Tracing, mended: bool) -> None:
    """Two sides that speak in turn, all beside each other."""
    for sides in _ROUNDS:
        await _steps(mended, *(partial(t.agent, *side) for side in sides))
    await t.agent("judge", 0.1)


def _both_sides_at_once(trace: SpanTable) -> list[Fix]:
    bulls, bears = (
        [row for row, name in enumerate(trace.names) if name == side] for side in ("bull", "bear")
    )
    return [Parallelise(pair) for pair in zip(bulls, bears, strict=True)]


async def debate_of_dependent_sides(t: Tracing, mended: bool) -> None:
    """Two sides, each of which answers the other."""
    said: list[str] = []
    for name in ("bull", "bear", "bull", "bear"):
        await t.agent(name, 0.1 + 0.01 * len(said))
        said.append(name)
    await t.agent("judge", 0.1)


async def late_branch(t: Tracing, mended: bool) -> None:
    """Three branches start at once, the longest one later."""

    async def later() -> None:
        await asyncio.sleep(0 if mended else 0.17)
        await t.agent("late", 0.14, 0.16)

    names = ("first", "second", "third")
    await asyncio.gather(*(t.agent(name, 0.1, 0.13) for name in names), later())
    await t.chat(0.1)


async def two_late_branches(t: Tracing, mended: bool) -> None:
    """Two of five requests start later than the others, and not at the same time."""

    async def later(name: str, pause: float, seconds: float) -> None:
        await asyncio.sleep(0 if mended else pause)
        await t.request(name, seconds)

    await t.chat(0.1)
    await asyncio.gather(
        *(t.request(f"/{n}", 0.25 + 0.02 * n) for n in range(3)),
        later("/late", 0.15, 0.24),
        later("/later", 0.2, 0.28),
    )


async def _behind(t: Tracing, slots: asyncio.Semaphore | None, name: str, seconds: float) -> None:
    """Wait for a slot inside the span of an agent, and then call its model."""
    with t.span(name, gen_ai__operation__name="invoke_agent", gen_ai__agent__name=name):
        if slots is None:
            await t.chat(seconds)
        else:
            async with slots:
                await t.chat(seconds)


_UNEQUAL = (0.1, 0.14, 0.09, 0.17, 0.15, 0.12)


async def semaphore_of_one_inside_agents(t: Tracing, mended: bool) -> None:
    """Agents that let one of them work at a time, of unequal work."""
    slots = None if mended else asyncio.Semaphore(1)
    await asyncio.gather(*(_behind(t, slots, f"agent {n}", s) for n, s in enumerate(_UNEQUAL[:4])))
    await t.chat(0.1)


async def semaphore_of_two_inside_agents(t: Tracing, mended: bool) -> None:
    """Agents that let two of them work at a time, of unequal work."""
    slots = None if mended else asyncio.Semaphore(2)
    await asyncio.gather(*(_behind(t, slots, f"agent {n}", s) for n, s in enumerate(_UNEQUAL)))
    await t.chat(0.1)


async def _waits_inside(t: Tracing, width: int, mended: bool, count: int) -> None:
    slots = asyncio.Semaphore(count if mended else width)

    async def call() -> None:
        with t.span("chat model", SpanKind.CLIENT, gen_ai__operation__name="chat"):
            async with slots:
                await asyncio.sleep(0.13)

    await asyncio.gather(*(call() for _ in range(count)))
    await t.chat(0.1, "chat judge")


async def semaphore_of_one_inside_calls(t: Tracing, mended: bool) -> None:
    """Equal calls whose spans hold the wait for the others."""
    await _waits_inside(t, 1, mended, 4)


async def semaphore_of_two_inside_calls(t: Tracing, mended: bool) -> None:
    """Equal calls whose spans hold the wait for the others, two at a time."""
    await _waits_inside(t, 2, mended, 6)


async def limit_outside(t: Tracing, mended: bool) -> None:
    """Calls that wait before their spans open, two at a time, of unequal work."""
    slots = asyncio.Semaphore(6 if mended else 2)

    async def call(name: str, seconds: float) -> None:
        async with slots:
            await t.agent(name, seconds)

    await asyncio.gather(*(call(f"agent {n}", s) for n, s in enumerate(_UNEQUAL)))
    await t.chat(0.1)


async def limit_of_three_outside(t: Tracing, mended: bool) -> None:
    """Requests of a pool of three workers, of unequal work."""
    slots = asyncio.Semaphore(8 if mended else 3)

    async def call(name: str, seconds: float) -> None:
        async with slots:
            await t.request(name, seconds)

    await t.chat(0.08)
    await asyncio.gather(
        *(call(f"/{n}", s) for n, s in enumerate((0.1, 0.16, 0.12, 0.17, 0.09, 0.15, 0.13, 0.11)))
    )


async def server_that_answers_one_by_one(t: Tracing, mended: bool) -> None:
    """Clients that ask at once, and a server in another process that answers in turn."""
    server, turn = Tracing(t.exporter, "server"), asyncio.Semaphore(4 if mended else 1)

    async def ask(number: int, seconds: float) -> None:
        with t.span(f"GET /{number}", SpanKind.CLIENT, http__request__method="GET"):
            async with turn:
                with server.span("GET", SpanKind.SERVER, http__request__method="GET"):
                    await asyncio.sleep(seconds)

    await asyncio.gather(*(ask(n, seconds) for n, seconds in enumerate(_UNEQUAL[:4])))
    await t.chat(0.1)


async def fan_out_after_a_gap(t: Tracing, mended: bool) -> None:
    """Nothing runs between a plan and the branches that it starts."""
    await t.chat(0.12, "chat planner")
    if not mended:
        await asyncio.sleep(0.2)
    await asyncio.gather(*(t.agent(f"agent {n}", s, 0.1) for n, s in enumerate(_UNEQUAL[:4])))
    await t.chat(0.1, "chat judge")


async def chains_of_unequal_length(t: Tracing, mended: bool) -> None:
    """Branches of two or three nodes that wait for each other after each; mended, for nothing."""
    lengths = {"a": (0.1, 0.22, 0.11), "b": (0.24, 0.09, 0.2), "c": (0.12, 0.13, 0.0)}

    def task(name: str, step: int) -> AbstractContextManager[Span]:
        metadata = {
            "langgraph_node": name,
            "langgraph_step": step,
            "langgraph_checkpoint_ns": f"{name}:{step}",
        }
        said = json.dumps(metadata)
        return t.span(name, metadata=said, openinference__span__kind="CHAIN")

    async def node(name: str, step: int) -> None:
        with task(f"{name} {step}", step + 1):
            await t.chat(lengths[name][step])

    async def chain(name: str) -> None:
        with task(name, 1):
            for seconds in filter(None, lengths[name]):
                await t.chat(seconds)

    if mended:
        await asyncio.gather(*map(chain, lengths))
        return
    for step in range(3):
        await asyncio.gather(*(node(name, step) for name in lengths if lengths[name][step]))


async def agents_with_nodes_of_tools(t: Tracing, mended: bool) -> None:
    """Agents in a row, each of which is visited again after its tools."""

    async def loop(name: str, first: float, tools: float, last: float) -> None:
        await t.agent(name, first)
        await t.agent(f"{name} tools", tools)
        await t.agent(name, last)

    loops = ("market", 0.1, 0.08, 0.12), ("news", 0.13, 0.09, 0.07), ("social", 0.08, 0.1, 0.1)
    await _steps(mended, *(partial(loop, *each) for each in loops))


async def tools_of_two_turns(t: Tracing, mended: bool) -> None:
    """Tools of a turn, one after the other, in two turns."""
    with t.span("invoke_agent", gen_ai__operation__name="invoke_agent"):
        for turn in range(2):
            await t.chat(0.09)
            calls = [(f"tool {n}", 0.08 + 0.03 * n, f"call {turn} {n}") for n in range(3)]
            await _steps(mended, *(partial(t.tool, *call) for call in calls))
        await t.chat(0.1)


async def one_tool_a_turn(t: Tracing, mended: bool) -> None:
    """An agent that asks for one tool in each turn."""
    with t.span("invoke_agent", gen_ai__operation__name="invoke_agent"):
        for turn in range(3):
            await t.chat(0.1)
            await t.tool("search", 0.1 + 0.02 * turn, f"call {turn}")
        await t.chat(0.1)


async def manager_after_its_analysts(t: Tracing, mended: bool) -> None:
    """Analysts at once, and then a manager who reads them."""
    await asyncio.gather(*(t.agent(f"analyst {n}", s) for n, s in enumerate(_UNEQUAL[:4])))
    await t.agent("manager", 0.2)


async def _two_loops(t: Tracing, process: str, mended: bool) -> None:
    """Agents on two loops, one of which blocks; the other one has its own."""

    async def elsewhere() -> None:
        there = Tracing(t.exporter, process)

        async def blocking(name: str, seconds: float) -> None:
            with there.span(name, gen_ai__operation__name="invoke_agent"):
                await asyncio.sleep(0.03)
                with there.span("chat model", SpanKind.CLIENT, gen_ai__operation__name="chat"):
                    if mended:
                        await asyncio.sleep(seconds)
                    else:
                        time.sleep(seconds)  # noqa: ASYNC251

        with there.span("there"):
            work = enumerate((0.15, 0.18, 0.14))
            await asyncio.gather(*(blocking(f"there {n}", s) for n, s in work))

    async def here() -> None:
        with t.span("here"):
            await asyncio.gather(*(t.agent(f"here {n}", 0.07, 0.08) for n in range(3)))

    await asyncio.gather(asyncio.to_thread(asyncio.run, elsewhere()), here())
    await t.chat(0.1, "chat judge")


async def two_loops_in_threads(t: Tracing, mended: bool) -> None:
    """Two loops of one process."""
    await _two_loops(t, "main", mended)


async def two_loops_in_processes(t: Tracing, mended: bool) -> None:
    """Two loops that say they are in processes of their own."""
    await _two_loops(t, "other", mended)


SHAPES = (
    Shape(pipeline_of_independent_agents, FindingKind.SERIAL_AGENTS),
    Shape(pipeline_of_dependent_agents, FindingKind.SERIAL_AGENTS, is_mendable=False),
    Shape(independent_calls, FindingKind.SERIAL_CALLS),
    Shape(many_small_calls, FindingKind.MANY_SMALL_CALLS),
    Shape(pages, FindingKind.SERIAL_CALLS, is_mendable=False),
    Shape(debate_in_rounds, FindingKind.SERIAL_AGENTS),
    Shape(debate_without_rounds, FindingKind.SERIAL_AGENTS, fixes=_both_sides_at_once),
    Shape(debate_of_dependent_sides, FindingKind.SERIAL_AGENTS, is_mendable=False),
    Shape(late_branch, FindingKind.LATE_BRANCH),
    Shape(two_late_branches, FindingKind.LATE_BRANCH),
    Shape(semaphore_of_one_inside_agents, FindingKind.LIMIT),
    Shape(semaphore_of_two_inside_agents, FindingKind.LIMIT),
    Shape(semaphore_of_one_inside_calls, FindingKind.LIMIT),
    Shape(semaphore_of_two_inside_calls, FindingKind.LIMIT),
    Shape(limit_outside, FindingKind.LIMIT),
    Shape(limit_of_three_outside, FindingKind.LIMIT),
    Shape(server_that_answers_one_by_one, FindingKind.SERVER),
    Shape(fan_out_after_a_gap, FindingKind.GAP),
    Shape(chains_of_unequal_length, FindingKind.BARRIER),
    Shape(agents_with_nodes_of_tools, FindingKind.SERIAL_AGENTS),
    Shape(tools_of_two_turns, FindingKind.SERIAL_TOOLS, is_sure=True),
    Shape(one_tool_a_turn, None, is_mendable=False),
    Shape(manager_after_its_analysts, None, is_mendable=False),
    Shape(two_loops_in_threads, FindingKind.BLOCKED_LOOP, is_sure=True, blocks=True),
    Shape(two_loops_in_processes, FindingKind.BLOCKED_LOOP, is_sure=True, blocks=True),
)
