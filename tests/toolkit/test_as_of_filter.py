"""The one as-of filter: no record known after the cut-off passes, whichever source gave it."""

import datetime
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_graph.toolkit.as_of import AsOf
from trading_graph.toolkit.as_of_filter import admit
from trading_graph.toolkit.bars import make_bars
from trading_graph.toolkit.errors import NoDataError
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
    SourceAnswer,
    Statements,
)
from trading_graph.toolkit.sessions import last_session

T = TypeVar("T")

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
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
    match instant:
        case FilingDate():
            return instant.day < last_session(as_of.date)
        case datetime.datetime():
            return instant <= as_of.cutoff
    return instant <= as_of.date


@given(answer=answers, day=days)
def test_what_passes_was_known_and_what_was_known_passes(answer: Any, day: datetime.date) -> None:
    as_of = AsOf(day)
    expected = [instant for instant in instants_of(answer) if in_time(instant, as_of)]
    covers_nothing_yet = isinstance(answer, Insiders) and answer.since >= last_session(day)
    may_be_empty = isinstance(answer, Insiders | News | Posts)
    if covers_nothing_yet or not (expected or may_be_empty):
        with pytest.raises(NoDataError, match=r"known by .*: choose a later date\.$"):
            admit(answer, as_of, NOW)
        return
    passed = admit(answer, as_of, NOW)
    assert list(instants_of(passed)) == expected
    assert passed.fetched == NOW
    assert getattr(passed, "session", day) <= day
    assert getattr(passed, "since", day) <= day


def test_the_cut_off_is_the_close_in_new_york_to_the_second() -> None:
    as_of = AsOf(datetime.date(2025, 11, 14))
    second = datetime.timedelta(seconds=1)
    around = (as_of.cutoff, as_of.cutoff + second, as_of.cutoff - second)
    news = News("X", tuple(Headline(at, "t", "p") for at in around))
    headlines = admit(news, as_of, NOW).headlines
    assert [line.published - as_of.cutoff for line in headlines] == [second * 0, -second]


def test_an_answer_without_a_rule_is_refused() -> None:
    """A new kind of data cannot forget to say what of it was known when."""
    with pytest.raises(TypeError, match="give it one in as_of_filter"):
        admit(SourceAnswer(), AsOf(datetime.date(2025, 1, 1)), NOW)
