"""A program that no framework wrote: its loop of tool calls is told from the tools of an LLM turn.

It plans with an LLM call, looks up five stocks in turn, and asks three suppliers at once.
"""

from collections.abc import Iterator

import pytest

from tests.otel.verdict.drawn import Drawn, drawn
from trading_graph.otel.diagnosis import Diagnosis, FindingKind, diagnose
from trading_graph.otel.report.documents.diagnosis import diagnosis_document
from trading_graph.otel.trace import SpanTable
from trading_graph.otel.verdict import Cause, CheckResult, Outcome, neutral_gate

CHAT = {"gen_ai.operation.name": "chat"}
TOOL = {"gen_ai.operation.name": "execute_tool"}
SUPPLIERS = ("supplier 0", "supplier 1", "supplier 2")


def order(stock_ms: int = 900, *, has_ids: bool = False, asks: bool = True) -> SpanTable:
    """The trace of an order: the calls of stock take so long, and may have ids of an LLM's."""

    def stocks(at: int) -> Iterator[Drawn]:
        for number in range(5):
            begin = at + number * stock_ms
            said = {"gen_ai.tool.call.id": f"call {number}"} if has_ids else {}
            yield f"stock {number}", "look up stock", begin, begin + stock_ms, TOOL | said

    looked_up = 1000 + 5 * stock_ms
    asked = looked_up + 700
    suppliers: list[Drawn] = [("ask suppliers", "handle order", looked_up, asked, {})]
    suppliers += [(name, "ask suppliers", looked_up, asked, TOOL) for name in SUPPLIERS]
    return drawn(
        ("handle order", "", 0, asked + 1200, {}),
        ("plan", "handle order", 0, 1000, {}),
        ("chat small", "plan", 0, 1000, CHAT),
        ("look up stock", "handle order", 1000, looked_up, {}),
        *stocks(1000),
        *(suppliers if asks else ()),
        ("answer", "handle order", asked, asked + 1200, {}),
        ("chat large", "answer", asked, asked + 1200, CHAT),
    )


def diagnosed(trace: SpanTable) -> Diagnosis:
    found = diagnose(trace, neutral_gate())
    assert isinstance(found, Diagnosis)
    return found


def turns_check(trace: SpanTable) -> CheckResult:
    (check,) = (each for each in diagnosed(trace).verdict.checks if each.id == "turns")
    return check


def test_a_loop_of_tool_calls_is_named_where_it_stands_and_no_turn_is_spoken_of() -> None:
    first = diagnosed(order()).findings[0]
    assert (first.kind, first.place) == (FindingKind.SERIAL_CALLS, "look up stock")
    assert {each.name for each in first.spans} == {f"stock {number}" for number in range(5)}
    assert first.only_if
    assert first.gain.low_s == 0
    assert first.gain.likely_s == pytest.approx(4 * 0.9)
    assert "turn" not in f"{first.kind.task} {first.advice}".split()


def test_calls_with_ids_are_the_tools_of_a_turn_in_the_same_place() -> None:
    first = diagnosed(order(has_ids=True)).findings[0]
    assert (first.kind, first.place) == (FindingKind.SERIAL_TOOLS, "look up stock")
    assert first.proven
    assert first.gain.low_s > 3
    assert "turn" in first.advice.split()


def test_turns_whose_tools_have_spans_of_their_own_are_named_by_what_holds_them_all() -> None:
    spans: list[Drawn] = [
        ("run", "", 0, 4000, {}),
        ("worker", "run", 0, 4000, {"gen_ai.operation.name": "invoke_agent"}),
    ]
    for number in range(2):
        at, tools = 2000 * number, f"tools {number}"
        spans += [
            (f"chat {number}", "worker", at, at + 500, CHAT),
            (tools, "worker", at + 500, at + 2000, {}),
        ]
        for tool, begin in (("a", at + 500), ("b", at + 1200)):
            said = TOOL | {"gen_ai.tool.call.id": f"{tool}{number}"}
            spans.append((f"{tool}{number}", tools, begin, begin + 700, said))
    first = diagnosed(drawn(*spans)).findings[0]
    assert (first.kind, first.place) == (FindingKind.SERIAL_TOOLS, "worker")
    assert len(first.spans) == 4


def test_what_may_be_a_block_is_called_a_doubt() -> None:
    found = diagnosed(order())
    _, doubt = found.findings
    assert (doubt.kind, doubt.place) == (FindingKind.POSSIBLE_BLOCK, "ask suppliers")
    assert {each.name for each in doubt.spans} == set(SUPPLIERS)
    assert (doubt.gain.low_s, doubt.causes) == (0, (Cause.BLOCKED_LOOP,))
    assert doubt.gain.high_s > 0
    assert doubt.only_if
    assert not found.steps


def test_a_doubt_stands_after_what_gains_for_certain() -> None:
    """Though more may be gained by it."""
    certain, doubt = diagnosed(order(60, has_ids=True)).findings
    assert (certain.kind, doubt.kind) == (FindingKind.SERIAL_TOOLS, FindingKind.POSSIBLE_BLOCK)
    assert 0 < certain.gain.low_s < doubt.gain.likely_s


def test_groups_that_nobody_can_tell_are_not_called_inapplicable() -> None:
    both = turns_check(order())
    assert (both.outcome, both.measured) == (
        Outcome.PASS,
        "1 of 1 groups at once, 1 cannot be told",
    )
    assert any("ran one after the other" in each for each in both.notes)
    alone = turns_check(order(asks=False))
    assert alone.outcome is Outcome.NOT_APPLICABLE
    assert alone.measured.startswith("1 group cannot be told: ")
    certain = turns_check(order(has_ids=True))
    assert (certain.outcome, certain.measured) == (Outcome.FAIL, "1 of 2 groups at once")


def test_no_target_is_claimed_that_nobody_set() -> None:
    target = diagnosis_document(diagnosed(order())).target
    assert (target.limit_s, target.standing) == (None, "no target")
    assert target.summary.startswith("The run takes 7.40 s; no target was given.")
