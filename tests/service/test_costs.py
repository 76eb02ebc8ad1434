"""What a person is told about tokens and costs: the date of the prices, and what is not known."""

import json
from pathlib import Path

import pytest

from tests.faulty_model import FaultyModel
from tests.schema_files import assert_fits
from tests.service.test_run_command import trading_graph
from trading_graph.graph.backend_choice import OFFLINE_DEEP_MODEL
from trading_graph.graph.state import Usage
from trading_graph.service.run.usage import (
    asked_a_model,
    cost_line,
    cost_usd,
    prices_of,
    token_table,
    usage_by_agent,
)
from trading_graph.service.settings import Settings
from trading_graph.toolkit.loopback import LoopbackServer

CALL = Usage("trader", "gpt-5-mini", 1_000_000, 100_000, 1.5, cached_tokens=400_000)
UNKNOWN = Usage("risk_judge", "llama", 1000, 10, 1.0)


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_BASE_URL", "OPENAI_API_BASE", "TRADING_GRAPH_PRICES"):
        monkeypatch.delenv(name, raising=False)


def settings(**values: object) -> Settings:
    return Settings(_env_file=None, **values)  # type: ignore[arg-type]


def test_a_cost_names_the_date_and_the_page_of_its_prices() -> None:
    line = cost_line([CALL], settings())
    assert line.startswith("Cost: $0.3600 at prices of 2026-")
    assert "https://developers.openai.com/" in line
    (price,) = prices_of([CALL], settings())
    assert price.model == "gpt-5-mini"
    assert price.page is not None


def test_settings_override_prices_and_are_named() -> None:
    own = settings(prices={"gpt-5-mini": [1, 10, 0.5]})
    assert cost_usd([CALL], own) == pytest.approx(0.6 + 0.2 + 1.0)
    assert "TRADING_GRAPH_PRICES" in cost_line([CALL], own)
    without_cached = settings(prices={"gpt-5-mini": [1, 10]})
    assert cost_usd([CALL], without_cached) == pytest.approx(2.0)


def test_an_unknown_price_makes_the_sum_unknown_and_not_smaller() -> None:
    assert cost_usd([CALL, UNKNOWN], settings()) is None
    line = cost_line([CALL, UNKNOWN], settings())
    assert line.startswith("Cost: unknown")
    assert "llama" in line
    assert "TRADING_GRAPH_PRICES" in line
    usage = usage_by_agent([CALL, UNKNOWN], settings())
    assert usage["trader"].cost_usd is not None
    assert usage["risk_judge"].cost_usd is None


def test_the_price_of_a_model_elsewhere_is_unknown() -> None:
    elsewhere = settings(openai_base_url="http://127.0.0.1:9/v1")
    assert cost_usd([CALL], elsewhere) is None


def test_a_cost_without_all_tokens_is_at_least_that() -> None:
    broken = Usage("trader", "gpt-5-mini", 0, 0, 1.0, requests=2, uncounted=2)
    line = cost_line([CALL, broken], settings())
    assert line.startswith("Cost: at least, without 2 requests whose tokens are not known, $0.36")
    alone = cost_line([broken], settings())
    assert alone == "Cost: unknown, because the service does not report tokens."


def test_the_offline_model_costs_nothing_and_nothing_is_said() -> None:
    offline = [Usage("trader", OFFLINE_DEEP_MODEL, 100, 10, 0.1)]
    assert not asked_a_model(offline)
    assert asked_a_model([*offline, CALL])


@pytest.mark.parametrize(
    ("usage", "cells"),
    [
        (CALL, ["1000000", "100000", "$0.3600"]),
        (Usage("trader", "gpt-5-mini", 0, 0, 1.0, uncounted=1), ["unknown"]),
        (Usage("trader", "gpt-5-mini", 1000, 9, 1.0, uncounted=1), [">1000", ">9", ">$0.0003"]),
        (UNKNOWN, ["1000", "unknown"]),
    ],
)
def test_the_table_says_what_is_not_known(usage: Usage, cells: list[str]) -> None:
    rows = usage_by_agent([usage], settings())
    (row,) = token_table(rows, with_costs=True).rows
    for cell in cells:
        assert cell in row


def test_a_run_says_what_it_cost_or_that_this_is_unknown(workdir: Path) -> None:
    with LoopbackServer(FaultyModel(latency_s=0.01).make_app) as server:
        environment = {"OPENAI_BASE_URL": f"{server.url}/v1"}
        unknown = trading_graph("run", "AAPL", cwd=workdir, env=environment)
        own = {**environment, "TRADING_GRAPH_PRICES": '{"gpt-5-mini": [1, 2], "gpt-5": [3, 4]}'}
        known = trading_graph("run", "AAPL", cwd=workdir, env=own)
        as_json = trading_graph("run", "AAPL", "--json", cwd=workdir, env=own)
    assert unknown.returncode == known.returncode == as_json.returncode == 0
    assert "Cost: unknown, because this service's price of gpt-5" in unknown.stdout
    assert "Cost: $0.0" in known.stdout
    assert "TRADING_GRAPH_PRICES" in known.stdout
    document = json.loads(as_json.stdout)
    costs = [each["cost_usd"] for each in document["usage"].values()]
    assert document["cost_usd"] == pytest.approx(sum(costs))
    assert [each["model"] for each in document["prices"]] == ["gpt-5-mini", "gpt-5"]
    assert_fits(document, "run")
    offline = trading_graph("run", "AAPL", "--offline", cwd=workdir)
    assert "Cost" not in offline.stdout
