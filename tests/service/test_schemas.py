"""The published schemas are those of the code, and what is printed fits them.

What the commands print is checked beside the other tests of each command.
"""

import json
from typing import Any

import pytest

from tests.otel.report.runs import BEGIN, slow_diagnosis, slow_run
from tests.schema_files import FOLDER, assert_fits
from trading_graph.graph.gate_loader import own_gate
from trading_graph.otel.diagnosis import compare, complete_runs
from trading_graph.otel.report import as_json
from trading_graph.otel.report.comparison import comparison_json
from trading_graph.otel.report.diagnosis import diagnosis_json
from trading_graph.otel.trace import SpanTable, SpanValues, TraceBuilder
from trading_graph.otel.verdict import judge
from trading_graph.service.schemas import published_schemas

RENEW = "renew them: python -m trading_graph.service.schemas docs/schemas"


def test_the_files_hold_the_schemas_of_the_code() -> None:
    files = {path.stem: json.loads(path.read_text()) for path in FOLDER.glob("*.json")}
    # By way of JSON: a default that is a tuple is an array there.
    assert files == json.loads(json.dumps(published_schemas())), RENEW


@pytest.mark.parametrize("name", published_schemas())
def test_another_document_does_not_fit(name: str) -> None:
    with pytest.raises(AssertionError):
        assert_fits({"schema_version": 1}, name)
    with pytest.raises(AssertionError):
        assert_fits([], name)


def test_a_verdict_fits() -> None:
    verdict = judge(slow_run(), own_gate())
    assert verdict.failures
    document = json.loads(as_json(verdict))
    assert_fits(document, "verdict")
    with pytest.raises(AssertionError):
        assert_fits(document | {"passed": "no"}, "verdict")


def test_a_verdict_on_an_incomplete_trace_fits() -> None:
    verdict = judge(_two_roots(), own_gate())
    assert not verdict.judged
    assert_fits(json.loads(as_json(verdict)), "verdict")


def test_a_diagnosis_fits() -> None:
    found = slow_diagnosis(1.0, slow_run(simulated=True))
    document = json.loads(diagnosis_json(found))
    assert document["findings"]
    assert document["steps"]
    assert_fits(document, "diagnosis")


def test_a_comparison_fits() -> None:
    base, _ = complete_runs([("base", slow_run(), None)])
    new, _ = complete_runs([("new", slow_run(4), None)])
    found = compare(base, new)
    assert found is not None
    document = json.loads(comparison_json(found))
    assert document["moved"]
    assert_fits(document, "comparison")


def test_no_comparison_fits() -> None:
    document = json.loads(comparison_json(["The two sides share no call path."]))
    assert document == {
        "schema_version": 1,
        "missing": ["The two sides share no call path."],
        "passed": None,
    }
    assert_fits(document, "comparison")


def test_names_may_hold_what_utf_8_cannot() -> None:
    text = diagnosis_json(slow_diagnosis(trace=slow_run(name="\ud800 é")))
    assert text.isascii()
    assert "\\ud800 \\u00e9" in text


def _two_roots() -> SpanTable:
    builder = TraceBuilder("0" * 32)
    for number in range(2):
        values: Any = (dict, list, list)
        builder.add(SpanValues(f"{number:016x}", "", "run", 1, BEGIN, BEGIN + 1, 0, *values))
    return builder.build()
