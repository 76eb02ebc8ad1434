"""What the command line says about small traces that programs of many frameworks left.

The suite that records such traces is test_frameworks.py; shrinking.py makes fixtures of them.
"""

import json
from functools import cache
from typing import Any

import pytest

from tests.frameworks.expectations import Answer, Kind, score
from tests.frameworks.scores import FIXTURES, MANIFEST, answer_about

LINES: list[dict[str, Any]] = json.loads(MANIFEST.read_text())


@cache
def answered(file: str) -> Answer:
    return answer_about(FIXTURES / file)


CASES = [
    pytest.param(line["file"], line["truth"], id=line["file"].removesuffix(".json"))
    for line in LINES
]


@pytest.mark.parametrize(("file", "truth"), CASES)
def test_the_verdict_is_what_the_program_did(file: str, truth: dict[str, Any]) -> None:
    assert score(Kind(truth["kind"]), answered(file)).verdict == ""


@pytest.mark.parametrize(("file", "truth"), CASES)
def test_the_first_finding_is_what_the_program_suffers_from(
    file: str, truth: dict[str, Any]
) -> None:
    assert score(Kind(truth["kind"]), answered(file), truth["gain_s"]).finding == ""


def test_every_fixture_did_what_its_variant_says() -> None:
    """A fixture that is called parallel was."""
    assert {path.name for path in FIXTURES.glob("*-*.json")} == {line["file"] for line in LINES}
    for line in LINES:
        truth = line["truth"]
        assert truth["tools_at_once"] == truth["tools_expected"], line["file"]
        assert truth["calls_at_once"] == truth["calls_expected"], line["file"]
