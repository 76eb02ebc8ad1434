"""A resumed run is judged as one that was never interrupted; what was serial stays serial."""

from collections.abc import Mapping
from typing import Any

import pytest

from trading_graph.graph.gate_loader import own_gate
from trading_graph.otel.diagnosis import call_tree, critical_path, rank
from trading_graph.otel.report import as_json, as_markdown
from trading_graph.otel.trace import ERROR, Link, SpanTable, SpanValues, TraceBuilder, semconv
from trading_graph.otel.verdict import (
    Outcome,
    Verdict,
    completeness,
    interruptions,
    judge,
    measures,
    without_interruptions,
)
from trading_graph.otel.verdict.evaluation import Scope
from trading_graph.otel.verdict.relations import evaluate
from trading_graph.otel.vocabularies import Role

MS = 1_000_000
DEAD = 300_000
"""Milliseconds without a process: far more than any limit allows."""

RUN: Mapping[str, Any] = {
    semconv.OPERATION_NAME: semconv.INVOKE_WORKFLOW,
    semconv.RUN_ID: "r",
    semconv.CHAIN_EXPECTED: 1,
    semconv.RESUMED: True,
    semconv.LOOP_LAG_MAX_MS: 1.0,
}


class Written:
    """A trace written by hand, in milliseconds; a new process begins `DEAD` after a death."""

    def __init__(self) -> None:
        self._spans: list[SpanValues] = []
        self._ids = 0
        self.deaths = 0

    def _add(
        self,
        name: str,
        parent: str,
        start: float,
        end: float,
        attributes: Mapping[str, Any],
        *,
        killed: bool = False,
        failed: str | None = None,
        link: str | None = None,
    ) -> str:
        self._ids += 1
        span_id = f"{self._ids:016x}"
        base = 1_000_000 + self.deaths * DEAD
        error = semconv.KILLED if killed else failed
        said = {**attributes, **({semconv.ERROR_TYPE: error} if error else {})}
        links = [Link("t", link, {})] if link else []
        self._spans.append(
            SpanValues(
                span_id,
                parent,
                name,
                1,
                int((base + start) * MS),
                int((base + end) * MS),
                ERROR if error else 0,
                lambda: said,
                list,
                lambda: links,
            )
        )
        return span_id

    def dispatch(self, start: float, end: float) -> str:
        said = {semconv.OPERATION: "dispatch", semconv.NODE: "dispatcher", semconv.STEP: 1}
        return self._add("dispatch analysts", "run", start, end, said)

    def agent(self, name: str, start: float, end: float, *, task: str = "", **more: Any) -> str:
        said = {
            semconv.OPERATION_NAME: semconv.INVOKE_AGENT,
            semconv.AGENT_NAME: name,
            semconv.NODE: name,
            semconv.STEP: 2,
            semconv.TASK_ID: task or name,
            semconv.LOOP_LAG_MAX_MS: more.pop("lag", 1.0),
            semconv.CPU_OVER_WALL: 0.1,
        }
        return self._add(f"invoke_agent {name}", "run", start, end, said, **more)

    def chat(self, agent: str, start: float, end: float, *, killed: bool = False) -> str:
        said = {semconv.OPERATION_NAME: semconv.CHAT}
        return self._add("chat m", agent, start, end, said, killed=killed)

    def fetch(self, agent: str, start: float, end: float, key: str) -> str:
        said = {semconv.OPERATION: "fetch", semconv.FETCH_KEY: key}
        return self._add("fetch yahoo", agent, start, end, said)

    def die(self, at: float, killed: int) -> None:
        """The process dies; what follows counts from there, as if no time had passed."""
        said = {semconv.OPERATION: semconv.INTERRUPTION, semconv.KILLED_SPANS: killed}
        start = self._add(semconv.INTERRUPTION, "run", at, at + DEAD, said)
        assert start
        self.deaths += 1

    def trace(self, end: float, **root: Any) -> SpanTable:
        builder = TraceBuilder("t")
        said = {**RUN, semconv.SPANS_STARTED: len(self._spans) + 1, **root}
        last = int((1_000_000 + self.deaths * DEAD + end) * MS)
        builder.add(SpanValues("run", "", "run", 1, 1_000_000 * MS, last, 0, lambda: said))
        for span in self._spans:
            builder.add(span)
        return builder.build()


def market_killed(*, second: tuple[str, str] = ("market_analyst", "market_analyst")) -> Written:
    """Two analysts at once; one has ended when the process dies, the other is done again."""
    w = Written()
    dispatcher = w.dispatch(0, 1)
    news = w.agent("news_analyst", 2, 102, link=dispatcher)
    w.fetch(news, 2, 12, "macro")
    w.chat(news, 12, 102)
    market = w.agent("market_analyst", 2, 110, killed=True, link=dispatcher)
    w.fetch(market, 2, 12, "prices")
    w.chat(market, 12, 110, killed=True)
    w.die(110, 2)
    again = w.agent(second[0], 112, 222, task=second[1], link=dispatcher)
    w.fetch(again, 112, 122, "prices")
    w.chat(again, 122, 222)
    return w


def outcomes(verdict: Verdict) -> dict[str, Outcome]:
    assert verdict.judged, verdict.missing
    return {result.id: result.outcome for result in verdict.checks}


def as_it_stands(trace: SpanTable) -> dict[str, Outcome]:
    """What the checks would say of the trace as it was recorded."""
    gate = own_gate()
    run = completeness(trace).run
    assert run is not None
    scope = Scope(trace, run, gate.sets)
    return {check.id: evaluate(scope, check).outcome for check in gate.checks}


def failures(found: Mapping[str, Outcome]) -> set[str]:
    return {id for id, outcome in found.items() if outcome is Outcome.FAIL}


def test_dead_time_and_killed_spans_fail_no_check() -> None:
    trace = market_killed().trace(225)
    assert failures(as_it_stands(trace)) == {
        "start",
        "budget",
        "chain",
        "overlap",
        "duplicates",
        "errors",
    }
    verdict = judge(trace, own_gate())
    assert failures(outcomes(verdict)) == set()
    assert verdict.span_count == len(trace)
    assert completeness(trace).exact


def test_a_branch_that_was_done_again_is_one_with_the_work_of_both() -> None:
    trace = market_killed().trace(225)
    (run,) = trace.roots
    seen, at = without_interruptions(trace, run)
    assert seen.duration[at] == trace.duration[run] - DEAD * MS
    (fan_out,) = measures(seen, at).fan_outs
    assert len(fan_out.group.rows) == 2
    market = seen.rows("invoke_agent market_analyst")
    assert [seen.duration[row] // MS for row in market] == [220]
    worked = sorted(work.total_ns // MS for work in fan_out.group.works)
    assert worked == [100, 218], "of the second 108 ms in the first life, 110 in the second"
    assert [role for role in seen.roles if role is Role.LLM] == [Role.LLM] * 2
    assert fan_out.skew_ns == MS


def test_an_analyst_whose_result_was_kept_although_its_end_was_not_is_a_branch() -> None:
    """Its process died in the few milliseconds between the two: nobody does it again."""
    w = Written()
    dispatcher = w.dispatch(0, 1)
    for name, killed in (("news_analyst", False), ("market_analyst", True)):
        agent = w.agent(name, 2, 100, killed=killed, link=dispatcher)
        w.chat(agent, 2, 100, killed=killed)
    w.die(100, 2)
    verdict = judge(w.trace(110), own_gate())
    assert failures(outcomes(verdict)) == set()
    found = verdict.measures
    assert found is not None
    assert found.llm_calls == 2
    assert found.errors == 0


def test_a_dispatcher_that_was_done_again_sends_its_branches_once() -> None:
    """What it had brought was not kept yet: its branches have other task ids the second time."""
    w = Written()
    first = w.dispatch(0, 1)
    for name in ("news_analyst", "market_analyst"):
        agent = w.agent(name, 2, 40, killed=True, link=first, task=f"{name} 1")
        w.chat(agent, 2, 40, killed=True)
    w.die(40, 4)
    second = w.dispatch(50, 51)
    for name in ("news_analyst", "market_analyst"):
        agent = w.agent(name, 52, 152, link=second, task=f"{name} 2")
        w.chat(agent, 52, 152)
    trace = w.trace(160)
    assert "start" in failures(as_it_stands(trace))
    verdict = judge(trace, own_gate())
    assert failures(outcomes(verdict)) == set()
    found = verdict.measures
    assert found is not None
    (fan_out,) = found.fan_outs
    assert len(fan_out.branches) == 2


def test_a_node_that_ended_twice_is_one() -> None:
    """It had ended, and what it brought was lost with its process."""
    w = Written()
    dispatcher = w.dispatch(0, 1)
    for life in range(2):
        for name in ("news_analyst", "market_analyst"):
            agent = w.agent(name, life * 110 + 2, life * 110 + 102, link=dispatcher)
            w.chat(agent, life * 110 + 2, life * 110 + 102)
        if life == 0:
            w.die(104, 0)
    verdict = judge(w.trace(225), own_gate())
    assert failures(outcomes(verdict)) == set()
    found = verdict.measures
    assert found is not None
    assert (found.llm_calls, found.llm_chain) == (2, 1)


def test_serial_branches_stay_serial() -> None:
    w = Written()
    dispatcher = w.dispatch(0, 1)
    first = w.agent("news_analyst", 2, 102, link=dispatcher)
    w.chat(first, 2, 102)
    killed = w.agent("market_analyst", 104, 150, killed=True, link=dispatcher)
    w.chat(killed, 104, 150, killed=True)
    w.die(150, 2)
    again = w.agent("market_analyst", 152, 252, link=dispatcher)
    w.chat(again, 152, 252)
    third = w.agent("social_analyst", 254, 354, link=dispatcher)
    w.chat(third, 254, 354)
    failed = failures(outcomes(judge(w.trace(360), own_gate())))
    assert {"overlap", "chain"} <= failed


def test_branches_that_only_death_made_to_overlap_do_not() -> None:
    """The second waits for the first in both lives: the union of lives hides nothing."""
    w = Written()
    dispatcher = w.dispatch(0, 1)
    killed = w.agent("news_analyst", 2, 80, killed=True, link=dispatcher)
    w.chat(killed, 2, 80, killed=True)
    w.die(80, 2)
    again = w.agent("news_analyst", 82, 182, link=dispatcher)
    w.chat(again, 82, 182)
    other = w.agent("market_analyst", 184, 284, link=dispatcher)
    w.chat(other, 184, 284)
    assert "overlap" in failures(outcomes(judge(w.trace(290), own_gate())))


@pytest.mark.parametrize("key", ["prices", "macro"])
def test_a_fetch_counts_as_done_again_within_one_life_only(key: str) -> None:
    w = market_killed()
    late = w.agent("trader", 224, 234)
    w.fetch(late, 224, 234, key)
    failed = failures(outcomes(judge(w.trace(240), own_gate())))
    assert ("duplicates" in failed) == (key == "prices"), "macro was fetched in the first life"


def test_an_error_of_the_first_life_stays_one() -> None:
    w = Written()
    dispatcher = w.dispatch(0, 1)
    w.agent("market_analyst", 2, 50, failed="timeout", link=dispatcher)
    w.agent("market_analyst", 52, 90, killed=True, link=dispatcher)
    w.die(90, 1)
    w.agent("market_analyst", 92, 190, link=dispatcher)
    verdict = judge(w.trace(200), own_gate())
    (errors,) = [result for result in verdict.checks if result.id == "errors"]
    assert errors.outcome is Outcome.FAIL
    assert "timeout" in errors.measured
    assert "1 failed" in errors.measured


def test_a_loop_that_was_blocked_in_the_first_life_stays_blocked() -> None:
    """The run's own span tells what its last process measured."""
    w = Written()
    dispatcher = w.dispatch(0, 1)
    w.agent("news_analyst", 2, 402, link=dispatcher, lag=380.0)
    w.agent("market_analyst", 2, 402, killed=True, link=dispatcher)
    w.die(402, 1)
    w.agent("market_analyst", 404, 500, link=dispatcher)
    assert "loop" in failures(outcomes(judge(w.trace(510), own_gate())))


def test_a_run_that_was_killed_twice_has_two_interruptions() -> None:
    w = market_killed()
    w.agent("trader", 224, 230, killed=True)
    w.die(230, 1)
    w.agent("trader", 232, 240)
    trace = w.trace(245)
    (run,) = trace.roots
    first, second = interruptions(trace, run)
    assert (first.after_ns // MS, second.after_ns // MS) == (110, 230)
    assert first.dead_ns == second.dead_ns == DEAD * MS
    verdict = judge(trace, own_gate())
    assert failures(outcomes(verdict)) == set()
    assert "300.000 s" in as_markdown(verdict)
    assert as_markdown(verdict).count("The run was resumed") == 2
    assert '"killed_spans": 2' in as_json(verdict)


def test_a_diagnosis_blames_nobody_for_the_dead_time() -> None:
    trace = market_killed().trace(225)
    (run,) = trace.roots
    seen, at = without_interruptions(trace, run)
    path = critical_path(call_tree(seen, at))
    assert sum(segment.duration_ns for segment in path.segments) == 225 * MS
    found = rank(seen, at)
    assert all(ranked.on_path_ns <= 225 * MS for ranked in found.candidates)
    assert not {each.candidate.kind for each in found.candidates} & {"retries", "duplicates"}


def test_a_run_that_nobody_killed_is_not_copied() -> None:
    trace = Written().trace(10, **{semconv.RESUMED: False})
    assert without_interruptions(trace, 0) == (trace, 0)
    assert without_interruptions(trace, 0)[0] is trace


def test_the_end_that_a_backend_knows_outranks_the_one_that_was_made_up() -> None:
    """A span's end can reach Jaeger and not the file of a process that is killed then."""
    real = SpanValues("a", "", "x", 1, 10, 20, 0, dict)
    made_up = SpanValues(
        "a", "", "x", 1, 10, 15, ERROR, lambda: {semconv.ERROR_TYPE: semconv.KILLED}
    )
    for order in ((real, made_up), (made_up, real)):
        builder = TraceBuilder("t")
        for span in order:
            builder.add(span)
        trace = builder.build()
        assert trace.end.tolist() == [20]
        assert not trace.flaws
