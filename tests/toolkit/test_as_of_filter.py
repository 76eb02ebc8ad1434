"""The one as-of filter: no record known after the cut-off passes, whichever source gave it."""

import datetime
from typing import Any

import pytest
from hypothesis import given

from tests.toolkit.answers import answers, days, in_time, instants_of
from trading_graph.toolkit.as_of import AsOf
from trading_graph.toolkit.as_of_filter import admit
from trading_graph.toolkit.errors import NoDataError
from trading_graph.toolkit.records import Headline, Insiders, News, Posts, SourceAnswer
from trading_graph.toolkit.sessions import last_session

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


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
