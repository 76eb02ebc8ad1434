"""The as-of filter: it removes from every answer what was not public at the as-of date's cut-off.

All answers of all sources go through `admit`, which also stamps them with the present instant, so
that their age can be shown.
"""

import datetime
from dataclasses import replace
from typing import Any, TypeVar

from trading_graph.toolkit.as_of import AsOf
from trading_graph.toolkit.bars import Bars
from trading_graph.toolkit.errors import NoDataError
from trading_graph.toolkit.records import (
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


def _cut(answer: Any, as_of: AsOf) -> Any:
    day, filed_by = as_of.date, as_of.filings_until
    what = ""  # of an answer that must not be empty, but is
    part: SourceAnswer
    match answer:
        case Bars():
            part = bars = answer.until(day)
            what = "" if len(bars) else f"bars of {answer.symbol}"
        case Statements():
            facts = tuple(fact for fact in answer.facts if fact.filed <= filed_by)
            part = replace(answer, facts=facts, session=min(answer.session, day))
            what = "" if facts else f"statements of {answer.symbol}"
        case Filings():
            filings = tuple(filing for filing in answer.filings if filing.filed <= filed_by)
            since, session = min(answer.since, filed_by), min(answer.session, day)
            part = replace(answer, filings=filings, since=since, session=session)
            what = "" if filings else f"such filings of {answer.symbol}"
        case Insiders():
            filings = tuple(filing for filing in answer.filings if filing.filed <= filed_by)
            trades = tuple(trade for trade in answer.trades if trade.available <= filed_by)
            session = min(answer.session, day)
            part = replace(answer, filings=filings, trades=trades, session=session)
            # If even the start of what the source covers is later, no reports is no answer.
            what = "" if answer.since <= filed_by else f"insiders' reports of {answer.symbol}"
        case Series():
            rows = tuple(row for row in answer.observations if max(row.available, row.date) <= day)
            part = replace(answer, observations=rows)
            what = "" if rows else f"values of {answer.name}"
        case News():
            headlines = (line for line in answer.headlines if line.published <= as_of.cutoff)
            part = replace(answer, headlines=tuple(headlines))
        case Posts():
            posts = (post for post in answer.posts if post.published <= as_of.cutoff)
            part = replace(answer, posts=tuple(posts))
        case _:
            raise TypeError(
                f"{type(answer).__name__} has no as-of rule: give it one in as_of_filter."
            )
    if what:
        raise NoDataError(f"{answer.source} has no {what} known by {as_of}: choose a later date.")
    return part
