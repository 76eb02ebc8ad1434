"""Traces of known truth: what the judge must say of each, and must not say.

Each line names what a kind of program must get (tests/frameworks/expectations.py has the same rules
for traces of frameworks). The files are in tests/recorded/cases: recorded by small programs, or
drawn by hand after public reports.
"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from trading_graph.graph.gate_loader import default_gate
from trading_graph.otel.diagnosis import Diagnosis, FindingKind, diagnose
from trading_graph.otel.sources import read
from trading_graph.otel.verdict import Cause, Outcome, Strength, Verdict

CASES = Path(__file__).parents[1] / "recorded" / "cases"
SURE_S = 0.001
"""A gain below this is none."""

BLOCK, LIMIT = frozenset({Cause.BLOCKED_LOOP}), frozenset({Cause.SEMAPHORE})
SERVER = frozenset({Cause.SERVER})
BLOCKED = {FindingKind.BLOCKED_LOOP, FindingKind.POSSIBLE_BLOCK}
ROW = {FindingKind.SERIAL_AGENTS, FindingKind.SERIAL_CALLS, FindingKind.SERIAL_TOOLS}


@dataclass(frozen=True)
class Truth:
    """What is true of a program.

    `fails` is whether a check has to fail; `causes` have to be among those that fit, in the verdict
    and in the first finding; `first` is the kind of the first finding; `sure` allows a gain whose
    lower end is above zero.
    """

    fails: bool = False
    causes: frozenset[Cause] = frozenset()
    first: Collection[FindingKind] = ()
    sure: bool = False


PARALLEL = Truth()
SERIAL = Truth(fails=True, causes=BLOCK | {Cause.DISPATCH}, first=ROW, sure=True)
IN_A_ROW = Truth(first=ROW)
TURNS = Truth()
LIMITED = Truth(fails=True, causes=LIMIT, first={FindingKind.LIMIT})

TRUTHS = {
    "agno-oi-fake": Truth(fails=True, causes=BLOCK, sure=True),
    "agno-oi-turns": TURNS,
    "crewai-oi-tasksserial": IN_A_ROW,
    "google-adk-m-seq3agents": IN_A_ROW,
    "google-adk-own-par": PARALLEL,
    "haystack-oi-par": PARALLEL,
    "langfuse-x-serial": IN_A_ROW,
    "langgraph-ls-fake": Truth(causes=BLOCK, first=BLOCKED),
    "langgraph-oi-fake": Truth(fails=True, causes=BLOCK, first=BLOCKED),
    "langgraph-oi-lock": LIMITED,
    "langgraph-oi-par": PARALLEL,
    "langgraph-oi-serial": SERIAL,
    "llama-index-oi-par": PARALLEL,
    "openai-agents-logfire-fake": Truth(causes=BLOCK, first=BLOCKED),
    "openai-agents-oi-fake": Truth(causes=BLOCK, first=BLOCKED),
    "openai-v2-serial": IN_A_ROW,
    "pydantic-ai-mix-chainthenpair": PARALLEL,
    "pydantic-ai-otel-fake": Truth(fails=True, causes=BLOCK, sure=True),
    "pydantic-ai-otel-lock": LIMITED,
    "service-own-fake": Truth(fails=True, causes=BLOCK | SERVER, first={FindingKind.SERVER}),
    "smolagents-oi-par": PARALLEL,
    "vercel-ai-own-lock": LIMITED,
    "vercel-ai-own-par": PARALLEL,
    "false_dependent_agents_called_proven": IN_A_ROW,
    "false_here_in_foreign_trace": IN_A_ROW,
    "false_http_root_work_at_once": PARALLEL,
    "false_loop_called_max_concurrency": IN_A_ROW,
    "false_nested_llm_counted_twice": IN_A_ROW,
    "false_one_tool_a_turn_fails": TURNS,
    "false_root_ends_before_work": PARALLEL,
    "false_starts_within_negative": PARALLEL,
    "false_stream_outlives_root": PARALLEL,
    "silent_langgraph_chain_of_analysts": IN_A_ROW,
    "silent_recorded_pool_wait": Truth(first={FindingKind.DOMINANT_SPAN}),
    "silent_serial_grpc": IN_A_ROW,
    "default_gate_second_visit": PARALLEL,
    "f01e_skew_serial_looks_proven": PARALLEL,
    "f03b_consumer_child_of_producer": PARALLEL,
    "f06c_us_overlap_agents": IN_A_ROW,
    "f09_streaming_tool_overlap": PARALLEL,
    "f10f_two_agents_one_worker": PARALLEL,
    "f13_pipeline_dependent": IN_A_ROW,
    "f15_langgraph_serial_edges": IN_A_ROW,
    "f16_parallel_then_manager": PARALLEL,
    "f18_barrier_analyst_tools_analyst": Truth(first={FindingKind.BARRIER}),
    "f21_gap_before_fanout": PARALLEL,
}


@cache
def judged(name: str) -> tuple[Verdict, Diagnosis]:
    (trace,) = read(CASES / f"{name}.json")
    diagnosis = diagnose(trace, default_gate(trace))
    assert isinstance(diagnosis, Diagnosis)
    return diagnosis.verdict, diagnosis


@pytest.mark.parametrize("name", TRUTHS)
def test_the_verdict_is_right(name: str) -> None:
    truth, (verdict, _) = TRUTHS[name], judged(name)
    assert verdict.judged
    assert bool(verdict.failures) == truth.fails
    concurrency = [each for each in verdict.checks if each.id in ("turns", "fan_outs")]
    assert all(each.strength is not Strength.PROVEN for each in concurrency)
    if truth.fails:
        (failed,) = verdict.failures
        assert truth.causes <= set(failed.causes)
    elif truth.causes:
        (passed,) = (each for each in concurrency if each.outcome is Outcome.PASS)
        assert "block the event loop" in passed.reason


@pytest.mark.parametrize("name", TRUTHS)
def test_the_first_finding_is_right_and_nothing_is_promised_that_nobody_knows(name: str) -> None:
    truth, (_, diagnosis) = TRUTHS[name], judged(name)
    sure = [each for each in diagnosis.findings if each.gain.low_s > SURE_S]
    assert truth.sure or not sure
    assert all(each.only_if for each in diagnosis.findings if not each.proven)
    if truth.first:
        assert diagnosis.findings[0].kind in truth.first
    if truth.causes and truth.first:
        assert truth.causes & set(diagnosis.findings[0].causes)


def test_every_case_has_a_truth() -> None:
    others = {"B_jaeger_test6_x1000", "C_crisp_case10", "false_overflow_gap_no_time_left"}
    others |= {"f08b_own_process_block"}
    assert {path.stem for path in CASES.glob("*.json")} == set(TRUTHS) | others


@pytest.mark.parametrize("name", ["B_jaeger_test6_x1000", "false_overflow_gap_no_time_left"])
def test_nothing_recognised_is_no_verdict_and_still_has_a_path(name: str) -> None:
    verdict, diagnosis = judged(name)
    assert not verdict.judged
    assert "Nothing here could be judged" in verdict.unrecognised
    assert diagnosis.critical_path


def test_calls_recorded_twice_count_once() -> None:
    verdict, _ = judged("false_nested_llm_counted_twice")
    assert verdict.measures is not None
    assert verdict.measures.llm_calls == verdict.measures.llm_chain == 2
    verdict, _ = judged("llama-index-oi-par")
    assert verdict.measures is not None
    assert verdict.measures.llm_calls == 2


def test_each_turn_stands_alone() -> None:
    """Two turns with one tool, then one with two that overlap: the last is what can be judged."""
    (turns,) = (c for c in judged("pydantic-ai-mix-chainthenpair")[0].checks if c.id == "turns")
    assert turns.measured == "1 of 1 groups at once, 2 not applicable"


def test_a_server_at_the_root_is_not_the_work() -> None:
    verdict, _ = judged("false_http_root_work_at_once")
    assert verdict.measures is not None
    assert verdict.measures.work.peak == 4
    assert verdict.measures.work.serial_fraction == 0


def test_a_branch_that_blocks_its_own_process_alone_delays_no_other() -> None:
    _, diagnosis = judged("f08b_own_process_block")
    assert all(each.gain.low_s <= SURE_S for each in diagnosis.findings)


def test_closing_a_gap_moves_all_branches_after_it() -> None:
    _, diagnosis = judged("f21_gap_before_fanout")
    (gap,) = (each for each in diagnosis.findings if each.kind is FindingKind.GAP)
    assert gap.wall.likely_s == pytest.approx(1.01, abs=0.01)
