"""The as-of filter: it removes from every answer what was not public at the as-of date's cut-off.

All answers of all sources go through `admit`, which also stamps them with the present instant, so
that their age can be shown.
"""

import datetime
from dataclasses import replace
from functools import singledispatch
from typing import Any, TypeVar

from trading_graph.toolkit.as_of import AsOf
from trading_graph.toolkit.errors import NoDataError
from trading_graph.toolkit.records import (
    Bars,
    Filings,
    Insiders,
    News,
    Posts,
    Series,
    SourceAnswer,
    Statements,
)

A = TypeVar("A", bound=SourceAnswer)


def admit(answer: A, as_of: AsOf, now: datetime.datetime) -> A:
    """The part of an answer from before the as-of date's cut-off; NoDataError if there is none."""
    part: A = _cut(answer, as_of)
    return replace(part, fetched=now)


@singledispatch
def _cut(answer: Any, as_of: AsOf) -> Any:
    raise TypeError(f"{type(answer).__name__} has no as-of rule: give it one in as_of_filter.")


@_cut.register
def _bars(answer: Bars, as_of: AsOf) -> Bars:
    bars = answer.until(as_of.date)
    if not len(bars):
        raise _no_data(f"bars of {answer.symbol}", answer, as_of)
    return bars


@_cut.register
def _statements(answer: Statements, as_of: AsOf) -> Statements:
    facts = tuple(fact for fact in answer.facts if fact.filed <= as_of.date)
    if not facts:
        raise _no_data(f"statements of {answer.symbol}", answer, as_of)
    return replace(answer, facts=facts, session=min(answer.session, as_of.date))


@_cut.register
def _filings(answer: Filings, as_of: AsOf) -> Filings:
    filings = tuple(filing for filing in answer.filings if filing.filed <= as_of.date)
    if not filings:
        raise _no_data(f"such filings of {answer.symbol}", answer, as_of)
    return replace(
        answer,
        filings=filings,
        since=min(answer.since, as_of.date),
        session=min(answer.session, as_of.date),
    )


@_cut.register
def _insiders(answer: Insiders, as_of: AsOf) -> Insiders:
    if answer.since > as_of.date:  # even the start of what the source covers is later
        raise _no_data(f"insiders' reports of {answer.symbol}", answer, as_of)
    return replace(
        answer,
        filings=tuple(filing for filing in answer.filings if filing.filed <= as_of.date),
        trades=tuple(trade for trade in answer.trades if trade.available <= as_of.date),
        session=min(answer.session, as_of.date),
    )


@_cut.register
def _series(answer: Series, as_of: AsOf) -> Series:
    observations = tuple(
        row for row in answer.observations if max(row.available, row.date) <= as_of.date
    )
    if not observations:
        raise _no_data(f"values of {answer.name}", answer, as_of)
    return replace(answer, observations=observations)


@_cut.register
def _news(answer: News, as_of: AsOf) -> News:
    headlines = tuple(line for line in answer.headlines if line.published <= as_of.cutoff)
    return replace(answer, headlines=headlines)


@_cut.register
def _posts(answer: Posts, as_of: AsOf) -> Posts:
    posts = tuple(post for post in answer.posts if post.published <= as_of.cutoff)
    return replace(answer, posts=posts)


def _no_data(what: str, answer: SourceAnswer, as_of: AsOf) -> NoDataError:
    return NoDataError(f"{answer.source} has no {what} known by {as_of}: choose a later date.")
