"""The ids of a portfolio and its runs: the same for the same work, and otherwise others."""

import datetime
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from trading_graph.graph.backend_choice import BackendChoice, ModelService
from trading_graph.service.errors import PortfolioError
from trading_graph.service.langsmith import LangSmithMode
from trading_graph.service.portfolio.order import Limits, PortfolioOrder
from trading_graph.service.portfolio.symbol_list import SymbolList, read_symbols
from trading_graph.service.run.request import RunRequest
from trading_graph.service.settings import Settings

DATES = (datetime.date(2025, 11, 13), datetime.date(2025, 11, 14))
REQUEST = RunRequest(symbol="AAPL", date="2025-11-13", analysts=("market", "news"), risk_rounds=2)
SERVICE = ModelService("http://models.test/v1", SecretStr("k-secret-1234"), "small", "large")


def order(**changed: Any) -> PortfolioOrder:
    symbols: SymbolList = changed.pop("symbols", read_symbols(["AAPL", "NVDA"]))
    values: dict[str, Any] = {
        "dates": DATES,
        "request": REQUEST,
        "choice": BackendChoice(),
        "langsmith": LangSmithMode.OFF,
        "limits": Limits(8),
        "out": Path("runs"),
        **changed,
    }
    return PortfolioOrder.of(symbols, **values)


def run_ids(of: PortfolioOrder) -> list[str]:
    return [each.run_id for each in of.ticker_days]


def test_every_symbol_is_analysed_on_every_date() -> None:
    found = [(str(each.date), each.symbol) for each in order().ticker_days]
    assert found == [
        ("2025-11-13", "AAPL"),
        ("2025-11-13", "NVDA"),
        ("2025-11-14", "AAPL"),
        ("2025-11-14", "NVDA"),
    ]
    assert len({*run_ids(order()), order().id}) == 5
    assert all(len(bytes.fromhex(each)) == 16 for each in run_ids(order()))


@pytest.mark.parametrize(
    "changed",
    [
        {"limits": Limits(2, 10, 1000)},
        {"out": Path("elsewhere")},
        {"choice": BackendChoice(chat_latency_s=9, fetch_latency_s=1)},
        {"symbols": read_symbols(["NVDA", "AAPL", "AAPL"])},
        {"request": replace(REQUEST, symbol="NVDA", date="2025-11-14")},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_what_does_not_decide_what_the_runs_do_changes_no_id(changed: dict[str, Any]) -> None:
    assert order(**changed).id == order().id
    assert sorted(run_ids(order(**changed))) == sorted(run_ids(order()))


@pytest.mark.parametrize(
    "changed",
    [
        {"number": 1},
        {"dates": DATES[:1]},
        {"symbols": read_symbols(["AAPL", "NVDA", "WMT"])},
        {"request": replace(REQUEST, debate_rounds=2)},
        {"request": replace(REQUEST, max_calls=5)},
        {"choice": BackendChoice(data="live")},
        {"choice": BackendChoice(model=SERVICE)},
        {"choice": BackendChoice(model=replace(SERVICE, deep="larger"))},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_what_decides_what_the_runs_do_changes_all_ids(changed: dict[str, Any]) -> None:
    others = order(**changed)
    assert others.id != order().id
    assert not {*run_ids(others)} & {*run_ids(order())}
    assert (
        order(choice=BackendChoice(model=SERVICE)).id
        != order(choice=BackendChoice(model=replace(SERVICE, deep="larger"))).id
    )


def test_the_ids_are_those_of_every_machine_and_version() -> None:
    """What was begun by an earlier version is gone on with, so an id never changes."""
    assert order().id == "dcc22ffccdbc4b17d7d25b993c071536"
    assert run_ids(order())[0] == "a3e773b6a6824aac5c370007a507bef7"


def test_an_order_comes_back_as_it_was_and_holds_no_secret() -> None:
    begun = order(choice=BackendChoice(model=SERVICE, data="auto"), limits=Limits(3, 60, 9000))
    text = begun.model_dump_json()
    assert "k-secret-1234" not in text
    again = PortfolioOrder.parse(text, "portfolio.json")
    assert again == begun
    for each in again.ticker_days:
        wanted = replace(REQUEST, symbol=each.symbol, date=str(each.date))
        assert again.run_request(each) == wanted
    with pytest.raises(PortfolioError, match=r"portfolio\.json is no order"):
        PortfolioOrder.parse('{"schema_version": 1}', "portfolio.json")


def test_its_limits_are_those_of_both_models() -> None:
    begun = order(choice=BackendChoice(model=SERVICE), limits=Limits(3, 60, 9000))
    settings = Settings(
        OPENAI_BASE_URL="http://models.test/v1",
        quick_model="small",
        deep_model="large",
        tokens_per_minute={"*": 7, "large": 5},
    )
    service = begun.choice(settings).model
    assert service is not None
    assert service.requests_per_minute == {"small": 60, "large": 60}
    assert service.tokens_per_minute == {"*": 7, "small": 9000, "large": 9000}
    offline = order(limits=Limits(3, 60)).choice(settings)
    assert offline.model is None
    assert offline.offline_requests_per_minute == 60
    assert offline.offline_tokens_per_minute is None


def test_other_models_than_at_the_start_are_refused() -> None:
    begun = order(choice=BackendChoice(model=SERVICE))
    with pytest.raises(PortfolioError, match="began with other models"):
        begun.choice(Settings(OPENAI_BASE_URL="http://models.test/v1"))
