"""Every cause, kind of finding and relation has its words, its advice, its evaluator."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest

from tests.library.traces import trace_json
from trading_graph.otel.diagnosis import FindingKind
from trading_graph.otel.sources import parse
from trading_graph.otel.verdict import Cause, Gate, Outcome, Strength, judge
from trading_graph.otel.verdict.gate import AnyCheck
from trading_graph.otel.verdict.group_measures import group
from trading_graph.otel.verdict.parallelism import Parallelism, reason

ROOT = Path(__file__).parents[3]
OURS = re.compile(r"\b(otel|graph|toolkit|service)/\w|(?<!\w)--\w")


@pytest.mark.parametrize("cause", list(Cause))
def test_a_cause_has_words_of_its_own_and_advice_for_any_program(cause: Cause) -> None:
    (trace,) = parse(trace_json(), "t")
    measured = group(trace, trace.rows("agent"))
    words = {each: reason(Parallelism(Strength.SERIAL, (each,), measured)) for each in Cause}
    assert words[cause]
    assert list(words.values()).count(words[cause]) == 1
    assert cause.advice.endswith(".")
    assert not OURS.search(cause.advice)


@pytest.mark.parametrize("kind", list(FindingKind))
def test_a_kind_of_finding_has_a_task_and_advice_for_any_program(kind: FindingKind) -> None:
    assert kind.task
    assert kind.advice.endswith(".")
    assert not OURS.search(" ".join([kind.task, kind.advice, kind.code]))


def test_every_kind_of_finding_has_a_detector() -> None:
    named: set[str] = set()
    for path in (ROOT / "otel" / "diagnosis" / "findings").glob("*.py"):
        if path.name in ("kind.py", "__init__.py"):
            continue
        named |= {
            node.attr
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "FindingKind"
        }
    assert named == set(FindingKind.__members__)


KEYS: dict[str, dict[str, object]] = {
    "starts_within": {"after": {"role": "llm"}, "limit_s": 1},
    "duration": {"limit_s": 1},
    "max_gap": {"limit_s": 1},
    "linked": {"to": {"role": "llm"}},
    "ends_within": {"after": {"role": "llm"}, "limit_s": 1},
    "before": {"other": {"role": "llm"}},
    "no_duplicates": {"key": "x"},
    "loop_lag": {"limit_ms": 1},
    "chain": {"limit": 1},
    "limit_used": {"limit": "jobs"},
}


@pytest.mark.parametrize("check", AnyCheck.__args__)
def test_every_relation_is_evaluated(check: type) -> None:
    (trace,) = parse(trace_json(), "t")
    relation = check.__struct_config__.tag  # type: ignore[attr-defined]
    keys: dict[str, Any] = {
        "relation": relation,
        "set": {"role": "agent"},
        **KEYS.get(relation, {}),
    }
    (result,) = judge(trace, Gate.from_dict({"checks": [keys]})).checks
    assert result.outcome in Outcome
    assert result.measured
