"""New York's trading days by rule, against days on which it did or did not trade."""

import datetime

import pytest

from trading_graph.toolkit.as_of import AsOf
from trading_graph.toolkit.dataset import tables
from trading_graph.toolkit.sessions import is_session, last_session

DAY = datetime.date.fromisoformat


def test_the_rules_give_the_sessions_of_the_embedded_data() -> None:
    sessions = {row.date for row in tables.prices()["^GSPC"]}
    first, last = min(sessions), max(sessions)
    days = [first + datetime.timedelta(days=n) for n in range((last - first).days + 1)]
    assert [day for day in days if is_session(day)] == sorted(sessions)


@pytest.mark.parametrize(
    "closed",
    [
        "2021-12-24",  # Christmas on a Saturday is kept on the Friday
        "2023-01-02",  # New Year on a Sunday is kept on the Monday
        "2020-07-03",
        "2022-06-20",
        "2024-03-29",  # Good Friday, in March as in April
        "2019-04-19",
        "2049-04-16",  # the two exceptions of Gauss's rule for Easter: 1981 and 2049
        "1981-04-17",
        "2012-10-29",
    ],
)
def test_a_holiday_is_no_session(closed: str) -> None:
    assert not is_session(DAY(closed))


@pytest.mark.parametrize(
    "open_",
    [
        "2021-12-31",  # a Friday before New Year's Saturday is no holiday
        "2021-06-18",  # Juneteenth was none before 2022
        "2024-11-29",  # a short day is a session
        "2025-10-13",  # Columbus Day
    ],
)
def test_a_day_of_trade_is_a_session(open_: str) -> None:
    assert is_session(DAY(open_))


@pytest.mark.parametrize(
    ("as_of", "session", "filings_until"),
    [
        ("2025-11-14", "2025-11-14", "2025-11-13"),
        ("2025-11-16", "2025-11-14", "2025-11-13"),
        ("2025-11-17", "2025-11-17", "2025-11-16"),
        ("2025-11-27", "2025-11-26", "2025-11-25"),  # Thanksgiving
    ],
)
def test_a_filing_counts_from_the_session_after_its_date(
    as_of: str, session: str, filings_until: str
) -> None:
    day = AsOf(DAY(as_of))
    assert (day.session, day.filings_until) == (DAY(session), DAY(filings_until))
    assert last_session(day.session) == day.session
