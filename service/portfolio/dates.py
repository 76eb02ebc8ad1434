"""The days of a portfolio: one, or every so many sessions of a range."""

import datetime

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
