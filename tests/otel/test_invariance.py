"""What must not matter: names of spans and scopes, the unit of time, the day, our own attributes.

Each trace of known truth is judged as it is, and again after a change that changes nothing.
"""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from trading_graph.graph.gate_loader import default_gate
from trading_graph.otel.diagnosis import Diagnosis, diagnose
from trading_graph.otel.sources import parse

RECORDED = Path(__file__).parents[1] / "recorded"
OTHER_FORMATS = {"B_jaeger_test6_x1000", "C_crisp_case10"}
FILES = [
    path
    for path in sorted([*RECORDED.glob("cases/*.json"), *RECORDED.glob("frameworks/*-*.json")])
    if path.stem not in OTHER_FORMATS
]
LAGS = {"f01e_skew_serial_looks_proven", "f08b_own_process_block", "f10f_two_agents_one_worker"}
"""Their loop lag is held against a limit in milliseconds, which does not scale."""
TIMES = ("startTimeUnixNano", "endTimeUnixNano", "timeUnixNano")

Answer = tuple[object, ...]
Document = dict[str, Any]


def answer(document: Document) -> Answer:
    """The verdict and the findings, without names and figures."""
    (trace,) = parse(json.dumps(document).encode(), "t")
    found = diagnose(trace, default_gate(trace))
    if not isinstance(found, Diagnosis):
        return ("incomplete", len(found.missing))
    checks = [
        (each.id, each.outcome, each.strength, each.causes, each.evidence, len(each.notes))
        for each in found.verdict.checks
    ]
    kinds = [(each.kind, each.proven, bool(each.only_if)) for each in found.findings]
    sure = [each.gain.low_s > 0.01 * found.wall_s for each in found.findings]
    return found.verdict.judged, found.verdict.passed, checks, kinds, sure


@cache
def documents() -> dict[Path, tuple[str, Answer]]:
    return {path: (path.read_text(), answer(json.loads(path.read_text()))) for path in FILES}


def spans_of(document: Document) -> list[dict[str, Any]]:
    return [
        span
        for resource in document["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]


def rename(document: Document) -> None:
    """Other names, one for one, in another order of the alphabet."""
    names: dict[str, str] = {}
    for span in spans_of(document):
        span["name"] = names.setdefault(span["name"], f"{chr(122 - len(names) % 26)}{len(names)}")
    for resource in document["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            scope["scope"] = {"name": "another"}


def change_times(document: Document, change: Callable[[int], int]) -> None:
    for span in spans_of(document):
        for each in (span, *span.get("events", ())):
            for key in TIMES:
                if key in each:
                    each[key] = str(change(int(each[key])))


def start_of(document: Document) -> int:
    return min(int(span["startTimeUnixNano"]) for span in spans_of(document))


def stretch(document: Document, by: int) -> None:
    begin = start_of(document)
    change_times(document, lambda time: begin + (time - begin) * by)
    # What is recorded in milliseconds is a time too.
    for span in spans_of(document):
        for each in span.get("attributes", ()):
            if each["key"].endswith("_ms") and "doubleValue" in each["value"]:
                each["value"]["doubleValue"] *= by


def shift(document: Document) -> None:
    change_times(document, lambda time: time + 86_400 * 10**9)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
@pytest.mark.parametrize("change", [rename, shift])
def test_names_and_days_do_not_matter(path: Path, change: Callable[[Document], None]) -> None:
    text, expected = documents()[path]
    document = json.loads(text)
    change(document)
    assert answer(document) == expected


@pytest.mark.parametrize(
    "path", [each for each in FILES if each.stem not in LAGS], ids=lambda path: path.stem
)
def test_the_unit_of_time_does_not_matter(path: Path) -> None:
    text, expected = documents()[path]
    document = json.loads(text)
    stretch(document, 1000)
    assert answer(document) == expected


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_without_our_own_attributes_an_answer_may_only_weaken(path: Path) -> None:
    text, (judged, passed, *_) = documents()[path]
    document = json.loads(text)
    for span in spans_of(document):
        span["attributes"] = [
            each for each in span.get("attributes", ()) if not each["key"].startswith("trading.")
        ]
    without = answer(document)
    assert without[0] == judged
    if passed:
        assert without[1]
