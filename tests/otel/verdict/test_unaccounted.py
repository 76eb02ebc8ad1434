"""Time that a process accounts for, and cannot explain, denies a proof."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.otel.watched import AGENT, CHAT, DECLARED, QUIET, Watched, rows
from trading_graph.otel.trace import SpanTable
from trading_graph.otel.verdict import Cause, Strength, parallelism
from trading_graph.otel.vocabularies import witness

WITHOUT_TIME = {**DECLARED, witness.RECORDS: ["loop_lag", "cpu", "waits", "spans"]}


def agents(
    missing_ms: Mapping[str, object], declared: Mapping[str, Any] = DECLARED, cache: str = ""
) -> SpanTable:
    """Three agents at once, each with a call and a request below it; some miss time."""
    drawing = Watched()

    def add(name: str, start: float, end: float, said: Mapping[str, Any], parent: str) -> str:
        more = {witness.UNACCOUNTED_MS: missing_ms[name]} if name in missing_ms else {}
        return drawing.add(name, start, end, {**QUIET, **said, **more}, parent=parent)

    for number in range(3):
        agent = add(f"agent {number}", 0, 1000, AGENT, "run")
        call = add(f"call {number}", 10, 990, CHAT, agent)
        add(f"request {number}", 20, 980, {"http.request.method": "POST"}, call)
        if cache:
            add(f"look-up {number}", 10, 900, {"trading.cache": cache}, agent)
    return drawing.trace(1000, declared)


def judged(trace: SpanTable) -> tuple[Strength, Cause | None, str]:
    members = rows(trace, "agent 0", "agent 1", "agent 2")
    found = parallelism(trace, members)
    return found.strength, found.cause, str(found)


def test_time_that_is_accounted_for_leaves_the_proof() -> None:
    assert judged(agents({}))[0] is Strength.PROVEN


@pytest.mark.parametrize("name", ["agent 1", "call 1", "request 1"])
def test_missing_time_at_any_depth_denies_the_proof_and_is_told(name: str) -> None:
    strength, cause, words = judged(agents({name: 512.4}))
    assert (strength, cause) == (Strength.OVERLAPPING, Cause.UNACCOUNTED)
    assert f"512 ms of '{name}' (5" in words
    assert "not accounted for" in words


def test_of_spans_of_one_task_the_deepest_is_named() -> None:
    words = judged(agents({"agent 1": 512.4, "call 1": 511.0, "request 2": 90}))[2]
    assert "511 ms of 'call 1' (52 % of it) are not accounted for" in words


@pytest.mark.parametrize("missing", [19.9, 49.0, "much", float("nan"), -500.0, None])
def test_little_or_odd_missing_time_leaves_the_proof(missing: object) -> None:
    """Both limits count: 49 ms are less than 5 % of the agent."""
    assert judged(agents({"agent 1": missing}))[0] is Strength.PROVEN


def test_missing_time_of_a_short_span_below_20_ms_leaves_the_proof() -> None:
    drawing = Watched()
    for number in range(2):
        said = {**QUIET, **CHAT, witness.UNACCOUNTED_MS: 20.0}
        drawing.add(f"call {number}", 0, 60, said)
    trace = drawing.trace(60)
    assert parallelism(trace, rows(trace)).strength is Strength.PROVEN


def test_a_process_that_does_not_account_for_time_is_judged_by_its_waits() -> None:
    assert judged(agents({"agent 1": 512.4}, WITHOUT_TIME))[0] is Strength.PROVEN


def test_a_span_that_takes_what_another_fetches_may_wait_for_it() -> None:
    assert judged(agents({"look-up 1": 512.4}, cache="shared"))[0] is Strength.PROVEN
