"""The skill for coding agents: what it tells them to type and to read exists."""

import json
import re
import shlex
from pathlib import Path

import click
import pytest
from ruamel.yaml import YAML

from trading_graph.otel.verdict import Cause, Strength
from trading_graph.service.cli import main

DOCS = Path(__file__).parents[2] / "docs"
_, FRONT, TEXT = (DOCS / "skill" / "SKILL.md").read_text("utf-8").split("---\n", 2)
PLAIN_CAUSES = {Cause.BATCHES, Cause.CLOCKS, Cause.TOO_FEW, Cause.NO_WORK, Cause.BROKEN_TREE}
"""Those whose own advice says all that there is to do."""


def first_column(heading: str) -> list[str]:
    """What stands in backquotes at the start of each row of a table."""
    table = TEXT.partition(f"\n| {heading} |")[2].partition("\n\n")[0]
    return re.findall(r"^\| (.*?) \|", table.replace("|---|---|\n", ""), re.MULTILINE)


def commands() -> list[list[str]]:
    """The words of each line that calls our command."""
    lines = re.findall(r"^trading-graph (.*)$", TEXT, re.MULTILINE)
    return [shlex.split(line, comments=True) for line in lines]


def test_it_says_what_it_is_for_where_agents_look() -> None:
    front = YAML(typ="safe").load(FRONT)
    assert set(front) == {"name", "description"}
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", front["name"])
    assert 0 < len(front["description"]) <= 1024


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_a_command_has_the_options_that_it_is_given(words: list[str]) -> None:
    command = main.get_command(click.Context(main), words[0])
    assert command is not None
    ours = words[: words.index("--")] if "--" in words else words
    known = {name for parameter in command.params for name in parameter.opts}
    assert {word for word in ours if word.startswith("--")} <= known | {"--with"}


def test_it_explains_every_strength_and_every_cause() -> None:
    assert first_column("strength") == [f"`{each}`" for each in Strength]
    causes = {each for cell in first_column("cause") for each in re.findall("`(.*?)`", cell)}
    assert causes == set(Cause) - PLAIN_CAUSES


def test_the_fields_that_it_names_are_in_the_documents() -> None:
    for document, of in (("verdict", "checks"), ("diagnosis", "findings")):
        schema = json.loads((DOCS / "schemas" / f"{document}.json").read_text("utf-8"))
        named = re.search(rf"# {of}\[\](?:\.|: )(.*)$", TEXT, re.MULTILINE)
        assert named is not None
        known = {name for each in schema["$defs"].values() for name in each.get("properties", ())}
        assert set(re.split(r",\s*", named[1])) <= known
