"""The ticker-day: one symbol analysed as of one day, the unit of work of a portfolio.

The days of a portfolio are one date, or every so many sessions of a range.
"""

import datetime
from dataclasses import dataclass
from enum import StrEnum

from trading_graph.graph.decisions import Decision
from trading_graph.toolkit.as_of import AsOf
from trading_graph.toolkit.errors import BadDateError
from trading_graph.toolkit.sessions import is_session

_DAY = datetime.timedelta(days=1)
_EXAMPLE = "give a range as 2025-10-01..2025-11-14"


def portfolio_dates(
    date: str | None, dates: str | None, every: int, default: str
) -> tuple[datetime.date, ...]:
    """The days to analyse, in order: one date, or the sessions of a range `A..B`.

    Of a range every `every`-th session of the New York Stock Exchange counts, beginning with the
    first one in it; both ends are included. Raises BadDateError.
    """
    if dates is None:
        return (AsOf.parse(date or default).date,)
    first_text, separator, last_text = dates.partition("..")
    if not separator:
        raise BadDateError(f"{dates[:64]!a} is not a range of dates: {_EXAMPLE}.")
    first, last = AsOf.parse(first_text).date, AsOf.parse(last_text).date
    if first > last:
        raise BadDateError(f"The range ends on {last}, before it begins on {first}: {_EXAMPLE}.")
    days = (first + number * _DAY for number in range((last - first).days + 1))
    sessions = [day for day in days if is_session(day)]
    if not sessions:
        raise BadDateError(f"New York has no session from {first} to {last}: name other dates.")
    return tuple(sessions[::every])


@dataclass(frozen=True, slots=True, order=True)
class TickerDay:
    """One analysis of a portfolio; `run_id` names its run, its folder and its trace (32 hex)."""

    date: datetime.date
    symbol: str
    run_id: str


class TickerDayState(StrEnum):
    """How far the analysis of a ticker-day is."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    """It ended in an error that trying again cannot mend, such as an unknown symbol."""
    PARKED = "parked"
    """It failed, or killed its process, as often as it is tried."""
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class TickerDayResult:
    """What a ticker-day came to: a decision once it is done, else the reason why there is none."""

    ticker_day: TickerDay
    state: TickerDayState
    decision: Decision | None = None
    reason: str = ""
