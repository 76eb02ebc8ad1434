"""The rows that sources return beside bars: facts of statements, filings, macro values, news."""

import datetime
from dataclasses import dataclass
from typing import Literal

DataMode = Literal["live", "offline"]
"""What an answer is."""

Mode = Literal["live", "offline", "auto"]
"""What a run asks for; with `auto` embedded data may stand in for live data, and says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sourced:
    """Where an answer comes from, and how old it is.

    `fetched` is the instant at which it was admitted (UTC); None for an answer that has not passed
    the as-of filter. `stands_in` says why embedded data stands in for live data, where it does.
    """

    source: str = ""
    data_mode: DataMode = "offline"
    fetched: datetime.datetime | None = None
    stands_in: str = ""


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
class InsiderTrade:
    """A trade of an insider: `traded` on a day, `known` from another, shares and USD.

    `who` and `text` are the source's words. None where the source does not say.
    """

    traded: datetime.date
    known: datetime.date
    who: str
    text: str
    shares: float | None = None
    value: float | None = None


@dataclass(frozen=True, slots=True)
class Observation:
    """A macro value, the date that its series gives it, and the day from which it was known."""

    date: datetime.date
    value: float
    known: datetime.date


@dataclass(frozen=True, slots=True)
class Headline:
    """A piece of news: the instant at which it appeared (UTC), and its title, by whom.

    The texts are a stranger's: already cut and cleaned, and still not to be trusted.
    """

    published: datetime.datetime
    title: str
    publisher: str


@dataclass(frozen=True, slots=True)
class Post:
    """A message of a public: its instant (UTC), its text, and the mood that its author gave it."""

    published: datetime.datetime
    text: str
    mood: Literal["bullish", "bearish", ""] = ""


@dataclass(frozen=True, slots=True)
class Statements(Sourced):
    """A company's facts of one kind of statement that were filed by a day, as filed.

    `currency` is None where the source does not say it.
    """

    symbol: str
    kind: str
    session: datetime.date
    facts: tuple[Fact, ...]
    currency: str | None = "USD"


@dataclass(frozen=True, slots=True)
class Filings(Sourced):
    """A company's filings of some forms by a day, oldest first, at least one.

    `since` is the day of the first filing of any form that the source lists.
    """

    symbol: str
    session: datetime.date
    since: datetime.date
    filings: tuple[Filing, ...]


@dataclass(frozen=True, slots=True)
class Insiders(Sourced):
    """What insiders reported by a day, oldest first.

    `filings` are reports of trades (form 4); a source gives these, or the `trades`, or both.
    `since` is the first day that the source covers.
    """

    symbol: str
    session: datetime.date
    since: datetime.date
    filings: tuple[Filing, ...] = ()
    trades: tuple[InsiderTrade, ...] = ()


@dataclass(frozen=True, slots=True)
class Series(Sourced):
    """A macro series as far as it was known on a day, oldest first.

    `revised` says that values are the latest revision, not the one of that day.
    """

    name: str
    revised: bool
    observations: tuple[Observation, ...]


@dataclass(frozen=True, slots=True)
class News(Sourced):
    """Headlines about a symbol up to an instant, newest first.

    `missing` says by source what could not be had.
    """

    symbol: str
    headlines: tuple[Headline, ...]
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Posts(Sourced):
    """Messages about a symbol up to an instant, newest first."""

    symbol: str
    posts: tuple[Post, ...]
