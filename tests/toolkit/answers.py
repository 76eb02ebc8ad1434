"""Answers of sources at random, and when each of their records was known."""

import datetime
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeVar

import numpy as np
from hypothesis import strategies as st

from trading_graph.toolkit.as_of import AsOf
from trading_graph.toolkit.bars import make_bars
from trading_graph.toolkit.records import (
    Fact,
    Filing,
    Filings,
    Headline,
    Insiders,
    InsiderTrade,
    News,
    Observation,
    Post,
    Posts,
    Series,
    Statements,
)
from trading_graph.toolkit.sessions import last_session

T = TypeVar("T")

days = st.dates(datetime.date(2024, 1, 1), datetime.date(2024, 3, 1))
instants = st.datetimes(
    datetime.datetime(2024, 1, 1), datetime.datetime(2024, 3, 1), timezones=st.just(datetime.UTC)
)


def some(each: st.SearchStrategy[T]) -> st.SearchStrategy[tuple[T, ...]]:
    return st.lists(each, max_size=12).map(tuple)


facts = st.builds(
    Fact, st.just("revenue"), st.none(), days, days, st.just("10-Q"), st.floats(0, 1e9)
)
filings = st.builds(Filing, st.sampled_from(["4", "8-K"]), days)
trades = st.builds(InsiderTrade, days, days, st.just("A"), st.just("sale"))
observations = st.builds(Observation, days, st.floats(0, 10), days)
headlines = st.builds(Headline, instants, st.just("title"), st.just("paper"))
posts = st.builds(Post, instants, st.just("text"))
bars = some(days).map(
    lambda days: make_bars(
        "X", days, [np.arange(1.0, len(days) + 1)] * 5, splits=[(day, 2.0) for day in days]
    )
)
answers: st.SearchStrategy[Any] = st.one_of(
    st.builds(Statements, st.just("X"), st.just("income"), days, some(facts)),
    st.builds(Filings, st.just("X"), days, days, some(filings)),
    st.builds(Insiders, st.just("X"), days, days, some(filings), some(trades)),
    st.builds(Series, st.just("X"), st.booleans(), some(observations)),
    st.builds(News, st.just("X"), some(headlines)),
    st.builds(Posts, st.just("X"), some(posts)),
    bars,
)


class FilingDate(NamedTuple):
    """A date of filing, which has no hour: it may be after the close."""

    day: datetime.date


Instant = datetime.date | datetime.datetime | FilingDate


def instants_of(answer: Any) -> Iterator[Instant]:
    """When each record of an answer was known."""
    for fact in getattr(answer, "facts", ()):
        yield FilingDate(fact.filed)
    for filing in getattr(answer, "filings", ()):
        yield FilingDate(filing.filed)
    for trade in getattr(answer, "trades", ()):
        yield FilingDate(trade.available)
    for row in getattr(answer, "observations", ()):
        yield max(row.available, row.date)
    for text in (*getattr(answer, "headlines", ()), *getattr(answer, "posts", ())):
        yield text.published
    for event in (*getattr(answer, "splits", ()), *getattr(answer, "dividends", ())):
        yield event[0]
    for day in getattr(answer, "dates", ()):
        yield day.astype(datetime.date)


def in_time(instant: Instant, as_of: AsOf) -> bool:
    """Whether it was known as of a day."""
    match instant:
        case FilingDate():
            return instant.day < last_session(as_of.date)
        case datetime.datetime():
            return instant <= as_of.cutoff
    return instant <= as_of.date
