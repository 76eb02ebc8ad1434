"""Sessions that a source lacks between bars: warned of where it can be known, and only there."""

import datetime
from typing import Any

import numpy as np
import pytest

from tests.misleading_charts import PRICES
from tests.toolkit.test_bar_checks import DAYS, LAST, SIZE, quote_of, read, walk
from trading_graph.toolkit.bar_gaps import LONGEST_HOLIDAYS, Calendar, find_gaps
from trading_graph.toolkit.sessions import is_session
from trading_graph.toolkit.symbols import identify


def without(chart: dict[str, Any], rows: slice | list[int]) -> dict[str, Any]:
    """The chart as a source gives it that has lost rows."""
    lost = set(range(SIZE)[rows] if isinstance(rows, slice) else [row % SIZE for row in rows])
    keep = [i for i in range(SIZE) if i not in lost]
    chart["timestamp"] = [chart["timestamp"][i] for i in keep]
    for name, column in quote_of(chart).items():
        quote_of(chart)[name] = [column[i] for i in keep]
    return chart


def test_a_lost_session_of_new_york_is_named() -> None:
    bars = read(without(walk(), [-30, -29, -6]), "NVDA")
    assert len(bars) == SIZE - 3
    (warning,) = bars.warnings
    for day in (DAYS[-30], DAYS[-6]):
        assert str(day) in warning
    assert "3 sessions of New York" in warning
    assert sum(gap.days for gap in bars.gaps) == 3
    assert bars.faults == ()


def test_holidays_of_new_york_are_no_gap() -> None:
    closed = [i for i, day in enumerate(DAYS) if not is_session(day)]
    assert closed, "a year has holidays on weekdays"
    assert read(without(walk(), closed), "NVDA").warnings == ()


@pytest.mark.parametrize("columns", [(*PRICES, "volume"), ("volume",)])
def test_a_halted_day_that_the_source_names_passes(columns: tuple[str, ...]) -> None:
    chart = walk()
    for i in (-5, -4, -3):
        for name in columns:
            quote_of(chart)[name][i] = None
    assert read(chart, "NVDA").warnings == ()


def test_bars_that_were_left_out_are_not_missing_too() -> None:
    chart = walk()
    for name in PRICES:
        quote_of(chart)[name][-4] = 0.0
    (warning,) = read(chart, "NVDA").warnings
    assert "left out" in warning


@pytest.mark.parametrize(
    ("symbol", "calendar"),
    [
        ("NVDA", Calendar.NEW_YORK),
        ("^GSPC", Calendar.NEW_YORK),
        ("BTC-USD", Calendar.EVERY_DAY),
        ("VOW3.DE", Calendar.WEEKDAYS),
        ("2330.TW", Calendar.WEEKDAYS),
        ("EURUSD=X", Calendar.WEEKDAYS),
        ("^N225", Calendar.WEEKDAYS),
        ("CL=F", Calendar.WEEKDAYS),
    ],
)
def test_each_instrument_has_its_calendar(symbol: str, calendar: Calendar) -> None:
    """A gap just long enough for it is found, and a day less is not."""
    every = np.arange("2025-01-01", "2025-07-01", dtype="datetime64[D]")
    days = every if calendar is Calendar.EVERY_DAY else every[np.is_busday(every)]
    least = LONGEST_HOLIDAYS + 1 if calendar is Calendar.WEEKDAYS else 1
    # From a Monday on which New York trades, also for the weeks that follow.
    start = int(np.flatnonzero(days == np.datetime64("2025-03-03"))[0])
    for size, expected in ((least, 1), (least - 1, 0)):
        gaps = find_gaps(np.delete(days, slice(start, start + size)), identify(symbol))
        assert len(gaps) == expected
        assert all((gap.first, gap.days) == (datetime.date(2025, 3, 3), size) for gap in gaps)


def test_weeks_of_sunday_to_thursday_have_no_gap() -> None:
    days = np.arange("2024-01-01", "2025-07-01", dtype="datetime64[D]")
    saudi = days[np.is_busday(days, weekmask="1111001")]
    assert find_gaps(saudi, identify("2222.SR")) == ()


def test_an_option_without_trade_for_weeks_has_no_gap() -> None:
    days = np.array(["2025-01-02", "2025-03-03", "2025-05-05"], "datetime64[D]")
    assert find_gaps(days, identify("AAPL260116C00200000")) == ()


def test_a_gap_at_the_end_is_none_whatever_comes_later() -> None:
    """As of a day in the gap nobody can know that it is one."""
    whole = read(without(walk(), slice(SIZE - 8, SIZE - 3)), "NVDA")
    assert len(whole.gaps) == 1
    for day in (DAYS[-9], DAYS[-6], DAYS[-4]):
        assert whole.until(day).gaps == ()
    assert whole.until(DAYS[-3]).gaps == whole.gaps
    assert whole.until(LAST - datetime.timedelta(days=9999)).gaps == ()


def test_many_gaps_are_one_warning_that_names_the_newest() -> None:
    lost = list(range(-200, -10, 10))
    (warning,) = read(without(walk(), lost), "NVDA").warnings
    assert str(DAYS[max(lost)]) in warning
    assert str(DAYS[min(lost)]) not in warning
    assert "and earlier" in warning
