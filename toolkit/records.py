"""The rows that sources return beside bars: facts of statements, filings, macro observations."""

import datetime
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fact:
    """One value of one concept, as a report filed it.

    `start` is None for a balance at `end`. USD, USD a share, or shares.
    """

    concept: str
    start: datetime.date | None
    end: datetime.date
    filed: datetime.date
    form: str
    value: float


@dataclass(frozen=True, slots=True)
class Filing:
    """A report to the SEC: its form, the day it was filed, and the item codes of an 8-K."""

    form: str
    filed: datetime.date
    items: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Observation:
    """A macro value, the date that its series gives it, and the day from which it was known."""

    date: datetime.date
    value: float
    known: datetime.date


@dataclass(frozen=True, slots=True)
class Statements:
    """A company's facts of one kind of statement that were filed by a day, as filed.

    `splits` are those of its shares up to that day, by ex-date, from the source's first session on.
    """

    symbol: str
    kind: str
    session: datetime.date
    source: str
    facts: tuple[Fact, ...]
    splits: tuple[tuple[datetime.date, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Filings:
    """A company's filings of some forms by a day, oldest first, at least one.

    `since` is the day of the first filing of any form that the source lists.
    """

    symbol: str
    session: datetime.date
    source: str
    since: datetime.date
    filings: tuple[Filing, ...]


@dataclass(frozen=True, slots=True)
class Series:
    """A macro series as far as it was known on a day, oldest first.

    `revised` says that values are the latest revision, not the one of that day.
    """

    name: str
    source: str
    revised: bool
    observations: tuple[Observation, ...]
