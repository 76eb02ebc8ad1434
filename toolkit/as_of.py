"""The as-of date: the day of an analysis, which must use nothing from later."""

import datetime
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self
from zoneinfo import ZoneInfo

from trading_graph.toolkit.dataset import LAST_DAY
from trading_graph.toolkit.errors import BadDateError
from trading_graph.toolkit.sessions import last_session

# At import, because loading a time zone reads files.
NEW_YORK = ZoneInfo("America/New_York")

# An analysis of a day this long after the last bar would rest on an old price.
STALE_AFTER = datetime.timedelta(days=10)

_CLOSE = datetime.time(16, 0)
_DAY = datetime.timedelta(days=1)
_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_FIRST_YEAR = 1900

Clock = Callable[[], datetime.datetime]
"""Gives the present instant, with a time zone."""


def utc_now() -> datetime.datetime:
    """The present instant in UTC."""
    return datetime.datetime.now(datetime.UTC)


def new_york_day(instant: datetime.datetime) -> datetime.date:
    """The day of an instant in New York."""
    return instant.astimezone(NEW_YORK).date()


@dataclass(frozen=True, slots=True)
class AsOf:
    """A day, seen after its session has closed in New York."""

    date: datetime.date

    @classmethod
    def parse(cls, text: str, today: datetime.date | None = None) -> Self:
        """The as-of date of an ISO date; BadDateError if it is malformed or in the future.

        `today` defaults to the present day in New York.
        """
        today = today or new_york_day(utc_now())
        try:
            if not _ISO_DATE.fullmatch(text):
                raise ValueError
            date = datetime.date.fromisoformat(text)
        except ValueError:
            raise BadDateError(
                f"{text[:32]!a} is not a date: give one as YYYY-MM-DD, such as {LAST_DAY}."
            ) from None
        if date > today:
            raise BadDateError(f"{date} is in the future: give a date up to today, {today}.")
        if date.year < _FIRST_YEAR:
            raise BadDateError(
                f"{date} is before any market data: give a date from {_FIRST_YEAR} on."
            )
        return cls(date)

    @property
    def cutoff(self) -> datetime.datetime:
        """16:00 in New York on that day, as a UTC instant: nothing later counts."""
        close = datetime.datetime.combine(self.date, _CLOSE, NEW_YORK)
        return close.astimezone(datetime.UTC)

    @property
    def is_weekend(self) -> bool:
        """Whether the day is a Saturday or a Sunday."""
        return self.date.weekday() >= 5

    @property
    def session(self) -> datetime.date:
        """The day itself, or New York's last session before it: for sources without sessions."""
        return last_session(self.date)

    @property
    def filings_until(self) -> datetime.date:
        """The last filing date that counts: the day before the session.

        A filing date has no hour, and many companies file after the close. What was filed on the
        session's own day counts from the next session on.
        """
        return self.session - _DAY

    def session_note(self, session: datetime.date) -> str | None:
        """Why an earlier session is used, for a reader; None if it is the day's own."""
        if session == self.date:
            return None
        if self.is_weekend:
            return (
                f"{self.date} is a {self.date:%A}; the last session before it, {session}, serves."
            )
        return f"The data has no session on {self.date}; the last one before it, {session}, serves."

    def __str__(self) -> str:
        """The ISO date."""
        return self.date.isoformat()
