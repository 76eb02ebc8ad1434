"""Spans and tasks of real programs are held as a plan says, and nothing else is."""

import asyncio
import json
import os
import shutil
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import Span, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.recording import traces, witnessed, write
from trading_graph.otel.probe.plan import Plan
from trading_graph.otel.probe.runs import ProbeRun, align
from trading_graph.otel.trace import SpanTable
from trading_graph.otel.vocabularies import witness as keys
from trading_graph.otel.witness import install, start, uninstall
from trading_graph.otel.witness.delays import PLAN, plan_for
from trading_graph.otel.witness.faults import faults
from trading_graph.otel.witness.installation import hold

pytestmark = pytest.mark.idle

HELD_S = 0.3
WORK_S = 0.05
Work = Callable[["App"], Awaitable[object]]


class App:
    """A program with a tracer of its own."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = provider.get_tracer("app")

    def run(self, work: Work, plan: Mapping[str, float], tasks_s: float = 0.0) -> dict[str, float]:
        """Run with a plan on a thread of its own; return how long each span took."""

        async def main() -> None:
            with self.tracer.start_as_current_span("run"):
                await work(self)

        install()
        try:
            hold(Plan("", os.getpid(), plan, tasks_s, others_s=60))
            with ThreadPoolExecutor(1) as thread:
                thread.submit(asyncio.run, main()).result()
        finally:
            uninstall()
        return {
            each.name: ((each.end_time or 0) - (each.start_time or 0)) / 1e9
            for each in self.exporter.get_finished_spans()
        }

    def said(self, name: str) -> Mapping[str, Any]:
        (span,) = [each for each in self.exporter.get_finished_spans() if each.name == name]
        return dict(span.attributes or {})

    async def call(self, name: str, seconds: float = WORK_S) -> None:
        with self.tracer.start_as_current_span(name):
            await asyncio.sleep(seconds)


@pytest.fixture
def app() -> Iterator[App]:
    faults.count = 0
    yield App()
    assert faults.count == 0


def test_a_span_is_held_and_its_neighbours_are_not(app: App) -> None:
    async def both(app: App) -> None:
        await asyncio.gather(app.call("slow"), app.call("other"))

    took = app.run(both, {"/run/slow": HELD_S})
    assert took["slow"] >= HELD_S + WORK_S
    assert took["other"] < HELD_S
    assert app.said("slow")[keys.DELAY_MS] == pytest.approx(HELD_S * 1e3)
    assert keys.DELAY_MS not in app.said("other")


def test_the_loop_is_free_while_a_span_is_held(app: App) -> None:
    took = app.run(lambda app: app.call("slow"), {"/run/slow": HELD_S})
    assert took["slow"] >= HELD_S
    assert app.said("slow")[keys.LOOP_LAG_MAX_MS] < HELD_S * 1e3 / 2


def test_a_plan_that_is_put_in_place_twice_holds_once(app: App) -> None:
    """The witness asks for it where the SDK is loaded and where it is installed itself."""
    plan = Plan("", os.getpid(), {"/run": HELD_S})
    install()
    try:
        hold(plan)
        once = Span.start
        hold(plan)
        assert Span.start is once
    finally:
        uninstall()
    assert Span.start is not once


def test_what_waits_for_a_held_span_moves_with_it(app: App) -> None:
    async def chain(app: App) -> None:
        await app.call("slow")
        await app.call("after")

    app.run(chain, {"/run/slow": HELD_S})
    spans = {each.name: each for each in app.exporter.get_finished_spans()}
    assert (spans["after"].start_time or 0) >= (spans["slow"].end_time or 0)
    assert (spans["after"].start_time or 0) - (spans["run"].start_time or 0) >= HELD_S * 1e9


def test_a_span_without_a_wait_is_not_held_and_says_no_delay(app: App) -> None:
    async def quick(app: App) -> None:
        with app.tracer.start_as_current_span("quick"):
            pass
        await asyncio.sleep(WORK_S)

    took = app.run(quick, {"/run/quick": HELD_S})
    assert took["run"] < HELD_S
    assert keys.DELAY_MS not in app.said("quick")


def test_a_held_span_can_be_cancelled(app: App) -> None:
    async def cancelled(app: App) -> None:
        task = asyncio.ensure_future(app.call("slow", 60))
        await asyncio.sleep(WORK_S)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    took = app.run(cancelled, {"/run/slow": HELD_S})
    assert HELD_S <= took["slow"] < 60


def test_a_job_on_a_thread_is_held(app: App) -> None:
    def job(app: App) -> None:
        with app.tracer.start_as_current_span("job"):
            time.sleep(WORK_S)

    async def main(app: App) -> None:
        await asyncio.gather(asyncio.to_thread(job, app), app.call("other"))

    took = app.run(main, {"/run/job": HELD_S})
    assert took["job"] >= HELD_S + WORK_S
    assert took["other"] < HELD_S


def test_tasks_that_are_made_together_start_in_another_order(app: App) -> None:
    names = [str(number) for number in range(8)]

    async def main(app: App) -> None:
        await asyncio.gather(*map(app.call, names))

    app.run(main, {}, HELD_S)
    spans = [each for each in app.exporter.get_finished_spans() if each.name != "run"]
    order = [each.name for each in sorted(spans, key=lambda each: each.start_time or 0)]
    assert sorted(order) == names
    assert order != names


async def _in_gather(tasks: list["asyncio.Task[None]"]) -> None:
    await asyncio.gather(*tasks)


async def _in_wait(tasks: list["asyncio.Task[None]"]) -> None:
    await asyncio.wait(tasks)


async def _in_turn(tasks: list["asyncio.Task[None]"]) -> None:
    for each in tasks:
        await each


async def _not_at_all(tasks: list["asyncio.Task[None]"]) -> None:
    await asyncio.sleep(6 * WORK_S)


@pytest.mark.parametrize(
    ("join", "is_awaited"),
    [(_in_gather, True), (_in_wait, True), (_in_turn, True), (_not_at_all, False)],
)
def test_tasks_that_a_task_awaited_are_noted(
    app: App, join: Callable[[list["asyncio.Task[None]"]], Awaitable[None]], is_awaited: bool
) -> None:
    async def main(app: App) -> None:
        tasks = [asyncio.create_task(app.call(str(n), (1 + 4 * n) * WORK_S)) for n in range(2)]
        await join(tasks)
        await app.call("after")
        await asyncio.gather(*tasks)

    app.run(main, {})
    theirs = {app.said(name)[keys.ACTIVITY] for name in "01"}
    assert len(theirs) == 2
    assert (theirs <= set(app.said("after").get(keys.ACTIVITY_AWAITED, ()))) is is_awaited


def test_a_task_that_is_made_alone_is_not_held(app: App) -> None:
    async def main(app: App) -> None:
        for number in range(5):
            await asyncio.create_task(app.call(str(number), 0.001))

    assert app.run(main, {}, HELD_S)["run"] < HELD_S


PROGRAM = """
import asyncio
from opentelemetry import trace

tracer = trace.get_tracer("app")

async def main():
    with tracer.start_as_current_span("run"):
        await asyncio.sleep(0.01)

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("token", "process", "is_held"),
    [
        ("mine", os.getpid(), True),
        ("another", os.getpid(), False),
        ("", os.getpid(), False),
        ("mine", 2**22 + 1, False),
    ],
    # Ids of processes differ between the workers of pytest-xdist.
    ids=["mine", "another", "none", "mine-of-another-process"],
)
def test_only_the_command_that_made_the_plan_delays(
    tmp_path: Path, token: str, process: int, is_held: bool
) -> None:
    """A variable that was left behind, and a plan of a command that is over, do nothing."""
    write(tmp_path, {"app.py": PROGRAM})
    (tmp_path / "out").mkdir()
    plan = Plan("mine", process, {"/run": HELD_S})
    (tmp_path / "out" / PLAN).write_text(plan.to_json())
    done = witnessed(tmp_path, "app.py", **{start.DELAYS: token})
    assert done.returncode == 0, done.stderr
    (trace,) = traces(tmp_path)
    assert (int(trace.duration[0]) >= HELD_S * 1e9) is is_held
    assert (keys.DELAY_MS in trace.attributes(0)) is is_held


SAME = PROGRAM.replace(
    "await asyncio.sleep(0.01)", "await asyncio.gather(*(same() for _ in range(3)))"
).replace(
    "async def main",
    """async def same():
    with tracer.start_as_current_span("same"):
        await asyncio.sleep(0.01)

async def main""",
)


def test_spans_of_one_name_are_told_apart_by_their_tasks(tmp_path: Path) -> None:
    """What a plan calls the second of three is known from a run in which nothing is held."""
    write(tmp_path, {"app.py": SAME})
    first = planned(tmp_path, Plan("mine", os.getpid()))
    runs = align([ProbeRun(first, 0, Plan("mine", 0))])
    second = runs.places.index((("same", 1),))
    trace = planned(tmp_path, Plan("mine", os.getpid(), {runs.keys[second]: HELD_S}))
    held = {trace.attributes(row)[keys.ACTIVITY]: row for row in trace.rows("same")}
    took = {path for path, row in held.items() if int(trace.duration[row]) >= HELD_S * 1e9}
    assert len(held) == 3
    assert took == {runs.activities[0][second]}


def planned(folder: Path, plan: Plan) -> SpanTable:
    """The trace of a program that runs in a process of its own with a plan."""
    shutil.rmtree(folder / "out", ignore_errors=True)
    (folder / "out").mkdir()
    (folder / "out" / PLAN).write_text(plan.to_json())
    done = witnessed(folder, "app.py", **{start.DELAYS: plan.token})
    assert done.returncode == 0, done.stderr
    (trace,) = traces(folder)
    return trace


def test_without_a_plan_nothing_of_it_is_imported(tmp_path: Path) -> None:
    write(tmp_path, {"app.py": PROGRAM + "import sys; print('session' in str(sys.modules))"})
    done = witnessed(tmp_path, "app.py")
    (trace,) = traces(tmp_path)
    assert done.stdout.split() == ["False"]
    assert not [key for key in trace.attributes(0) if key.startswith(keys.ACTIVITY)]


@pytest.mark.parametrize("content", ["", "[]", "{}", json.dumps({"token": "t", "process": "x"})])
def test_a_plan_that_cannot_be_read_holds_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / PLAN).write_text(content)
    assert plan_for(str(tmp_path), "t") is None


def test_a_plan_is_read_as_it_was_written(tmp_path: Path) -> None:
    plan = Plan("t", os.getpid(), {"/run": 0.25}, 0.01, 7, frozenset(["0.1"]), 0.5)
    (tmp_path / PLAN).write_text(plan.to_json())
    assert plan_for(str(tmp_path), "t") == plan
    assert sys.version_info >= (3, 11)
