"""Agents, calls and tokens in the forms of a verdict and of a comparison; short times."""

import io
import json

import pytest
from rich.console import Console

from tests.otel.diagnosis.compared import compared
from tests.otel.diagnosis.test_compare_structure import crew
from tests.otel.diagnosis.traces import drawn
from tests.otel.report.runs import slow_run
from trading_graph.otel.report.comparison import (
    ComparisonText,
    comparison_json,
    comparison_markdown,
)
from trading_graph.otel.report.durations import exact
from trading_graph.otel.report.verdict import VerdictText, as_json
from trading_graph.otel.trace import SpanTable
from trading_graph.otel.verdict import judge, neutral_gate


def text(shown: object, width: int = 80) -> list[str]:
    page = io.StringIO()
    Console(file=page, width=width).print(shown)
    return [line.rstrip() for line in page.getvalue().splitlines()]


def cells(lines: list[str]) -> list[str]:
    """The lines with single spaces between their words."""
    return [" ".join(line.split()) for line in lines]


def verdict_text(trace: SpanTable) -> list[str]:
    return text(VerdictText(judge(trace, neutral_gate())))


def test_a_verdict_has_a_row_for_each_agent_and_names_the_largest() -> None:
    lines = verdict_text(crew(scout=[10, 20], writer=[5000]))
    assert "scout 1 0.60 s 0.60 s 2 0.60 s 30 / 2" in cells(lines)
    (sentence,) = [line for line in lines if line.startswith("Most time is in")]
    assert sentence.startswith("Most time is in scout: 0.60 s of 5.00 s, 2 of 3 LLM calls, 32 of")


def test_one_agent_needs_no_table() -> None:
    assert not [line for line in verdict_text(crew(scout=[10])) if "agent or node" in line]


def test_a_long_list_is_cut_and_fits() -> None:
    lines = verdict_text(crew(**{f"agent_{n}": [10] for n in range(12)}))
    assert sum(line.startswith("agent_") for line in lines) == 8
    assert any(line.startswith("and 4 more") for line in lines)
    assert max(map(len, lines)) <= 80


def test_the_json_of_a_verdict_has_totals_and_agents() -> None:
    document = json.loads(as_json(judge(crew(scout=[10, 20], writer=[5000]), neutral_gate())))
    measures = document["measures"]
    assert (measures["llm_calls"], measures["input_tokens"], measures["llm_s"]) == (3, 5030, 0.9)
    scout, writer = measures["agents"]
    assert scout == {
        "name": "scout",
        "visits": 1,
        "wall_s": 0.6,
        "own_s": 0.6,
        "llm_calls": 2,
        "llm_s": 0.6,
        "input_tokens": 30,
        "output_tokens": 2,
    }
    assert writer["name"] == "writer"


def test_a_comparison_shows_what_models_took() -> None:
    found = compared([crew(scout=[10], writer=[5000])], [crew(scout=[10], writer=[7000, 1])])
    lines = text(ComparisonText(found), 120)
    assert "writer 1 → 2 5,000 → 7,001 1 → 2" in cells(lines)
    assert "the run 2 → 3 5,010 → 7,011 2 → 3" in cells(lines)
    assert "scout 1 10 1" not in cells(lines)
    assert "| writer | 1 → 2 | 5,000 → 7,001 | 1 → 2 |" in comparison_markdown(found)
    document = json.loads(comparison_json(found))
    assert document["use"]["new"] == {"llm_calls": 3, "input_tokens": 7011, "output_tokens": 3}
    assert [each["name"] for each in document["agents"]] == ["writer"]


def test_a_comparison_without_models_says_nothing_of_them() -> None:
    trace = drawn(("run", 0, 10, [("a", 0, 10, [])]))
    assert not any("LLM" in line for line in text(ComparisonText(compared([trace], [trace]))))


def test_a_comparison_of_short_runs_is_in_milliseconds() -> None:
    base, new = (drawn(("run", 0, wall, [("a", 0, wall, [])])) for wall in (12, 15))
    lines = text(ComparisonText(compared([base], [new])))
    assert any("12.0 ms became 15.0 ms: +3.0 ms (+25.0%)" in line for line in lines)
    assert not any("0.012" in line for line in lines)


@pytest.mark.parametrize(
    ("seconds", "shown", "signed"),
    [
        (0.0, "0 s", "0 s"),
        (12.3456, "12.346 s", "+12.346 s"),
        (1.0, "1.000 s", "+1.000 s"),
        (0.99996, "1.000 s", "+1.000 s"),
        (0.9999, "999.9 ms", "+999.9 ms"),
        (-0.0123, "-12.3 ms", "-12.3 ms"),
        (61e-6, "0.061 ms", "+0.061 ms"),
    ],
)
def test_exact_durations(seconds: float, shown: str, signed: str) -> None:
    assert exact(seconds) == shown
    assert exact(seconds, sign=True) == signed


def test_names_of_agents_are_shown_as_they_are() -> None:
    lines = verdict_text(slow_run(name="[red]x[/]"))
    assert any("Most time is in [red]x[/]" in line for line in lines)
