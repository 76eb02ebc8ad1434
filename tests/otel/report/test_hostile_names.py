"""A name that holds what drives a terminal, turns a line around or hides: every output shows it."""

import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from rich.console import Console

from tests.library.traces import trace_file
from trading_graph.graph.gate_loader import default_gate
from trading_graph.otel.diagnosis import (
    Comparison,
    Diagnosis,
    compare,
    complete_runs,
    diagnose,
    ranking_of,
)
from trading_graph.otel.report import VerdictText, as_github, as_json, as_junit, as_markdown
from trading_graph.otel.report.comparison import (
    ComparisonText,
    comparison_github,
    comparison_json,
    comparison_junit,
    comparison_markdown,
)
from trading_graph.otel.report.diagnosis import DiagnosisText, diagnosis_json
from trading_graph.otel.report.documents.trace_view import trace_view
from trading_graph.otel.report.exports import folded
from trading_graph.otel.report.page import diagnosis_markdown, page
from trading_graph.otel.sources import read
from trading_graph.otel.trace import SpanTable, Trace
from trading_graph.otel.visible import visible, visible_line
from trading_graph.service.cli import main

HOSTILE = "agent\x1b[2J\x07\x9b\u202eevil\u2066\u200b\U000e0041\x00"
"""Clear the screen, ring, C1's own escape, turn the line around, isolate, hide, tag, null."""

UNSAFE = set(HOSTILE) - set("agent[2Jevil")


def traces(folder: Path) -> tuple[SpanTable, SpanTable]:
    """A run whose agents are serial and one in which they overlap, with hostile names."""
    tables = []
    for name, serial in (("serial.json", True), ("parallel.json", False)):
        path = trace_file(folder, name, serial=serial, trace_id=("b" if serial else "a") * 32)
        document = json.loads(path.read_text())
        for span in document["resourceSpans"][0]["scopeSpans"][0]["spans"]:
            span["name"] = f"{HOSTILE} {span['name']}"
        path.write_text(json.dumps(document))
        tables += read(path)
    return tables[0], tables[1]


def drawn(report: object) -> str:
    """What a terminal would get, colours and all."""
    buffer = StringIO()
    Console(file=buffer, width=100, force_terminal=True, highlight=False).print(report)
    return buffer.getvalue()


def without_colours(text: str) -> str:
    """The text without the only escapes that are rich's own: those that set a style."""
    parts = text.split("\x1b[")
    return parts[0] + "".join(each.partition("m")[2] for each in parts[1:])


@pytest.fixture
def outputs(tmp_path: Path) -> dict[str, Callable[[], str]]:
    slow, fast = traces(tmp_path)
    diagnosis = diagnose(slow, default_gate(slow), 0.1)
    assert isinstance(diagnosis, Diagnosis)
    verdict = diagnosis.verdict
    (new, _), (base, _) = (complete_runs([("x", each, None)]) for each in (slow, fast))
    compared = compare(base, new)
    assert isinstance(compared, Comparison)
    return {
        "verdict": lambda: without_colours(drawn(VerdictText(verdict))),
        "verdict as Markdown": lambda: as_markdown(verdict),
        "verdict as JUnit": lambda: as_junit(verdict),
        "verdict for GitHub": lambda: as_github(verdict),
        "verdict as JSON": lambda: as_json(verdict),
        "diagnosis": lambda: without_colours(drawn(DiagnosisText(diagnosis))),
        "diagnosis as Markdown": lambda: diagnosis_markdown(diagnosis),
        "diagnosis as a page": lambda: page(diagnosis),
        "diagnosis as JSON": lambda: diagnosis_json(diagnosis),
        "stacks": lambda: folded(ranking_of(diagnosis).path),
        "comparison": lambda: without_colours(drawn(ComparisonText(compared))),
        "comparison as Markdown": lambda: comparison_markdown(compared),
        "comparison as JUnit": lambda: comparison_junit(compared),
        "comparison for GitHub": lambda: comparison_github(compared),
        "comparison as JSON": lambda: comparison_json(compared),
    }


def test_no_output_passes_on_what_is_unsafe(outputs: dict[str, Callable[[], str]]) -> None:
    for name, output in outputs.items():
        text = output()
        assert not UNSAFE & set(text), name
        if "JUnit" in name:
            ElementTree.fromstring(text)
    assert "\\x1b[2J" in outputs["diagnosis as a page"]()
    assert "\\u202e" in outputs["diagnosis as Markdown"]()


@pytest.mark.parametrize("words", [("verify",), ("diagnose",), ("verify", "--each")])
def test_neither_does_a_command(tmp_path: Path, words: tuple[str, ...]) -> None:
    traces(tmp_path)
    said = CliRunner().invoke(main, [*words, str(tmp_path / "serial.json")])
    assert said.stdout
    assert not UNSAFE & set(said.output)


def test_neither_does_the_trace_view(tmp_path: Path) -> None:
    slow, _ = traces(tmp_path)
    view = trace_view(Trace(slow))
    assert len(view.names) == len(set(slow.names))
    assert not UNSAFE & set("".join(view.names))


def test_text_that_is_safe_stays_as_it_is() -> None:
    for text in ("plain", "zwölf\n\tAnalysten", "分析", "👩‍💻", "می‌خواهم"):
        assert visible(text) == text
    assert visible_line("a\nb\tc\r") == "a\\nb\\tc\\r"
    assert visible("\ud800\r") == "\\ud800\\r"
