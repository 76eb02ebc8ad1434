"""Markdown in the form of the founding document, JSON as its docs say, text for a terminal."""

import io
import json
from pathlib import Path
from typing import Any

from rich.console import Console

from tests.otel.report.runs import TRACE_ID, slow_diagnosis, slow_run
from trading_graph.otel.diagnosis import Interval, ranking_of
from trading_graph.otel.report.diagnosis import DiagnosisText, diagnosis_json
from trading_graph.otel.report.durations import between, brief, faster, share
from trading_graph.otel.report.page import diagnosis_markdown
from trading_graph.otel.report.shortening import shorten

DOCS = Path(__file__).parents[3] / "docs" / "json.md"


def test_markdown_has_the_parts_of_the_founding_document_in_order() -> None:
    text = diagnosis_markdown(slow_diagnosis())
    parts = [
        "## 🚨 Performance Issue",
        "**Current vs Target Performance:**",
        "| Current | Target | Gap |",
        "## 🎯 Action Items",
        "### 🔴 Priority 1: Enable true parallel execution",
        "**Task: Send all branches at once**",
        "## 📊 Success Metrics",
        "### Verification Checklist",
        "### Expected Performance Gains",
        "| Implementation | Expected Runtime | Improvement |",
        "## 🔍 Monitoring Commands",
    ]
    places = [text.find(part) for part in parts]
    assert -1 not in places, parts[places.index(-1)]
    assert places == sorted(places)


def test_the_table_is_cumulative_and_never_gets_slower() -> None:
    found = slow_diagnosis()
    steps = [step.wall.likely_s for step in found.steps]
    assert len(steps) > 1
    assert steps == sorted(steps, reverse=True)
    assert steps[-1] == ranking_of(found).all_fixed().wall_ns / 1e9
    text = diagnosis_markdown(found)
    for step in found.steps:
        assert between(step.wall) in text


def test_names_stay_text_in_markdown() -> None:
    text = diagnosis_markdown(slow_diagnosis(trace=slow_run(name="<b>`a`|c\n# d_e_f [x](y)")))
    place = next(line for line in text.splitlines() if "# d" in line or "\\# d" in line)
    assert "<b>" not in text
    assert "\\<b\\>\\`a\\`\\|c \\# d_e_f \\[x\\](y)" in place


def test_a_foreign_trace_is_not_sent_to_our_log() -> None:
    assert "trading_graph.log" not in diagnosis_markdown(slow_diagnosis())


def test_the_json_holds_what_the_docs_say() -> None:
    found = slow_diagnosis(1.0, slow_run(simulated=True))
    document = json.loads(diagnosis_json(found))
    assert document["schema_version"] == 1
    assert document["trace_id"] == TRACE_ID
    assert document["target"]["standing"] == "out of reach"
    assert sum(document["path"]["by_class"].values()) * 1e9 == ranking_of(found).wall_ns
    first = document["findings"][0]
    assert first["gain_s"]["low"] <= first["gain_s"]["likely"] <= first["gain_s"]["high"]
    described = DOCS.read_text().partition("# A diagnosis as JSON")[2]
    missing = [key for key in _keys(document) if f"`{key}`" not in described]
    assert not missing


def _keys(value: Any, parent: str = "") -> set[str]:
    if isinstance(value, list):
        return {key for each in value for key in _keys(each, parent)}
    if not isinstance(value, dict) or parent in ("by_class", "by_name"):
        return set()
    return set(value) | {key for name, each in value.items() for key in _keys(each, name)}


def test_the_text_fits_and_shows_hostile_names_as_they_are() -> None:
    page = io.StringIO()
    found = slow_diagnosis(trace=slow_run(name="[red]x[/]"))
    Console(file=page, width=80).print(DiagnosisText(found))
    lines = page.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert any("gains" in line for line in lines)
    wide = io.StringIO()
    Console(file=wide, width=400).print(DiagnosisText(found))
    assert "[red]x[/]" in wide.getvalue()


def test_durations_and_intervals_are_short() -> None:
    assert [brief(s) for s in (0, 61e-6, 12.3e-3, 0.5, 15.08, 242.3, 2500)] == [
        "0 s",
        "0.061 ms",
        "12.3 ms",
        "0.50 s",
        "15.1 s",
        "242.3 s",
        "2,500 s",
    ]
    assert between(Interval(5.95, 6, 6.31)) == "5.95 to 6.31 s"
    assert between(Interval(0.05, 0.5, 1)) == "50 ms to 1.00 s"
    assert faster(10, 4) == "2.5x faster"
    assert (share(1, 1000), share(86, 100)) == ("< 1 %", "86 %")
    assert len(shorten("x" * 500, 40)) == 40
