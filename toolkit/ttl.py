"""The cache's TTLs: how long each kind of data is fresh, and may still be served afterwards."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Lifetime:
    """How long a cached value lives, in seconds; the last two count from the end of `fresh_s`.

    For `revalidate_s` it is served at once while a new one is fetched in the background. For
    `if_error_s` it is served where its source cannot be reached.
    """

    fresh_s: float
    revalidate_s: float = 0.0
    if_error_s: float = 0.0


CLOSED_DAY = Lifetime(DAY_S, if_error_s=DAY_S)
"""For a day that has passed: its data no longer changes, whatever the kind."""

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
"""Lifetimes by kind for data of today; Yahoo itself gives prices 10 to 60 s."""


def ttl_for(kind: str, as_of: datetime.date, today: datetime.date) -> Lifetime:
    """The lifetime of a kind of data as of a day, seen from today; KeyError for an unknown kind."""
    lifetime = TODAY[kind]
    return CLOSED_DAY if as_of < today else lifetime
