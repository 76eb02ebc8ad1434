"""What sources return: facts of statements, filings, macro values, news and posts.

All records are immutable. Prices are in `bars`.
"""

import datetime
from dataclasses import dataclass
from typing import Literal

from trading_graph.toolkit.live_access import DataMode

INSIDER_FORMS = ("4", "4/A")
"""The SEC's forms on which insiders report trades."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceAnswer:
    """An answer with its origin and its age.

    `source` and `data_mode` are those of the source that was asked, which need not state them.
    `fetched` is the instant at which it passed the as-of filter (UTC); None before that.
    `stands_in` says why another source replaces the preferred one, where it does.
    """

    source: str = ""
    data_mode: DataMode = "offline"
    fetched: datetime.datetime | None = None
    stands_in: str = ""

    @property
    def warnings(self) -> tuple[str, ...]:
        """A sentence for each thing about the answer that a reader of its numbers must know."""
        return ()


@dataclass(frozen=True, slots=True)
class Fact:
    """One value of one concept, as a report filed it: money, money a share, or shares.

    `start` is None for a balance at `end`.
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
    """A trade of an insider on the day `traded`; the public could know it from `available` on.

    `who` and `text` are the source's words. `shares` and `value` (USD) are None where the source
    does not give them.
    """

    traded: datetime.date
    available: datetime.date
    who: str
    text: str
    shares: float | None = None
    value: float | None = None


@dataclass(frozen=True, slots=True)
class Observation:
    """A macro value with its date in the series; the public could know it from `available` on."""

    date: datetime.date
    value: float
    available: datetime.date


@dataclass(frozen=True, slots=True)
class Headline:
    """A piece of news: the instant of its publication (UTC), its title and its publisher.

    The texts are a stranger's: cut and cleaned, but still not to be trusted.
    """

    published: datetime.datetime
    title: str
    publisher: str


@dataclass(frozen=True, slots=True)
class Post:
    """A message of a public forum: its instant (UTC), its text, and the mood its author gave it."""

    published: datetime.datetime
    text: str
    mood: Literal["bullish", "bearish", ""] = ""


@dataclass(frozen=True, slots=True)
class Statements(SourceAnswer):
    """A company's facts of one kind of statement that were filed by a day, as filed.

    `currency` is the one that the source names; "" where it names none. Facts in
    `other_currencies` are not among them.
    """

    symbol: str
    kind: str
    session: datetime.date
    facts: tuple[Fact, ...]
    currency: str = ""
    other_currencies: tuple[str, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """Which amounts are left out, for a reader."""
        if not self.other_currencies:
            return ()
        others = " and ".join(self.other_currencies)
        return (
            f"Amounts of {self.kind} in {others} are left out: the newest are in "
            f"{self.currency}, and nothing is converted.",
        )


@dataclass(frozen=True, slots=True)
class Filings(SourceAnswer):
    """A company's filings of some forms by a day, oldest first, at least one.

    `since` is the day of the first filing of any form that the source lists.
    """

    symbol: str
    session: datetime.date
    since: datetime.date
    filings: tuple[Filing, ...]


@dataclass(frozen=True, slots=True)
class Insiders(SourceAnswer):
    """What insiders reported by a day, oldest first.

    `filings` are reports of trades (form 4). A source gives these, the `trades`, or both. `since`
    is the first day that the source covers.
    """

    symbol: str
    session: datetime.date
    since: datetime.date
    filings: tuple[Filing, ...] = ()
    trades: tuple[InsiderTrade, ...] = ()


@dataclass(frozen=True, slots=True)
class Series(SourceAnswer):
    """A macro series as the public knew it on a day, oldest first.

    `revised` says that values are the latest revision, not that of the day.
    """

    name: str
    revised: bool
    observations: tuple[Observation, ...]


@dataclass(frozen=True, slots=True)
class News(SourceAnswer):
    """Headlines about a symbol up to an instant, newest first.

    `missing` explains, source by source, what is not among them.
    """

    symbol: str
    headlines: tuple[Headline, ...]
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Posts(SourceAnswer):
    """Messages about a symbol up to an instant, newest first."""

    symbol: str
    posts: tuple[Post, ...]
