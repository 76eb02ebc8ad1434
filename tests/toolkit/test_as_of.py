"""The as-of date: strict to read, with the close of New York as its cut-off."""

import datetime

import pytest

from trading_graph.toolkit.as_of import AsOf
from trading_graph.toolkit.errors import BadDateError

TODAY = datetime.date(2026, 3, 2)


@pytest.mark.parametrize(
    "text",
    ["", "2025-11-31", "2025-13-01", "14.11.2025", "20251114", "2025-11-14T00:00", "2025-W46-5",
     "now", "\uff12\uff10\uff12\uff15-11-14", "2025-11-14\n"],
)  # fmt: skip
def test_what_is_no_iso_date_is_refused(text: str) -> None:
    with pytest.raises(BadDateError, match="YYYY-MM-DD"):
        AsOf.parse(text, TODAY)


def test_a_future_date_is_refused_and_today_is_not() -> None:
    with pytest.raises(BadDateError, match=r"2026-03-03 is in the future: .* 2026-03-02"):
        AsOf.parse("2026-03-03", TODAY)
    assert AsOf.parse("2026-03-02", TODAY).date == TODAY


def test_the_cutoff_follows_new_yorks_daylight_saving() -> None:
    winter, summer = AsOf.parse("2025-11-14", TODAY), AsOf.parse("2025-07-14", TODAY)
    assert winter.cutoff == datetime.datetime(2025, 11, 14, 21, tzinfo=datetime.UTC)
    assert summer.cutoff == datetime.datetime(2025, 7, 14, 20, tzinfo=datetime.UTC)


def test_another_session_than_the_days_own_is_explained() -> None:
    friday = datetime.date(2025, 11, 14)
    assert AsOf(friday).session_note(friday) is None
    saturday = AsOf.parse("2025-11-15", TODAY)
    assert saturday.is_weekend
    assert "2025-11-15 is a Saturday" in (saturday.session_note(friday) or "")
    thanksgiving = AsOf.parse("2025-11-27", TODAY)
    note = thanksgiving.session_note(datetime.date(2025, 11, 26)) or ""
    assert "no session on 2025-11-27" in note
    assert "2025-11-26" in note


def test_it_prints_as_an_iso_date() -> None:
    assert str(AsOf.parse("2025-11-14", TODAY)) == "2025-11-14"
