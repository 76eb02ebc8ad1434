"""Prices are dated, say where they are from, and are never made up."""

import datetime
import tomllib
from importlib.resources import files
from typing import Any

import pytest

from trading_graph.graph import chat
from trading_graph.graph.chat.prices import Price, shipped_price

DATA = tomllib.loads(files(chat).joinpath("prices.toml").read_text("utf-8"))
ROWS = [
    pytest.param(service["hosts"][0], model, id=model["id"])
    for service in DATA["service"]
    for model in service["model"]
]


@pytest.mark.parametrize(("host", "row"), ROWS)
def test_each_price_has_a_date_and_a_page(host: str, row: dict[str, Any]) -> None:
    price = shipped_price(f"https://{host}/v1", row["id"])
    assert price is not None
    assert price.page is not None
    assert price.page.startswith("https://")
    assert price.date is not None
    assert datetime.date(2026, 1, 1) <= price.date <= datetime.date(2026, 12, 31)
    assert 0 < price.input < price.output
    assert price.cached is None or price.cached < price.input
    assert price.cache_write is None or price.cache_write > price.input


def test_a_price_holds_at_the_service_that_sets_it() -> None:
    assert shipped_price(None, "gpt-5-mini") == shipped_price(
        "https://api.openai.com/v1", "gpt-5-mini"
    )
    assert shipped_price("http://127.0.0.1:9/v1", "gpt-5-mini") is None
    assert shipped_price("https://api.openai.com.evil.example/v1", "gpt-5-mini") is None


def test_a_snapshot_costs_what_its_model_costs_and_another_model_does_not() -> None:
    model = shipped_price(None, "gpt-5-mini")
    assert shipped_price(None, "gpt-5-mini-2025-08-07") == model
    anthropic = "https://api.anthropic.com/v1"
    assert shipped_price(anthropic, "claude-haiku-4-5-20251001") is not None
    assert shipped_price(None, "gpt-5-mini-pro") is None
    assert shipped_price(None, "gpt-5-mini-2025-08-07-x") is None


def test_cached_and_written_input_have_their_own_prices() -> None:
    price = Price(input=10, output=100, cached=1, cache_write=12)
    # xAI's own figure for such a request is in wei-shaw/sub2api #5771.
    grok = Price(input=1.25, output=2.5, cached=0.2)
    assert grok.cost(10120, 1499 + 2809, cached=128) == pytest.approx(0.0232856)
    assert price.cost(1000, 10) == pytest.approx(0.011)
    assert price.cost(1000, 10, cached=600, written=100) == pytest.approx(
        (300 * 10 + 600 * 1 + 100 * 12 + 10 * 100) / 1e6
    )
    # More cached than there is input is a false report.
    assert price.cost(1000, 0, cached=5000, written=5000) == pytest.approx(0.001)


def test_without_a_price_of_its_own_cached_input_is_input() -> None:
    assert Price(input=10, output=1).cost(1000, 0, cached=600, written=100) == pytest.approx(0.01)


def test_a_price_for_short_prompts_says_nothing_of_long_ones() -> None:
    price = Price(input=10, output=100, prompt_limit=1000)
    assert price.cost(1000, 1) is not None
    assert price.cost(1001, 1) is None
