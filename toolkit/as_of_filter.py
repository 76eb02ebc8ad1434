"""The one as-of filter: nothing that was not known at the cut-off passes, whichever source gave it.

Every answer of every port goes through `admitted`. What it lets through is stamped with the instant
at which it came, so that its age can be told.
"""

import datetime
from collections.abc import Callable
from dataclasses import replace
from functools import singledispatch
from typing import Any, TypeVar

from trading_graph.toolkit.as_of import AsOf
from trading_graph.toolkit.errors import NoData
from trading_graph.toolkit.frames import Bars
from trading_graph.toolkit.records import (
    Filings,
    Insiders,
    News,
    Posts,
    Series,
    Sourced,
    Statements,
)

Answer = TypeVar("Answer", bound=Sourced)

Clock = Callable[[], datetime.datetime]


def admitted(answer: Answer, as_of: AsOf, now: datetime.datetime) -> Answer:
    """The part of an answer that was known at the as-of date's cut-off; NoData if none was."""
    known: Answer = _known(answer, as_of)
    return replace(known, fetched=now)


@singledispatch
def _known(answer: Any, as_of: AsOf) -> Any:
    raise TypeError(f"{type(answer).__name__} has no as-of rule: give it one in as_of_filter.")


@_known.register
def _bars(answer: Bars, as_of: AsOf) -> Bars:
    known = answer.until(as_of.date)
    if not len(known):
        raise _nothing(f"bars of {answer.symbol}", answer, as_of)
    return known


@_known.register
def _statements(answer: Statements, as_of: AsOf) -> Statements:
    known = tuple(fact for fact in answer.facts if fact.filed <= as_of.date)
    if not known:
        raise _nothing(f"statements of {answer.symbol}", answer, as_of)
    return replace(answer, facts=known, session=min(answer.session, as_of.date))


@_known.register
def _filings(answer: Filings, as_of: AsOf) -> Filings:
    known = tuple(filing for filing in answer.filings if filing.filed <= as_of.date)
    if not known:
        raise _nothing(f"such filings of {answer.symbol}", answer, as_of)
    return replace(
        answer,
        filings=known,
        since=min(answer.since, as_of.date),
        session=min(answer.session, as_of.date),
    )


@_known.register
def _insiders(answer: Insiders, as_of: AsOf) -> Insiders:
    if answer.since > as_of.date:  # what the source covers begins later, and even that is not known
        raise _nothing(f"insiders' reports of {answer.symbol}", answer, as_of)
    return replace(
        answer,
        filings=tuple(filing for filing in answer.filings if filing.filed <= as_of.date),
        trades=tuple(trade for trade in answer.trades if trade.known <= as_of.date),
        session=min(answer.session, as_of.date),
    )


@_known.register
def _series(answer: Series, as_of: AsOf) -> Series:
    known = tuple(
        row for row in answer.observations if row.known <= as_of.date and row.date <= as_of.date
    )
    if not known:
        raise _nothing(f"values of {answer.name}", answer, as_of)
    return replace(answer, observations=known)


@_known.register
def _news(answer: News, as_of: AsOf) -> News:
    known = tuple(line for line in answer.headlines if line.published <= as_of.cutoff)
    return replace(answer, headlines=known)


@_known.register
def _posts(answer: Posts, as_of: AsOf) -> Posts:
    known = tuple(post for post in answer.posts if post.published <= as_of.cutoff)
    return replace(answer, posts=known)


def _nothing(what: str, answer: Sourced, as_of: AsOf) -> NoData:
    return NoData(f"{answer.source} has no {what} known by {as_of}: choose a later date.")
