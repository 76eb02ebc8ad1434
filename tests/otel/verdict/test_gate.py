"""Gate files: what is accepted, and how an error is told."""

from pathlib import Path
from weakref import ref

import pytest

from tests.library.traces import trace_json
from trading_graph.otel.gc_pause import pause_collection
from trading_graph.otel.sources import parse
from trading_graph.otel.trace import SpanTable, SpanValues, TraceBuilder
from trading_graph.otel.verdict import (
    Cause,
    Gate,
    GateError,
    Outcome,
    Strength,
    judge,
    neutral_gate,
)

GOOD = """
version = 1

[sets.everything]
name = ["*"]

[sets.steps]
name = ["step *"]

[[checks]]
id = "few"
title = "Few steps"
relation = "count"
set = "steps"
at_most = 2
"""


EPOCH_NS = 1_763_100_000 * 10**9


def trace(*spans: tuple[str, str, int, int], status: int = 0) -> SpanTable:
    """A trace of (name, parent name, start, end) in milliseconds after some instant."""
    builder = TraceBuilder("a" * 32)
    for name, parent, *times in spans:
        start, end = (EPOCH_NS + at * 10**6 for at in times)
        builder.add(SpanValues(name, parent, name, 1, start, end, status, dict))
    return builder.build()


STEPS = trace(("root", "", 0, 100), ("step 1", "root", 0, 20), ("step 2", "root", 50, 70))


def with_check(text: str) -> str:
    return GOOD + "\n[[checks]]\nid = 'x'\ntitle = 'X'\n" + text


def outcome(text: str, of: SpanTable = STEPS) -> tuple[Outcome, str]:
    """The outcome of one more check, and what it measured."""
    result = judge(of, Gate.from_toml(with_check(text), "gate.toml")).checks[-1]
    return result.outcome, result.measured


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("version = ", None, "not TOML"),
        (GOOD.replace("at_most = 2", "at_most = 'two'"), 15, "int"),
        (GOOD.replace("at_most = 2", "at_mots = 2"), 15, "at_mots"),
        (GOOD.replace('relation = "count"', 'relation = "cuont"'), 13, "cuont"),
        (GOOD.replace('set = "steps"', 'set = "stepz"'), 14, "stepz"),
        (GOOD.replace('name = ["step *"]', 'names = ["step *"]'), 8, "names"),
        (GOOD.replace('name = ["step *"]', 'role = "agnet"'), 8, "agnet"),
        (GOOD.replace("version = 1", "version = 9"), None, "version 9"),
        ("version = 1\nchecks = []\n[sets.a]\n", None, "no [[checks]]"),
    ],
)
def test_an_error_is_refused_with_its_line_and_reason(
    text: str, line: int | None, reason: str
) -> None:
    with pytest.raises(GateError) as caught:
        Gate.from_toml(text, "gate.toml")
    said = str(caught.value)
    assert said.startswith("gate.toml")
    assert "\n" not in said
    assert reason in said
    if line is not None:
        assert f"line {line}" in said


def test_a_gate_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(GateError, match=r"missing\.toml"):
        Gate.from_file(tmp_path / "missing.toml")


def test_count() -> None:
    verdict = judge(STEPS, Gate.from_toml(GOOD, "gate.toml"))
    assert verdict.passed
    assert outcome("relation='count'\nset='steps'\nat_least=3")[0] is Outcome.FAIL


def test_what_holds_without_proof_fails_where_proof_is_asked_for_and_says_what_is_missing() -> None:
    at_once = trace(("root", "", 0, 100), ("step 1", "root", 0, 60), ("step 2", "root", 1, 70))
    text = with_check("relation = 'overlap'\nset = 'steps'\nstrength = 'proven'")
    result = judge(at_once, Gate.from_toml(text)).checks[-1]
    assert result.outcome is Outcome.FAIL
    assert result.strength is Strength.OVERLAPPING
    assert [span.name for span in result.spans] == ["step 1", "step 2"]
    assert result.advice == Cause.NOT_RECORDED.advice


def test_max_gap() -> None:
    assert outcome("relation='max_gap'\nset='steps'\nlimit_s=0.05")[0] is Outcome.PASS
    assert outcome("relation='max_gap'\nset='steps'\nlimit_s=0.02") == (Outcome.FAIL, "0.030 s")


def test_duration() -> None:
    assert outcome("relation='duration'\nset='steps'\nlimit_s=0.02")[0] is Outcome.PASS
    assert outcome("relation='duration'\nset='everything'\nlimit_s=0.05")[0] is Outcome.FAIL


def test_before() -> None:
    gate = GOOD.replace(
        "[sets.steps]",
        "[sets.one]\nname = ['step 1']\n[sets.two]\nname = ['step 2']\n[sets.steps]",
    )
    for first, second, expected in (("one", "two", Outcome.PASS), ("two", "one", Outcome.FAIL)):
        check = f"\n[[checks]]\nid='x'\ntitle='X'\nrelation='before'\nset='{first}'\n"
        results = judge(STEPS, Gate.from_toml(gate + check + f"other='{second}'", "g")).checks
        assert results[-1].outcome is expected


def test_no_errors() -> None:
    assert outcome("relation='no_errors'\nset='everything'")[0] is Outcome.PASS
    failed = trace(("root", "", 0, 9), status=2)
    assert outcome("relation='no_errors'\nset='everything'", failed)[0] is Outcome.FAIL


def test_an_empty_set_is_not_applicable_and_never_a_pass() -> None:
    text = "relation='duration'\nset='steps'\nlimit_s=1"
    assert outcome(text, trace(("root", "", 0, 9)))[0] is Outcome.NOT_APPLICABLE


def test_complete_trusts_no_trace_that_declares_nothing() -> None:
    result = judge(STEPS, Gate.from_toml(with_check("relation='complete'\nset='everything'"), "g"))
    assert "declared" in result.checks[-1].grade


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (trace(), "no spans"),
        (trace(("a", "", 0, 1), ("b", "", 0, 1)), "2 spans have no parent"),
        (trace(("a", "", 0, 1), ("b", "gone", 0, 1)), "the parent that they name is not here"),
        (trace(("a", "b", 0, 1), ("b", "a", 0, 1)), "root span is missing"),
    ],
)
def test_an_incomplete_trace_gets_no_verdict(broken: SpanTable, says: str) -> None:
    verdict = judge(broken, Gate.from_toml(GOOD, "gate.toml"))
    assert not verdict.judged
    assert not verdict.passed
    assert verdict.checks == ()
    assert any(says in sentence for sentence in verdict.missing)


def test_a_judged_trace_is_freed_without_a_collection() -> None:
    """What a trace keeps holds it nowhere: collections would take a tenth of the time."""
    (table,) = parse(trace_json(), "t")
    assert judge(table, neutral_gate()).judged
    left = ref(table)
    with pause_collection():
        del table
        assert left() is None
