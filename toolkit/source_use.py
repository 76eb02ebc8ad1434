"""Which sources served a block of code: what each gave, how new that was, and when it was fetched.

Every answer of every source passes through `note_use`; whoever wants to list what was really used
opens `collect_uses` around the work. What was fetched and never handed to that work is no use.
"""

import datetime
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum

from trading_graph.toolkit.bars import Bars
from trading_graph.toolkit.records import (
    Filings,
    Insiders,
    News,
    Posts,
    Series,
    SourceAnswer,
    Statements,
)


class DataKind(StrEnum):
    """What a source gave, in the order of a list of sources."""

    PRICES = "prices"
    INCOME = "income statement"
    BALANCE = "balance sheet"
    CASH_FLOW = "cash flow statement"
    FILINGS = "filings"
    INSIDERS = "insiders' reports"
    MACRO = "macro series"
    NEWS = "headlines"
    POSTS = "posts"


_STATEMENTS = {
    "income": DataKind.INCOME,
    "balance": DataKind.BALANCE,
    "cash_flow": DataKind.CASH_FLOW,
}
_ORDER = list(DataKind)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceUse:
    """One answer that served: `data` of `subject`, a symbol or a series, from `source`.

    `newest` is the day on which the newest part of it became public, and `newest_is` says what that
    part is; None for an answer without parts. `retrieved` is in UTC. `stands_in` says why another
    source than the preferred one served.
    """

    data: DataKind
    subject: str
    source: str
    newest: datetime.date | None
    newest_is: str
    retrieved: datetime.datetime | None
    stands_in: str = ""


_USES: ContextVar[list[SourceUse] | None] = ContextVar("uses_of_sources", default=None)


@contextmanager
def collect_uses() -> Iterator[list[SourceUse]]:
    """Collect what serves the block, in the order in which it comes."""
    uses: list[SourceUse] = []
    token = _USES.set(uses)
    try:
        yield uses
    finally:
        _USES.reset(token)


def note_use(answer: SourceAnswer) -> None:
    """Add an answer to what the surrounding block collects, if it does."""
    if (uses := _USES.get()) is not None:
        uses.append(_use(answer))


def list_uses(uses: Iterable[SourceUse]) -> list[SourceUse]:
    """The uses as a reader wants them: by kind and subject, each answer of a source once."""
    first: dict[tuple[DataKind, str, str], SourceUse] = {}
    for use in uses:
        first.setdefault((use.data, use.subject, use.source), use)
    # In an order of its own: which agent asked first differs from run to run.
    return sorted(first.values(), key=lambda use: (_ORDER.index(use.data), use.subject, use.source))


def _use(answer: SourceAnswer) -> SourceUse:
    kind, subject, newest, newest_is = _described(answer)
    return SourceUse(
        data=kind,
        subject=subject,
        source=answer.source,
        newest=newest,
        newest_is=newest_is,
        retrieved=answer.fetched,
        stands_in=answer.stands_in,
    )


def _described(answer: SourceAnswer) -> tuple[DataKind, str, datetime.date | None, str]:
    """The kind of an answer, its subject, and its newest part."""
    match answer:
        case Bars():
            return DataKind.PRICES, answer.symbol, answer.session, "last bar"
        case Statements():
            fact = max(answer.facts, key=lambda fact: fact.filed)
            newest_is = f"{fact.form} filed".strip()
            return _STATEMENTS[answer.kind], answer.symbol, fact.filed, newest_is
        case Filings():
            filing = max(answer.filings, key=lambda filing: filing.filed)
            return DataKind.FILINGS, answer.symbol, filing.filed, f"{filing.form} filed"
        case Insiders():
            days = [filing.filed for filing in answer.filings]
            days += [trade.available for trade in answer.trades]
            return DataKind.INSIDERS, answer.symbol, max(days, default=None), "last report"
        case Series():
            row = max(answer.observations, key=lambda row: row.date)
            return DataKind.MACRO, answer.name, row.available, f"value of {row.date} published"
        case News():
            moments = [line.published for line in answer.headlines]
            return DataKind.NEWS, answer.symbol, _day(moments), "last headline"
        case Posts():
            moments = [post.published for post in answer.posts]
            return DataKind.POSTS, answer.symbol, _day(moments), "last post"
    raise TypeError(f"{type(answer).__name__} has no kind of data: give it one in source_use.")


def _day(moments: list[datetime.datetime]) -> datetime.date | None:
    return max(moments).date() if moments else None
