"""Which days a range has: sessions of New York, every so many of them."""

import pytest

from trading_graph.service.portfolio.ticker_day import portfolio_dates
from trading_graph.toolkit.errors import BadDateError

DEFAULT = "2025-11-14"


def days(dates: str, every: int = 1) -> list[str]:
    return [str(each) for each in portfolio_dates(None, dates, every, DEFAULT)]


def test_one_day_is_taken_as_it_is() -> None:
    assert [str(each) for each in portfolio_dates("2025-11-15", None, 1, DEFAULT)] == ["2025-11-15"]
    assert [str(each) for each in portfolio_dates(None, None, 1, DEFAULT)] == [DEFAULT]


def test_a_range_has_its_sessions_and_neither_weekend_nor_holiday() -> None:
    """The fourth of July 2025 was a Friday."""
    assert days("2025-07-02..2025-07-08") == [
        "2025-07-02",
        "2025-07-03",
        "2025-07-07",
        "2025-07-08",
    ]


def test_every_fifth_session_counts_sessions_and_no_calendar_days() -> None:
    assert days("2025-06-28..2025-07-15", 5) == ["2025-06-30", "2025-07-08", "2025-07-15"]
    assert days("2025-07-07..2025-07-08", 5) == ["2025-07-07"]


@pytest.mark.parametrize(
    ("dates", "says"),
    [
        ("2025-11-14..2025-11-10", "before it begins"),
        ("2025-11-14", "is not a range"),
        ("2025-11-10..", "is not a date"),
        ("..2025-11-10", "is not a date"),
        ("2025-11-10..2999-01-01", "in the future"),
        ("2025-11-15..2025-11-16", "no session"),
    ],
)
def test_a_range_that_is_none_is_one_sentence(dates: str, says: str) -> None:
    with pytest.raises(BadDateError, match=says) as refused:
        days(dates)
    assert "\n" not in str(refused.value)
