"""What a forecast says: calls from the request, the rest from earlier runs and the limits."""

import math
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.service.portfolio.test_order import REQUEST, SERVICE, order
from trading_graph.graph.backend_choice import BackendChoice
from trading_graph.service.cli import main
from trading_graph.service.portfolio.forecast import Forecast, calls_of_run, forecast, usage_cost
from trading_graph.service.portfolio.order import Limits
from trading_graph.service.portfolio.progress import ModelUsage
from trading_graph.service.portfolio.run_tally import run_record
from trading_graph.service.portfolio.status_text import forecast_lines
from trading_graph.service.run.request import RunRequest
from trading_graph.service.settings import Settings

ENV = {
    "OTEL_TRACES_EXPORTER": "none",
    "TRADING_GRAPH_CHAT_LATENCY_S": "0.01",
    "TRADING_GRAPH_FETCH_LATENCY_S": "0.01",
}
SETTINGS = Settings(
    OPENAI_BASE_URL="http://models.test/v1",
    quick_model="small",
    deep_model="large",
    prices={"small": (1, 2), "large": (10, 20)},
)


def of_model(runs: int = 4, settings: Settings = SETTINGS, **changed: Any) -> Forecast:
    begun = order(choice=BackendChoice(model=SERVICE), **changed)
    return forecast(begun, runs, begun.choice(settings), settings)


def test_a_run_makes_as_many_calls_as_its_request_says() -> None:
    """Two analysts with two turns, two debaters, a risk team of three in two rounds."""
    assert calls_of_run(REQUEST, BackendChoice(model=SERVICE)) == {"small": 4 + 2 + 6, "large": 3}
    whole = calls_of_run(RunRequest(symbol="AAPL"), BackendChoice())
    assert sum(whole.values()) == 16


def test_nothing_is_assumed_of_a_model_that_was_never_asked(workdir: Path) -> None:
    unknown = of_model()
    assert unknown.calls == 4 * 15
    assert (unknown.tokens, unknown.cost_usd, unknown.seconds) == (None, None, None)
    assert list(forecast_lines(unknown)) == [
        "Forecast: 4 runs, 60 calls, tokens unknown, cost unknown, time unknown.",
        "No earlier run asked these models, so what a call takes is not known.",
    ]


def test_a_limit_of_requests_bounds_the_time_of_any_model(workdir: Path) -> None:
    limited = of_model(limits=Limits(8, requests_per_minute=24))
    assert limited.seconds == 60 * 4 * 12 / 24
    assert limited.binding == "24 requests a minute of small"


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one finished offline run with the request of the portfolio."""
    out = tmp_path_factory.mktemp("runs")
    words = ["--analysts", "market,news", "--risk-rounds", "2", "--out", str(out)]
    before = Path.cwd()
    os.chdir(out.parent)
    try:
        done = CliRunner().invoke(main, ["run", "AAPL", "--offline", *words], env=ENV)
    finally:
        os.chdir(before)
    assert done.exit_code == 0, done.output
    return out


def test_what_a_call_takes_is_known_from_earlier_runs(earlier: Path) -> None:
    (run,) = earlier.iterdir()
    record = run_record(run)
    tokens = sum(each.input_tokens + each.output_tokens for each in record.usage)
    assert sum(each.calls for each in record.usage) == 15
    begun = order(out=earlier)
    known = forecast(begun, 4, begun.choice(SETTINGS), SETTINGS)
    assert known.runs_read == 1
    assert known.tokens == 4 * tokens
    assert known.cost_usd == 0.0
    assert known.seconds is not None
    chain = REQUEST.options("2025-11-14").expected_chain
    assert known.seconds == pytest.approx(chain * 0.8 + 0.15)
    assert known.binding == "4 at once"
    twice = forecast(begun, 9, begun.choice(SETTINGS), SETTINGS)
    assert twice.seconds == pytest.approx(2 * known.seconds)
    slow = order(out=earlier, limits=Limits(8, tokens_per_minute=1000))
    bound = forecast(slow, 4, slow.choice(SETTINGS), SETTINGS)
    assert bound.binding == "1000 tokens a minute of offline-quick"
    assert (bound.seconds or 0) > (twice.seconds or math.inf)


def test_runs_of_other_models_tell_nothing(earlier: Path) -> None:
    assert of_model(out=earlier).runs_read == 0


def test_a_cost_is_known_where_the_price_of_every_model_is() -> None:
    usage = (ModelUsage("small", 2, 1_000_000, 500_000), ModelUsage("large", 1, 100_000, 0))
    assert usage_cost(usage, SETTINGS) == pytest.approx(1 + 1 + 1)
    assert usage_cost((*usage, ModelUsage("other", 1, 1, 1)), SETTINGS) is None
    assert usage_cost((ModelUsage("offline-quick", 9, 9, 9),), SETTINGS) == 0.0
