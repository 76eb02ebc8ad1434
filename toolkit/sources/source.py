"""What a source is, and what sources share: spans, parts that may fail, clean text.

A new source is a module beside this one with a class that implements one or more of the protocols
below. It joins the others in `registry`. Its methods take an `AsOf`, but nobody trusts a source to
keep to it: `as_of_filter` stands between every source and its caller. Errors are those of
`toolkit.errors`.
"""

import asyncio
import unicodedata
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import unescape
from typing import Protocol, TypeVar

from opentelemetry.trace import Span

from trading_graph.otel import spans
from trading_graph.toolkit import data_attributes
from trading_graph.toolkit.as_of import AsOf
from trading_graph.toolkit.bars import Bars
from trading_graph.toolkit.errors import (
    BadRequestError,
    DataError,
    HttpStatusError,
    NoDataError,
)
from trading_graph.toolkit.live_access import DataMode
from trading_graph.toolkit.records import Filings, Insiders, News, Posts, Series, Statements

T = TypeVar("T")

# Yahoo answers 429 to clients that do not name a browser.
BROWSER_HEADERS = {
    "User-Agent": (
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/131.0.0.0 Safari/537.36"
    )
}

# At most this much of a text is read, since cleaning takes time by its length.
_MAX_UNCLEAN = 4000


class Source(Protocol):
    """What every source says of itself: its name in messages, and whether it is live."""

    name: str
    data_mode: DataMode


class PriceSource(Source, Protocol):
    """Daily bars."""

    async def bars(self, symbol: str, as_of: AsOf) -> Bars:
        """The bars up to the as-of date, on the share basis of that day, at least one."""
        ...


class FundamentalsSource(Source, Protocol):
    """Statements of companies."""

    async def statements(self, symbol: str, as_of: AsOf, kind: str) -> Statements:
        """The facts of a kind of statement (income, balance, cash_flow) public by then."""
        ...


class FilingSource(Source, Protocol):
    """Reports that companies filed."""

    async def filings(self, symbol: str, as_of: AsOf, forms: Sequence[str]) -> Filings:
        """The filings of these forms by then, amendments included."""
        ...


class InsiderSource(Source, Protocol):
    """Trades of a company's insiders."""

    async def insiders(self, symbol: str, as_of: AsOf) -> Insiders:
        """The reports and trades public by then."""
        ...


class MacroSource(Source, Protocol):
    """Economic series."""

    async def macro(self, series: str, as_of: AsOf) -> Series:
        """A series as the public knew it by then."""
        ...


class NewsSource(Source, Protocol):
    """Headlines about a company."""

    async def news(self, symbol: str, as_of: AsOf) -> News:
        """The headlines of the week before the as-of date's close."""
        ...


class AttentionSource(Source, Protocol):
    """Posts of the public about a symbol."""

    async def posts(self, symbol: str, as_of: AsOf) -> Posts:
        """The latest messages; a source without an archive refuses a date that has passed."""
        ...


@contextmanager
def fetch_span(
    source: str,
    data_mode: DataMode,
    *,
    symbol: str | None = None,
    as_of: AsOf | None = None,
    nothing: str = "",
    **params: str,
) -> Iterator[Span]:
    """Open the span `fetch {source}`; `params` holds what else distinguishes the request.

    A NoDataError passes through, but the span does not call it an error: it is the source's answer.
    `nothing` is the NoDataError's sentence for the status 404, where that means so.
    """
    subject = {data_attributes.SYMBOL: symbol} if symbol else {}
    if as_of is not None:
        subject[data_attributes.AS_OF] = str(as_of)
    answer: NoDataError | None = None
    with spans.fetch(
        source,
        params={**params, **subject},
        attributes={data_attributes.DATA_MODE: data_mode, **subject},
    ) as span:
        try:
            yield span
        except NoDataError as error:
            answer = error
        except HttpStatusError as refusal:
            if refusal.status != 404 or not nothing:
                raise
            answer = NoDataError(nothing)
        if answer is not None:
            span.set_attribute(data_attributes.DATA_OUTCOME, data_attributes.NOTHING)
    if answer is not None:
        raise answer


async def gather_parts(
    parts: Mapping[str, Awaitable[T]],
) -> tuple[dict[str, T], dict[str, DataError]]:
    """The results of several requests at once, by name, and the errors of those that failed.

    Raises only what concerns every part: a BadRequestError, or a fault of ours.
    """
    results: dict[str, T] = {}
    errors: dict[str, DataError] = {}
    outcomes = await asyncio.gather(*parts.values(), return_exceptions=True)
    for name, outcome in zip(parts, outcomes, strict=True):
        if isinstance(outcome, DataError) and not isinstance(outcome, BadRequestError):
            errors[name] = outcome
        elif isinstance(outcome, BaseException):
            raise outcome
        else:
            results[name] = outcome
    return results, errors


def clean(text: str, max_length: int = 200) -> str:
    """A stranger's text on one line, shortened, without control or invisible characters.

    Characters that change the direction of writing go too. Clean text is still not to be trusted:
    a model sees it between tags, as material.
    """
    visible = "".join(
        " " if char.isspace() else char
        for char in unescape(text[:_MAX_UNCLEAN])
        if char.isspace() or not unicodedata.category(char).startswith("C")
    )
    line = " ".join(visible.split())
    return line if len(line) <= max_length else f"{line[: max_length - 3].rstrip()}..."
