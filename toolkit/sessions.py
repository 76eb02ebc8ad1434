"""The trading days of the New York Stock Exchange, by the rules of its holidays.

By rules and not by prices, so that what counts as known does not depend on a source of prices.
The tests hold it against every session of the embedded data.
"""

import datetime
from functools import cache

_DAY = datetime.timedelta(days=1)
_MONDAY, _THURSDAY, _SATURDAY, _SUNDAY = 0, 3, 5, 6

# Days of closure that no rule gives: attacks, storms, and the mourning of presidents.
_CLOSURES = frozenset(
    map(
        datetime.date.fromisoformat,
        (
            "2001-09-11",
            "2001-09-12",
            "2001-09-13",
            "2001-09-14",
            "2004-06-11",
            "2007-01-02",
            "2012-10-29",
            "2012-10-30",
            "2018-12-05",
            "2025-01-09",
        ),
    )
)


def last_session(day: datetime.date) -> datetime.date:
    """The trading day itself, or the last one before it."""
    while not is_session(day):
        day -= _DAY
    return day


def is_session(day: datetime.date) -> bool:
    """Whether New York trades on a day."""
    return day.weekday() < _SATURDAY and day not in _holidays(day.year) and day not in _CLOSURES


@cache
def _holidays(year: int) -> frozenset[datetime.date]:
    days = {
        _nth_weekday(year, 1, _MONDAY, 3),  # Martin Luther King
        _nth_weekday(year, 2, _MONDAY, 3),  # Washington
        _easter(year) - 2 * _DAY,
        _last_monday_of_may(year),  # Memorial
        _observed(datetime.date(year, 7, 4)),
        _nth_weekday(year, 9, _MONDAY, 1),  # Labor
        _nth_weekday(year, 11, _THURSDAY, 4),  # Thanksgiving
        _observed(datetime.date(year, 12, 25)),
    }
    new_year = datetime.date(year, 1, 1)
    if new_year.weekday() != _SATURDAY:  # The year before keeps its last day.
        days.add(_observed(new_year))
    if year >= 2022:
        days.add(_observed(datetime.date(year, 6, 19)))
    return frozenset(days)


def _observed(day: datetime.date) -> datetime.date:
    if day.weekday() == _SATURDAY:
        return day - _DAY
    return day + _DAY if day.weekday() == _SUNDAY else day


def _nth_weekday(year: int, month: int, weekday: int, nth: int) -> datetime.date:
    first = datetime.date(year, month, 1)
    return first + _DAY * ((weekday - first.weekday()) % 7 + 7 * (nth - 1))


def _last_monday_of_may(year: int) -> datetime.date:
    last = datetime.date(year, 5, 31)
    return last - _DAY * last.weekday()


def _easter(year: int) -> datetime.date:
    """Easter Sunday of the Gregorian calendar, by Gauss's rule with its two exceptions."""
    century = year // 100
    moon = (15 + century - century // 4 - (13 + 8 * century) // 25) % 30
    week = (4 + century - century // 4) % 7
    full_moon = (19 * (year % 19) + moon) % 30
    to_sunday = (2 * (year % 4) + 4 * (year % 7) + 6 * full_moon + week) % 7
    late_moon = full_moon == 29 or (full_moon == 28 and (11 * moon + 11) % 30 < 19)
    if late_moon and to_sunday == 6:
        to_sunday -= 7
    return datetime.date(year, 3, 22) + _DAY * (full_moon + to_sunday)
