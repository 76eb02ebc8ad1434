"""What a symbol is by its form: instrument, market, benchmark, and the deadline of its reports."""

import datetime

import pytest

from trading_graph.toolkit.reporting_deadlines import DEADLINES, LONGEST, Delay, public_by
from trading_graph.toolkit.symbols import MARKETS, Instrument, identify, parse_symbol

DAY = datetime.date.fromisoformat


@pytest.mark.parametrize(
    ("symbol", "instrument", "country", "benchmark"),
    [
        ("AAPL", Instrument.UNKNOWN, "United States", "^GSPC"),
        ("BRK-B", Instrument.UNKNOWN, "United States", "^GSPC"),
        ("VOW3.DE", Instrument.UNKNOWN, "Germany", "^GDAXI"),
        ("0700.HK", Instrument.UNKNOWN, "Hong Kong", "^HSI"),
        ("BARC.L", Instrument.UNKNOWN, "United Kingdom", "^FTSE"),
        ("X.ZZZ", Instrument.UNKNOWN, "", ""),
        ("^GSPC", Instrument.INDEX, "", ""),
        ("EURUSD=X", Instrument.CURRENCY, "", ""),
        ("BTC-USD", Instrument.CRYPTO, "", ""),
        ("GC=F", Instrument.FUTURE, "", ""),
        ("AAPL220121C00025000", Instrument.OPTION, "", ""),
    ],
)
def test_a_symbols_form_says_what_it_is(
    symbol: str, instrument: Instrument, country: str, benchmark: str
) -> None:
    identity = identify(symbol)
    assert (identity.instrument, identity.country, identity.benchmark) == (
        instrument,
        country,
        benchmark,
    )


def test_a_source_knows_better_than_the_form() -> None:
    fund = identify("SPY", yahoo_type="ETF")
    assert fund.instrument is Instrument.FUND
    assert not fund.instrument.has_statements
    assert fund.benchmark == "^GSPC"
    assert identify("AAPL").instrument.has_statements
    assert identify("CLZ25.NYM", yahoo_type="FUTURE").market is None


def test_every_index_is_a_symbol_and_measures_no_index() -> None:
    for market in MARKETS.values():
        assert parse_symbol(market.index) == market.index
    assert identify("XU100.IS").benchmark == ""


@pytest.mark.parametrize(
    ("country", "end", "annual", "last_day"),
    [
        ("China", "2024-12-31", True, "2025-04-30"),
        ("China", "2025-06-30", False, "2025-08-31"),
        ("Hong Kong", "2025-06-30", False, "2025-09-30"),
        ("United Kingdom", "2025-03-31", True, "2025-07-31"),
        ("Japan", "2025-03-31", True, "2025-06-30"),
        ("Japan", "2025-06-30", False, "2025-08-14"),
        ("India", "2025-03-31", True, "2025-05-30"),
        ("Canada", "2024-12-31", True, "2025-04-30"),
        ("Atlantis", "2024-12-31", True, "2025-04-30"),
        ("", "2025-09-28", False, "2025-12-28"),
    ],
)
def test_a_report_is_public_by_its_countrys_last_day(
    country: str, end: str, annual: bool, last_day: str
) -> None:
    assert public_by(country, DAY(end), annual=annual) == DAY(last_day)


def test_an_unknown_country_has_the_longest_deadlines_and_every_known_one_its_page() -> None:
    end = DAY("2024-12-31")

    def longest(delays: list[Delay]) -> datetime.date:
        return max(delay.after(end) for delay in delays)

    known = list(DEADLINES.values())
    assert LONGEST.annual.after(end) == longest([each.annual for each in known])
    assert LONGEST.interim.after(end) == longest([each.interim for each in known])
    assert all(each.page.startswith("https://") for each in known)


def test_months_count_from_the_end_of_one_to_the_end_of_another() -> None:
    assert Delay(months=3).after(DAY("2024-11-30")) == DAY("2025-02-28")
    assert Delay(months=4).after(DAY("2025-01-15")) == DAY("2025-05-15")
    assert Delay(months=1).after(DAY("2024-12-30")) == DAY("2025-01-30")
