"""How long each kind of market data stays in the cache."""

import datetime
from collections.abc import Mapping

DAY_S = 86_400.0

TTL: Mapping[str, float] = {
    "bars": DAY_S,
    "statements": DAY_S,
    "filings": DAY_S,
    "macro": DAY_S,
    "insiders": DAY_S,
    "submissions": DAY_S,
    "news": DAY_S,
    "posts": DAY_S,
}
"""Seconds for a day that has passed: what was known then does not change any more."""

TTL_TODAY: Mapping[str, float] = {
    "bars": 60.0,
    "statements": 3600.0,
    "filings": 600.0,
    "macro": 3600.0,
    "insiders": 600.0,
    "submissions": 600.0,
    "news": 300.0,
    "posts": 60.0,
    "companies": DAY_S,
    "company_facts": 3600.0,
}
"""Seconds for a range that touches today: Yahoo itself asks for 10 to 60 for prices."""


def ttl_for(kind: str, as_of: datetime.date, today: datetime.date) -> float:
    """The seconds that a kind of data about a day stays fresh, seen from today."""
    return TTL[kind] if as_of < today else TTL_TODAY[kind]
