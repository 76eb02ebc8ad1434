"""What a model may have known: dates before its cutoff, unknown models, and no model."""

import datetime
import tomllib
from pathlib import Path

import pytest

from trading_graph.service.portfolio.results import knowledge_cutoffs
from trading_graph.service.portfolio.results.knowledge_cutoffs import (
    Knowledge,
    cutoff_of,
    knowledge_of,
)


def day(text: str) -> datetime.date:
    return datetime.date.fromisoformat(text)


@pytest.mark.parametrize(
    ("model", "cutoff"),
    [
        ("gpt-5", "2024-09-30"),
        ("gpt-5-2025-08-07", "2024-09-30"),
        ("openai/GPT-5-mini", "2024-05-31"),
        ("claude-haiku-4-5-20251001", "2025-02-28"),
        ("llama3.3:70b", "2023-12-31"),
    ],
)
def test_a_known_model_s_cutoff(model: str, cutoff: str) -> None:
    found = cutoff_of(model)
    assert found is not None
    assert found.day == day(cutoff)
    assert found.page.startswith("https://")
    assert found.read_on > found.day


@pytest.mark.parametrize("model", ["gpt-5-codex", "gpt-5x", "my-own", "", "gpt-5.9"])
def test_a_model_that_is_not_in_the_table_has_none(model: str) -> None:
    assert cutoff_of(model) is None


def test_the_cutoff_itself_counts_as_known() -> None:
    models = ("gpt-5-mini", "gpt-5")
    # The later of the two counts.
    assert knowledge_of(models, day("2024-06-03")) is Knowledge.MAY_KNOW
    assert knowledge_of(models, day("2024-09-30")) is Knowledge.MAY_KNOW
    assert knowledge_of(models, day("2024-10-01")) is Knowledge.AFTER_CUTOFF


def test_one_unknown_model_leaves_nothing_certain() -> None:
    assert knowledge_of(("gpt-5", "my-own"), day("2024-01-02")) is Knowledge.MAY_KNOW
    assert knowledge_of(("gpt-5", "my-own"), day("2025-01-02")) is Knowledge.UNKNOWN
    assert knowledge_of(("my-own",), day("2025-01-02")) is Knowledge.UNKNOWN
    assert knowledge_of((), day("2025-01-02")) is Knowledge.RULES


def test_every_entry_names_its_page_and_no_pattern_stands_twice() -> None:
    path = Path(knowledge_cutoffs.__file__).with_name("knowledge_cutoffs.toml")
    entries = tomllib.loads(path.read_text("utf-8"))["model"]
    patterns = [pattern for each in entries for pattern in each["patterns"]]
    assert len(patterns) == len(set(patterns)) > 20
    for each in entries:
        assert set(each) == {"patterns", "cutoff", "page", "read_on"}
        assert all(pattern == pattern.lower() for pattern in each["patterns"])
