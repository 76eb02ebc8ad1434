"""The file of what was learned of models: a cache that may be broken, old, or away."""

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace as changed

from trading_graph.graph.chat.capabilities import Capabilities
from trading_graph.graph.chat.learning import Learning
from trading_graph.graph.chat.memory import LIFETIME_S, Lesson, Memory, default_path

START = Capabilities()


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    return Memory(tmp_path / "cache" / "models.json")


def lesson(**fields: Any) -> Lesson:
    return changed(
        Lesson("http://h/v1", "m", time.time(), {"stream_options": False}, ["why"], ["text"]),
        **fields,
    )


def current(memory: Memory, **how: Any) -> Capabilities:
    return Learning("http://h/v1", "m", START, memory, **how).current


def test_a_lesson_is_kept_by_service_and_model(memory: Memory) -> None:
    assert current(memory) == START
    memory.keep(lesson())
    memory.keep(lesson(model="n", changes={"stream": False}))
    memory.keep(lesson(service="http://other/v1", changes={}))
    assert current(memory) == replace(START, stream_options=False)
    memory.keep(lesson(changes={"temperature": False}))
    assert current(memory) == replace(START, temperature=False)
    assert len(memory.lessons()) == 3
    assert memory.forget("http://h/v1", "m")
    assert not memory.forget("http://h/v1", "m")
    assert current(memory) == START
    assert len(memory.lessons()) == 2


def test_what_the_settings_give_is_not_remembered_otherwise(memory: Memory) -> None:
    memory.keep(lesson())
    assert current(memory, given=frozenset(["stream_options"])) == START


@pytest.mark.parametrize(
    "wrong",
    [
        {"changes": {"api": "telnet"}},
        {"changes": {"stream_options": 3}},
        {"uses": ["dancing"]},
        {"learned": time.time() - 2 * LIFETIME_S},
        {"learned": time.time() + LIFETIME_S},
    ],
)
def test_a_lesson_that_is_nonsense_or_old_is_none(memory: Memory, wrong: dict[str, Any]) -> None:
    memory.keep(lesson(**wrong))
    assert current(memory) == START


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        json.dumps({"version": 99, "lessons": []}),
        json.dumps({"version": 1, "lessons": [{"service": 3}]}),
        "\0" * 100,
        "[" * 100_000,
    ],
    ids=["empty", "half", "list", "version", "lesson", "zeros", "deep"],
)
def test_a_broken_file_is_as_good_as_none_and_is_written_anew(memory: Memory, content: str) -> None:
    assert memory.path is not None
    memory.path.parent.mkdir()
    memory.path.write_text(content)
    assert memory.lessons() == []
    memory.keep(lesson())
    assert len(memory.lessons()) == 1
    assert [each.name for each in memory.path.parent.iterdir()] == ["models.json"]


def test_without_a_file_nothing_is_kept() -> None:
    memory = Memory(None)
    memory.keep(lesson())
    assert memory.lessons() == []


def test_it_is_in_the_folder_for_caches(tmp_path: Path) -> None:
    assert default_path({"XDG_CACHE_HOME": str(tmp_path)}) == tmp_path.joinpath(
        "trading-graph", "models.json"
    )
    # A relative one is to be ignored, says the specification.
    assert default_path({"XDG_CACHE_HOME": "here"}) == default_path({})
