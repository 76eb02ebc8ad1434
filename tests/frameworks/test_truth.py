"""The instruments of the suite: the model that answers by script, the count of what ran at once."""

import json
import re
import urllib.request
from itertools import pairwise
from typing import Any

import pytest

from tests.frameworks.environments import names, requirements
from tests.frameworks.programs.fake_openai import FakeOpenAI
from tests.frameworks.programs.workload import VARIANTS, at_once
from tests.frameworks.suite import MATRIX, runs

TOOLS = [{"type": "function", "function": {"name": "weather"}}]


@pytest.fixture(scope="module")
def service() -> FakeOpenAI:
    made = FakeOpenAI()
    made.call_s = 0.01
    return made


def ask(service: FakeOpenAI, path: str, **body: Any) -> str:
    request = urllib.request.Request(
        f"{service.base_url}/{path}",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return bytes(answer.read()).decode()


def cities(answer: str) -> list[str]:
    return re.findall(r'\\"city\\": \\"(\w+)\\"', answer)


WAYS = [
    ("chat/completions", "messages", {}),
    ("chat/completions", "messages", {"stream": True}),
    ("responses", "input", {}),
]


@pytest.mark.parametrize(("path", "key", "more"), WAYS)
def test_a_script_is_followed_turn_by_turn(
    service: FakeOpenAI, path: str, key: str, more: dict[str, Any]
) -> None:
    said: list[str] = ["How is the weather?"]
    turns = []
    for _ in range(4):
        answer = ask(service, path, model="mixed", tools=TOOLS, **{key: said}, **more)
        turns.append(cities(answer))
        said.append(answer)
    assert turns == [["Oslo"], ["Rome"], ["Lima", "Quito", "Cairo"], []]
    assert "sunny" in said[-1]


def test_a_city_that_the_question_names_is_asked_for(service: FakeOpenAI) -> None:
    said = ["Weather in Rome, then Accra?"]
    for city in ("Rome", "Accra"):
        answer = ask(service, "chat/completions", model="two", tools=TOOLS, messages=said)
        assert cities(answer) == [city]
        said.append(answer)


def test_where_an_answer_is_a_tool_it_is_called(service: FakeOpenAI) -> None:
    tools = [*TOOLS, {"type": "function", "function": {"name": "final_answer"}}]
    answer = ask(service, "chat/completions", model="plain", tools=tools, messages=["hello"])
    assert "final_answer" in answer
    assert not cities(answer)


@pytest.mark.parametrize(
    ("intervals", "most"),
    [
        ([], 0),
        ([(0.0, 0.4), (0.0, 0.4), (0.01, 0.41)], 3),
        ([(0.0, 0.4), (0.39, 0.8), (0.79, 1.2)], 1),
        ([(0.0, 0.4), (0.0, 0.4), (0.4, 0.8), (0.4, 0.8)], 2),
    ],
)
def test_followers_that_touch_did_not_run_at_once(
    intervals: list[tuple[float, float]], most: int
) -> None:
    assert at_once(intervals) == most


def test_every_program_is_in_the_matrix_with_exact_versions() -> None:
    assert {framework for framework, _ in MATRIX} == set(names())
    assert {run.variant for run in runs()} == set(VARIANTS)
    for name in names():
        wanted = requirements(name)
        assert wanted
        assert all("==" in each for each in wanted), f"{name}: {wanted}"


def test_runs_of_one_framework_stand_together() -> None:
    """An environment is used while it is in the machine's memory."""
    frameworks = [run.framework for run in runs()]
    changes = sum(one != other for one, other in pairwise(frameworks))
    assert changes == len(set(frameworks)) - 1
