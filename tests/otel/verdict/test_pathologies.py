"""Every way to be serial, or only to look parallel, as a real program that is run and judged.

`looks_parallel` is the naive check of the spans around the work; where it is fooled, the test
asserts that too.
"""

import asyncio
import contextvars
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind, TraceState, get_current_span
from opentelemetry.util.types import Attributes

from tests.recorded_program import GATE, looks_parallel, record, results, spin, trace_of
from trading_graph.otel import spans
from trading_graph.otel.sources.in_memory import from_spans
from trading_graph.otel.verdict import Outcome, judge

pytestmark = pytest.mark.idle

NAMES = ("market", "social", "news", "fundamentals")
CALL_S = 0.15

Agent = Callable[[str], Awaitable[None]]


async def call(name: str, turn: int = 0) -> None:
    """One LLM call that waits as for a network."""
    with spans.chat("model", agent=name, turn=turn):
        await asyncio.sleep(CALL_S)


async def agent(name: str) -> None:
    with spans.agent(name):
        await call(name)


async def dispatch() -> None:
    with spans.dispatch("agents", fanout=len(NAMES)):
        pass


async def at_once(one: Agent) -> None:
    await dispatch()
    await asyncio.gather(*(one(name) for name in NAMES))


async def use_tool(name: str, turn: int = 0) -> None:
    with (
        spans.tool(name, call_id=name, args_hash=name, turn=turn),
        spans.fetch(name, params={"turn": str(turn)}),
    ):
        await asyncio.sleep(CALL_S)


def blocking_line(function: str) -> str:
    """The place of the call that sleeps in a function of this file, as a verdict names it."""
    lines = Path(__file__).read_text().splitlines()
    begin = next(n for n, line in enumerate(lines) if f"async def {function}(" in line)
    number = next(n for n, line in enumerate(lines[begin:], begin + 1) if "time.sleep(" in line)
    return f"{Path(__file__).name}:{number} {function}"


def test_truly_parallel_is_proven() -> None:
    found = results(trace_of(partial(at_once, agent)))
    assert found["agents"].outcome is Outcome.PASS
    assert found["agents"].grade == "proven"
    assert found["start"].outcome is Outcome.PASS
    assert found["errors"].outcome is Outcome.PASS


def test_a_blocking_call_in_async_code() -> None:
    async def blocking(name: str) -> None:
        with spans.agent(name), spans.chat("model", agent=name, turn=0):
            time.sleep(CALL_S)  # noqa: ASYNC251

    found = results(trace_of(partial(at_once, blocking)))["agents"]
    assert found.outcome is Outcome.FAIL
    assert found.grade.startswith("serial: the event loop was blocked for ")
    assert blocking_line("blocking") in found.grade
    assert "await it" in found.advice


def test_await_then_block_fools_the_spans_of_the_agents() -> None:
    async def polite_then_blocking(name: str) -> None:
        with spans.agent(name):
            await asyncio.sleep(0.01)
            with spans.chat("model", agent=name, turn=0):
                time.sleep(CALL_S)  # noqa: ASYNC251

    trace = trace_of(partial(at_once, polite_then_blocking))
    found = results(trace)["agents"]
    assert looks_parallel(trace)
    assert found.outcome is Outcome.FAIL
    assert found.grade.startswith("serial: the event loop was blocked for ")
    assert blocking_line("polite_then_blocking") in found.grade


def test_a_block_inside_the_innermost_span_fools_the_leaves_too() -> None:
    async def blocking_inside(name: str) -> None:
        with spans.agent(name), spans.chat("model", agent=name, turn=0):
            await asyncio.sleep(0.01)
            time.sleep(CALL_S)  # noqa: ASYNC251

    trace = trace_of(partial(at_once, blocking_inside))
    found = results(trace)["agents"]
    assert looks_parallel(trace)
    assert looks_parallel(trace, "chat ")
    assert found.outcome is Outcome.FAIL
    assert found.grade.startswith("serial: the event loop was blocked for ")
    assert blocking_line("blocking_inside") in found.grade


@pytest.mark.alone
def test_cpu_work_in_threads() -> None:
    def work(name: str) -> None:
        with spans.agent(name), spans.chat("model", agent=name, turn=0):
            spin(CALL_S)

    async def in_thread(name: str) -> None:
        await asyncio.to_thread(work, name)

    trace = trace_of(partial(at_once, in_thread))
    found = results(trace)["agents"]
    assert looks_parallel(trace)
    assert looks_parallel(trace, "chat ")
    assert found.outcome is Outcome.FAIL
    assert "interpreter lock" in found.grade
    assert "processes" in found.advice


def test_a_cold_import_inside_a_span(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "heavy_client"
    package.mkdir()
    parts = 40
    for number in range(parts):
        (package / f"part{number}.py").write_text("import time\ntime.sleep(0.005)\n")
    (package / "__init__.py").write_text(
        "".join(f"from heavy_client import part{number}\n" for number in range(parts))
    )
    monkeypatch.syspath_prepend(str(tmp_path))

    async def importing(name: str) -> None:
        with spans.agent(name), spans.chat("model", agent=name, turn=0):
            await asyncio.sleep(0.01)
            __import__("heavy_client")
            await asyncio.sleep(0.05)

    trace = trace_of(partial(at_once, importing))
    found = results(trace)["agents"]
    assert looks_parallel(trace)
    assert found.outcome is Outcome.FAIL
    assert found.grade.startswith("serial: modules were imported while it ran, blocked for ")
    assert "before the run" in found.advice


@pytest.mark.parametrize("width", [1, 2])
def test_a_semaphore_inside_the_span(width: int) -> None:
    async def program() -> None:
        gate = asyncio.Semaphore(width)

        async def limited(name: str) -> None:
            with spans.agent(name), spans.chat("model", agent=name, turn=0):
                async with gate:
                    await asyncio.sleep(CALL_S)

        await at_once(limited)

    trace = trace_of(program)
    found = results(trace)["agents"]
    assert looks_parallel(trace)
    assert looks_parallel(trace, "chat ")
    assert found.outcome is Outcome.FAIL
    limit = {1: "serial: a semaphore", 2: "suspicious: a semaphore"}[width]
    assert found.grade.startswith(limit)
    assert width == 1 or "(2 at a time)" in found.grade


def test_a_pool_of_two_threads() -> None:
    def work(name: str) -> None:
        with spans.agent(name), spans.chat("model", agent=name, turn=0):
            time.sleep(CALL_S)

    async def program() -> None:
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(2) as executor:

            def submit(name: str) -> Awaitable[None]:
                context = contextvars.copy_context()
                return loop.run_in_executor(executor, context.run, work, name)

            await at_once(submit)

    found = results(trace_of(program))["agents"]
    assert found.outcome is Outcome.FAIL
    assert found.grade == "serial: an executor has too few threads (2 at once)"


async def one_after_the_other(parts: Sequence[Callable[[], Awaitable[None]]]) -> None:
    for part in parts:
        await part()


def test_sequential_dispatch() -> None:
    async def program() -> None:
        await dispatch()
        await one_after_the_other([partial(agent, name) for name in NAMES])

    found = results(trace_of(program))
    assert found["agents"].outcome is Outcome.FAIL
    assert found["agents"].grade == "serial: they were dispatched one after the other"
    assert found["start"].outcome is Outcome.FAIL
    assert len(found["start"].spans) == len(NAMES) - 1, "all but the first came late"


def test_sequential_tools_of_one_turn() -> None:
    async def program() -> None:
        with spans.agent("market"):
            await call("market")
            await one_after_the_other([partial(use_tool, name) for name in ("prices", "news")])

    found = results(trace_of(program))["turns"]
    assert found.outcome is Outcome.FAIL
    assert found.grade == "serial: they were dispatched one after the other"


def test_tools_of_two_turns_depend_on_the_call_between_them() -> None:
    async def program() -> None:
        with spans.agent("market"):
            for turn in range(2):
                await call("market", turn)
                await use_tool("prices", turn)

    found = results(trace_of(program))
    assert found["turns"].outcome is Outcome.NOT_APPLICABLE
    assert found["tools"].outcome is Outcome.FAIL
    assert found["tools"].grade == "serial: an LLM turn stands between them"


def test_a_late_agent_is_listed() -> None:
    async def sometimes_late(name: str) -> None:
        if name == "news":
            await asyncio.sleep(2 * CALL_S)
        await agent(name)

    trace = trace_of(partial(at_once, sometimes_late))
    found = results(trace)["start"]
    assert found.outcome is Outcome.FAIL
    assert [span.name for span in found.spans] == ["invoke_agent news"]


def test_a_cancelled_sibling_is_no_success() -> None:
    async def failing(name: str) -> None:
        with spans.agent(name):
            if name == "news":
                await asyncio.sleep(0.01)
                raise ValueError("no news")
            await call(name)

    async def program() -> None:
        async with asyncio.TaskGroup() as group:
            for name in NAMES:
                group.create_task(failing(name))

    async def surviving() -> None:
        with pytest.raises(ExceptionGroup):
            await program()

    found = results(trace_of(surviving))["errors"]
    assert found.outcome is Outcome.FAIL
    assert "cancelled" in found.measured
    assert "ValueError" in found.measured


def test_a_failed_agent_whose_error_was_swallowed() -> None:
    async def swallowing(name: str) -> None:
        with pytest.raises(TimeoutError), spans.agent(name):
            async with asyncio.timeout(0.01):
                await call(name)

    found = results(trace_of(partial(at_once, swallowing)))["errors"]
    assert found.outcome is Outcome.FAIL
    assert "timeout" in found.measured


def test_retries_do_not_hide() -> None:
    async def retrying(name: str) -> None:
        with spans.agent(name), spans.chat("model", agent=name, turn=0):
            get_current_span().add_event("retry", {"attempt": 1})
            await asyncio.sleep(CALL_S)

    found = results(trace_of(partial(at_once, retrying)))["errors"]
    assert found.outcome is Outcome.FAIL
    assert "4 retried" in found.measured


def test_a_task_that_outlives_the_run_leaves_no_verdict() -> None:
    detached: list[asyncio.Task[None]] = []

    async def program() -> None:
        await at_once(agent)
        detached.append(asyncio.create_task(agent("afterthought")))
        await asyncio.sleep(0.01)

    (trace,) = from_spans(record(program))
    verdict = judge(trace, GATE)
    assert not verdict.judged
    assert any("2 of the 12 spans" in sentence for sentence in verdict.missing)


def test_any_span_that_is_missing_is_missed() -> None:
    recorded = record(partial(at_once, agent))
    for lost in recorded:
        (trace,) = from_spans([span for span in recorded if span is not lost])
        assert not judge(trace, GATE).judged, lost.name


class WithoutTools(Sampler):
    """Drops the tool spans, as a sampler by span does."""

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Drop what executes a tool."""
        drop = name.startswith("execute_tool")
        return SamplingResult(Decision.DROP if drop else Decision.RECORD_AND_SAMPLE)

    def get_description(self) -> str:
        """Say what it does."""
        return "without tools"


def test_a_sampled_trace_is_no_whole_one() -> None:
    async def program() -> None:
        with spans.agent("market"):
            await asyncio.gather(use_tool("prices"), use_tool("news"))

    assert from_spans(record(program, ALWAYS_OFF)) == []
    (thinned,) = from_spans(record(program, WithoutTools()))
    verdict = judge(thinned, GATE)
    assert not verdict.judged
    assert any("orphans" in sentence for sentence in verdict.missing)
