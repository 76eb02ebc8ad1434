"""The tools: nothing from after the as-of date, provenance in every answer, compact JSON."""

import asyncio
import datetime
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from trading_graph.toolkit.as_of import AsOf
from trading_graph.toolkit.cache import SingleFlightCache
from trading_graph.toolkit.dataset import tables
from trading_graph.toolkit.embedded_server import make_app
from trading_graph.toolkit.errors import (
    DataError,
    NoDataError,
    NotApplicableError,
    UnknownSymbolError,
)
from trading_graph.toolkit.loopback import LoopbackServer
from trading_graph.toolkit.market_data import AsyncToolkit
from trading_graph.toolkit.pool import HttpPool
from trading_graph.toolkit.tools import TOOLS
from trading_graph.toolkit.tools.prices import volume_z

LAST = datetime.date(2025, 11, 14)
FIRST = datetime.date(2022, 11, 14)
DATES = re.compile(r"\d{4}-\d{2}-\d{2}")
COMPANIES = ("AAPL", "AMZN", "GOOGL", "META", "MSFT", "NVDA", "TSLA", "WMT")

# Headlines and posts have no embedded source; their tests are in test_live_tools.py.
EMBEDDED_TOOLS = [name for name in TOOLS if name not in ("get_news", "get_posts")]
SYMBOL_TOOLS = [name for name in EMBEDDED_TOOLS if name != "get_macro"]

Ask = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def ask() -> Iterator[Ask]:
    """Run one tool against the embedded data, with a new cache each time."""
    with LoopbackServer(lambda: make_app(latency_s=0)) as server:

        async def answer(name: str, as_of: datetime.date, arguments: Mapping[str, Any]) -> Any:
            tool = TOOLS[name]
            async with HttpPool() as pool:
                toolkit = AsyncToolkit(
                    pool, SingleFlightCache(), mode="offline", base_url=server.url
                )
                return await tool.run(toolkit, AsOf(as_of), tool.arguments(**arguments))

        def run(name: str, as_of: datetime.date = LAST, **arguments: Any) -> dict[str, Any]:
            arguments = {"symbol": "AAPL", **arguments}
            if name == "get_macro":
                del arguments["symbol"]
            result: dict[str, Any] = asyncio.run(answer(name, as_of, arguments))
            return result

        yield run


def outcome(ask: Ask, name: str, as_of: datetime.date, symbol: str) -> str:
    """A tool's whole answer but for its age, which grows; or its error, as text."""
    try:
        answer = {**ask(name, as_of, symbol=symbol)}
    except DataError as error:
        return f"{type(error).__name__}: {error}"
    del answer["age_s"]
    return json.dumps(answer, allow_nan=False)


days = st.dates(FIRST, LAST)
symbols = st.sampled_from([*COMPANIES, "^GSPC"])


@pytest.mark.parametrize("name", EMBEDDED_TOOLS)
@settings(max_examples=25, database=None)
@given(as_of=days, symbol=symbols)
def test_no_answer_names_a_date_after_the_as_of_date(
    ask: Ask, name: str, as_of: datetime.date, symbol: str
) -> None:
    text = outcome(ask, name, as_of, symbol)
    assert max(DATES.findall(text), default="") <= as_of.isoformat()
    if not text.startswith("{"):
        assert text.startswith(("NoDataError", "NotApplicableError")), text
        return
    answer = json.loads(text)
    assert answer["as_of"] == as_of.isoformat()
    assert answer["session"] <= answer["as_of"]
    assert ("note" in answer) == (answer["session"] != answer["as_of"])


def known_by(as_of: datetime.date, symbol: str) -> dict[str, Any]:
    """The tables as they would be had they been made on that day; prices of two symbols only."""
    return {
        "prices": {name: prices_by(as_of, name) for name in (symbol, "^GSPC")},
        "statements": {
            name: tuple(fact for fact in facts if fact.filed <= as_of)
            for name, facts in ALL_STATEMENTS.items()
        },
        "filings": {
            name: tuple(filing for filing in filings if filing.filed <= as_of)
            for name, filings in ALL_FILINGS.items()
        },
        "macro": {
            name: tuple(row for row in rows if row.available <= as_of)
            for name, rows in ALL_MACRO.items()
        },
    }


def prices_by(as_of: datetime.date, symbol: str) -> tuple[tables.PriceRow, ...]:
    """A symbol's bars up to a day, on the share basis of that day."""
    rows = ALL_PRICES[symbol]
    ahead = float(np.prod([row.split for row in rows if row.split and row.date > as_of]))
    early_rows = []
    for row in rows:
        if row.date <= as_of:
            opened, high, low, close = (round(price * ahead, 4) for price in row.ohlcv[:4])
            volume = round(row.ohlcv[4] / ahead)
            early_rows.append(replace(row, ohlcv=(opened, high, low, close, volume)))
    return tuple(early_rows)


ALL_PRICES, ALL_STATEMENTS, ALL_FILINGS = tables.prices(), tables.statements(), tables.filings()
ALL_MACRO = tables.macro()


@pytest.mark.parametrize("name", EMBEDDED_TOOLS)
@settings(max_examples=12, database=None)
@given(
    as_of=days.map(lambda day: max(day, datetime.date(2023, 6, 1))),
    symbol=st.sampled_from(COMPANIES),
)
def test_deleting_the_future_changes_no_answer(
    ask: Ask, name: str, as_of: datetime.date, symbol: str
) -> None:
    """Stronger than dates: nothing of the answer may be computed from what came later."""
    answer = outcome(ask, name, as_of, symbol)
    with pytest.MonkeyPatch.context() as patch:
        for table, rows in known_by(as_of, symbol).items():
            patch.setattr(tables, table, lambda rows=rows: rows)
        assert outcome(ask, name, as_of, symbol) == answer


@pytest.mark.parametrize("name", EMBEDDED_TOOLS)
def test_every_answer_says_where_it_comes_from_and_is_compact(ask: Ask, name: str) -> None:
    answer = ask(name)
    assert answer.get("symbol") == (None if name == "get_macro" else "AAPL")
    assert answer["as_of"] == answer["session"] == "2025-11-14"
    assert "embedded data set" in answer["source"]
    assert answer["data_mode"] == "offline"
    assert 0 <= answer["age_s"] < 60
    assert "stands_in" not in answer
    text = json.dumps(answer, allow_nan=False)
    assert len(text) < 5000
    assert not re.search(r"\d\.\d{7}", text)


@pytest.mark.parametrize("name", EMBEDDED_TOOLS)
def test_a_weekend_is_served_by_the_last_session_and_says_so(ask: Ask, name: str) -> None:
    answer = ask(name, datetime.date(2025, 11, 9))
    assert answer["session"] == "2025-11-07"
    assert "2025-11-09 is a Sunday" in answer["note"]


@pytest.mark.parametrize("name", SYMBOL_TOOLS)
def test_an_unknown_symbol_ends_every_tool_alike(ask: Ask, name: str) -> None:
    with pytest.raises(UnknownSymbolError, match=r"ZZZZ.*AAPL"):
        ask(name, symbol="ZZZZ")


@pytest.mark.parametrize("name", TOOLS)
def test_arguments_are_a_closed_schema_for_a_model(name: str) -> None:
    schema = TOOLS[name].arguments.model_json_schema()
    assert schema["additionalProperties"] is False
    assert schema.get("required") == (None if name == "get_macro" else ["symbol"])
    assert all(field.get("description") for field in schema["properties"].values())
    assert TOOLS[name].name == name


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("get_prices", {"sessions": 121}),
        ("get_prices", {"date": "2026-01-01"}),
        ("get_indicators", {"names": ["close_1~200000_max"]}),
        ("get_indicators", {"names": []}),
        ("get_company_events", {"forms": ["10-X"]}),
        ("get_income_statement", {"periods": "many"}),
        ("get_ratios", {"symbol": None}),
    ],
)
def test_arguments_of_another_kind_are_refused(name: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TOOLS[name].arguments(**{"symbol": "AAPL", **arguments})


def test_price_changes_are_those_of_the_closes(ask: Ask) -> None:
    answer = ask("get_prices", sessions=120)
    rows = answer["bars"]
    assert len(rows) == 30
    assert rows[-1] == ["2025-11-14", 271.05, 275.96, 269.6, 272.41, 47431300]
    assert answer["change_5d_pct"] == round((272.41 / rows[-6][4] - 1) * 100, 2)
    assert answer["high_20"] == max(row[2] for row in rows[-20:])
    assert answer["low_252"] <= answer["window"]["low"] <= answer["low_20"]
    assert answer["window"]["sessions"] == 120


def test_indicators_show_now_and_five_sessions_before(ask: Ask) -> None:
    now = ask("get_indicators", names=["rsi", "close_10_ema"])
    before = ask("get_indicators", datetime.date(2025, 11, 7), names=["rsi", "close_10_ema"])
    assert now["previous_session"] == before["session"]
    assert now["previous"] == pytest.approx(before["values"], rel=1e-6)
    young = ask("get_indicators", datetime.date(2022, 12, 30))
    assert young["values"]["close_200_sma"] is None
    assert young["values"]["boll"] is not None


def test_events_carry_the_meaning_of_their_items(ask: Ask) -> None:
    answer = ask("get_company_events", forms=["8-K"])
    assert answer["events"] == [
        {
            "filed": "2025-10-30",
            "form": "8-K",
            "items": ["2.02", "9.01"],
            "meaning": "results announced",
        }
    ]
    assert answer["limit"].startswith("dates, forms and item codes of SEC filings, no news text")


def test_a_filing_counts_from_the_session_after_its_date(ask: Ask) -> None:
    """Apple's results came on the Thursday after the close, and its report on the Friday."""

    def newest(day: int, form: str) -> str:
        return str(ask("get_company_events", datetime.date(2025, 10, day), forms=[form])["newest"])

    assert newest(30, "8-K") < "2025-10-30"
    assert newest(31, "8-K") == "2025-10-30"
    assert newest(31, "10-K") < "2025-10-31"
    monday = ask("get_company_events", datetime.date(2025, 11, 3), forms=["10-K"])
    assert monday["newest"] == "2025-10-31"


def test_on_a_weekend_the_evening_of_the_last_session_is_not_known(ask: Ask) -> None:
    """The prices are Friday's close, so what was filed that evening may not stand beside them."""
    sunday = ask("get_balance_sheet", datetime.date(2025, 11, 2))
    assert (sunday["session"], sunday["latest"]["period_end"]) == ("2025-10-31", "2025-06-28")


def test_no_events_in_the_window_is_an_answer_and_no_filings_at_all_is_no_data(ask: Ask) -> None:
    quiet = ask("get_company_events", datetime.date(2025, 10, 15), forms=["8-K"], days=30)
    assert (quiet["events"], quiet["count"]) == ([], 0)
    with pytest.raises(NoDataError, match="no 8-K filings of GOOGL by 2025-11-14, only 10-K, 10-Q"):
        ask("get_company_events", symbol="GOOGL", forms=["8-K"])


@pytest.mark.parametrize("name", ["get_company_events", "get_insiders", "get_balance_sheet"])
@pytest.mark.parametrize(
    ("symbol", "kind"), [("^GSPC", "index"), ("BTC-USD", "cryptocurrency"), ("GC=F", "future")]
)
def test_what_has_no_company_behind_it_lacks_nothing(
    ask: Ask, name: str, symbol: str, kind: str
) -> None:
    with pytest.raises(
        NotApplicableError, match=rf"{kind}, which has no \w+ by nature: do without"
    ):
        ask(name, symbol=symbol)


def test_statements_show_quarters_the_year_before_and_the_fiscal_year(ask: Ask) -> None:
    answer = ask("get_income_statement", periods=2)
    assert [p["period_end"] for p in answer["periods"]] == ["2025-09-27", "2025-06-28"]
    assert answer["latest"] == answer["periods"][0]
    assert answer["latest"]["revenue"] == 102_466_000_000
    assert answer["latest"]["derived"] == "all"
    assert answer["year_before"]["period_end"] == "2024-09-28"
    assert answer["fiscal_year"]["revenue"] == 416_161_000_000
    assert answer["fiscal_year"]["filed"] == "2025-10-31"


def test_a_report_counts_from_the_session_after_it_was_filed(ask: Ask) -> None:
    before = ask("get_balance_sheet", datetime.date(2025, 10, 31))
    after = ask("get_balance_sheet", datetime.date(2025, 11, 3))
    assert before["latest"]["period_end"] == "2025-06-28"
    assert after["latest"]["period_end"] == "2025-09-27"


def test_a_company_with_annual_reports_only_shows_years_and_their_age(ask: Ask) -> None:
    answer = ask("get_cash_flow", symbol="META")
    assert [p["months"] for p in answer["periods"]] == [12, 12, 12]
    assert "newer report was probably filed" in answer["age"]
    assert answer["latest"]["free_cash_flow"] == 91_328_000_000 - 37_256_000_000


def test_without_statements_the_fundamentals_tools_say_who_has_them(ask: Ask) -> None:
    for name in ("get_income_statement", "get_balance_sheet", "get_cash_flow", "get_ratios"):
        with pytest.raises(NoDataError, match="no statements of MSFT, only of AAPL"):
            ask(name, symbol="MSFT")


def test_ratios_name_their_basis_and_what_is_missing(ask: Ask) -> None:
    apple, amazon = ask("get_ratios"), ask("get_ratios", symbol="AMZN")
    assert apple["pe_ttm"] == pytest.approx(36.5161)
    assert apple["market_cap"] == 4_025_226_320_730
    assert apple["basis"]["flows"] == "12 months to 2025-09-27, 10-K filed 2025-10-31"
    assert amazon["gross_margin"] == pytest.approx(0.4885, abs=1e-4)
    assert "318 days" in amazon["basis"]["note"]
    for answer in (apple, amazon):
        assert all(answer[name] is None for name in answer["reasons"])


def test_attention_is_the_volume_against_the_sixty_sessions_before(ask: Ask) -> None:
    answer = ask("get_attention", datetime.date(2025, 10, 31), symbol="GOOGL")
    volume = np.array(
        [row.ohlcv[4] for row in ALL_PRICES["GOOGL"] if row.date <= datetime.date(2025, 10, 31)]
    )
    log = np.log(volume)
    expected = (log[-1] - log[-61:-1].mean()) / log[-61:-1].std(ddof=1)
    assert answer["z_latest"] == pytest.approx(expected, abs=0.005)
    assert ["2025-10-30", 2.89, 2.52] in answer["days_above_2"]
    assert answer["limit"] == "no posts or messages are read"


def test_a_day_without_volume_is_a_hole_and_not_a_record_low() -> None:
    volume = np.exp(np.sin(np.arange(200.0))) * 1e6
    z = volume_z(volume)
    holed = volume.copy()
    holed[100] = 0
    with_hole = volume_z(holed)
    assert np.isnan(with_hole[100])
    assert np.isfinite(with_hole[101:]).all()
    np.testing.assert_allclose(with_hole[101:], z[101:], atol=0.1)
    assert np.isnan(volume_z(np.zeros(100))).all()
    assert np.isnan(volume_z(np.full(100, 5.0))).all()
    assert np.isnan(volume_z(volume[:60])).all()


def test_insiders_are_counted_by_quarter_and_nothing_is_said_of_their_trades(ask: Ask) -> None:
    answer = ask("get_insiders", symbol="NVDA", days=90)
    dates = [f.filed for f in ALL_FILINGS["NVDA"] if f.form in ("4", "4/A")]
    since = LAST - datetime.timedelta(days=90)
    assert answer["reports"] == sum(day > since for day in dates)
    assert answer["reports_by_90_days"][0] == answer["reports"]
    few = ask("get_insiders", symbol="NVDA", days=20)
    assert sum(count for _, count in few["days_with_reports"]) == few["reports"] > 0
    assert answer["trades"] == []
    assert "neither direction nor size" in answer["limit"]
    with pytest.raises(NoDataError, match=r"no insider reports of GOOGL .* only of AAPL"):
        ask("get_insiders", symbol="GOOGL")


def test_the_economy_is_that_of_the_day_with_its_year_before(ask: Ask) -> None:
    answer = ask("get_macro", datetime.date(2025, 10, 23), series=["CPIAUCSL", "DGS10"])
    prices = answer["series"]["CPIAUCSL"]
    assert prices["latest"][0] == "2025-08-01"
    assert prices["year_before"][0] == "2024-08-01"
    now, then = prices["latest"][1], prices["year_before"][1]
    assert prices["change_in_a_year_pct"] == round((now / then - 1) * 100, 2)
    assert "revised" in prices
    assert "revised" not in answer["series"]["DGS10"]
    with pytest.raises(ValidationError):
        TOOLS["get_macro"].arguments.model_validate({"series": ["DGS10; drop table"]})
