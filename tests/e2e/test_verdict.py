"""The default gate on real runs: the good one passes, each slow one fails for its own reason."""

import asyncio
import time
from dataclasses import replace

import pytest

from tests.analysis_runner import CHOICE, Ran, Runner
from tests.faulty_model import Fault
from tests.undisturbed import TRIES, is_undisturbed
from trading_graph.graph.gate_loader import own_gate
from trading_graph.graph.options import Order
from trading_graph.otel.trace import SpanTable, TraceBuilder
from trading_graph.otel.verdict import CheckResult, Outcome, judge
from trading_graph.toolkit import data_attributes
from trading_graph.toolkit.dataset import tables

pytestmark = pytest.mark.idle(per_cpu=1)

GATE = own_gate()

# Long enough that the CPU is mostly idle: with less, the proof is honestly weaker.
UNHURRIED = replace(CHOICE, chat_latency_s=0.4, fetch_latency_s=0.15)


@pytest.fixture(scope="module")
def default_run(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """One run by default that the machine did not disturb, for all tests of one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_TRACES_EXPORTER", "none")
        for _ in range(TRIES):
            folder = tmp_path_factory.mktemp("default")
            ran = asyncio.run(Runner(folder)(choice=UNHURRIED))
            if is_undisturbed(folder / "trace-1.jsonl"):
                break
    return ran


def results(trace: SpanTable) -> dict[str, CheckResult]:
    verdict = judge(trace, GATE)
    assert verdict.judged, verdict.missing
    return {result.id: result for result in verdict.checks}


def failed(trace: SpanTable) -> set[str]:
    return {id for id, result in results(trace).items() if result.outcome is Outcome.FAIL}


@pytest.mark.smoke
def test_a_default_run_passes_with_every_check_proven(default_run: Ran) -> None:
    found = results(default_run.trace)
    assert {result.outcome for result in found.values()} == {Outcome.PASS}
    strengths = {id: result.grade for id, result in found.items()}
    assert strengths.pop("budget") == "simulated"
    assert set(strengths.values()) == {"proven"}
    assert "at 15 s a call this run takes" in found["budget"].measured


@pytest.mark.parametrize(
    "symbol",
    [
        pytest.param(name, marks=() if name == "MSFT" else pytest.mark.full)
        for name in tables.prices()
        if name != "^GSPC"
    ],
)
async def test_every_embedded_symbol_passes(run_analysis: Runner, symbol: str) -> None:
    """The data set has not everything on each of them, which is an answer and no error."""
    ran = await run_analysis(choice=UNHURRIED, symbol=symbol)
    assert failed(ran.trace) == set()
    nothing = {
        ran.trace.names[row].split()[0]
        for row in range(len(ran.trace))
        if ran.trace.attributes(row).get(data_attributes.DATA_OUTCOME) == data_attributes.NOTHING
    }
    complete = symbol in ("AAPL", "NVDA", "TSLA")
    assert nothing == (set() if complete else {"fetch", "execute_tool"})


async def test_sequential_dispatch_fails_and_is_named(run_analysis: Runner) -> None:
    ran = await run_analysis(choice=UNHURRIED, dispatch=Order.SEQUENTIAL)
    found = results(ran.trace)
    assert {"overlap", "chain", "budget"} <= failed(ran.trace)
    assert "dispatched one after the other" in found["overlap"].grade
    assert {span.name for span in found["overlap"].spans} >= {
        "invoke_agent market_analyst",
        "invoke_agent fundamentals_analyst",
    }


async def test_sequential_tools_fail_only_the_tools(run_analysis: Runner) -> None:
    ran = await run_analysis(choice=UNHURRIED, tools=Order.SEQUENTIAL)
    assert failed(ran.trace) == {"tools"}


async def test_without_a_cache_duplicates_are_found(run_analysis: Runner, default_run: Ran) -> None:
    ran = await run_analysis(choice=replace(UNHURRIED, cache=False))
    assert failed(ran.trace) == {"duplicates"}
    assert "duplicates" not in failed(default_run.trace)


def spin(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


async def test_a_blocked_loop_is_named(run_analysis: Runner) -> None:
    ran = await run_analysis(choice=UNHURRIED, during=lambda: spin(0.5))
    found = results(ran.trace)
    assert found["loop"].outcome is Outcome.FAIL
    assert "blocks" in found["loop"].advice


async def test_errors_and_retries_do_not_hide(run_analysis: Runner) -> None:
    retried = await run_analysis(choice=UNHURRIED, faults=(Fault("trader", "empty_answer"),))
    assert failed(retried.trace) == {"errors"}
    assert "1 retried" in results(retried.trace)["errors"].measured
    lost = await run_analysis(faults=(Fault("news_analyst", "status", value=400),))
    assert isinstance(lost.error, Exception)
    assert "errors" in failed(lost.trace)


def test_the_verdict_survives_missing_spans_only_as_no_verdict(default_run: Ran) -> None:
    whole = default_run.trace
    for dropped in (1, len(whole) - 1):
        verdict = judge(_without(whole, dropped), GATE)
        assert not verdict.judged, whole.names[dropped]


def _without(trace: SpanTable, row: int) -> SpanTable:
    builder = TraceBuilder(trace.trace_id)
    for each, span in enumerate(trace._records):
        if each != row:
            builder.add(span)
    return builder.build()
