"""How long each kind of market data is fresh, and how long after that it may still be served."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Lifetime:
    """The life of a cached value in seconds; both kinds of staleness count from the end of fresh.

    For `revalidate_s` it is served at once while it is fetched anew in the background; for
    `if_error_s` it is served where its source cannot be reached.
    """

    fresh_s: float
    revalidate_s: float = 0.0
    if_error_s: float = 0.0


CLOSED_DAY = Lifetime(DAY_S, if_error_s=DAY_S)
"""What was known on a day that has passed does not change any more, whatever the kind."""

TODAY: Mapping[str, Lifetime] = {
    "bars": Lifetime(60, 600, 3600),
    "statements": Lifetime(3600, 600, DAY_S),
    "filings": Lifetime(600, 600, DAY_S),
    "macro": Lifetime(3600, 600, DAY_S),
    "insiders": Lifetime(600, 600, DAY_S),
    "submissions": Lifetime(600, 600, DAY_S),
    "news": Lifetime(300, 180, 3600),
    "posts": Lifetime(60, 60, 600),
    "companies": Lifetime(DAY_S, DAY_S, 7 * DAY_S),
    "company_facts": Lifetime(3600, 600, DAY_S),
}
"""Lifetimes in a range that touches today: Yahoo itself asks for 10 to 60 s for prices."""


def ttl_for(kind: str, as_of: datetime.date, today: datetime.date) -> Lifetime:
    """The lifetime of a kind of data about a day, seen from today; KeyError for another kind."""
    lifetime = TODAY[kind]
    return CLOSED_DAY if as_of < today else lifetime
