"""Fetching what the analysts will ask for while their first LLM turn still runs.

The prompts say what an analyst is to ask for, so it is known before. Both meet in the cache: an
analyst that asks early shares the fetch, a later one finds its result. What a model asks for
besides it fetches itself, and what nobody asks for was fetched in vain.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial

from opentelemetry.trace import SpanContext

from trading_graph.graph.context import RunContext
from trading_graph.otel import spans
from trading_graph.toolkit.as_of import AsOf
from trading_graph.toolkit.errors import DataError
from trading_graph.toolkit.market_data import MACRO_SERIES, STATEMENT_KINDS, AsyncToolkit
from trading_graph.toolkit.records import SourceAnswer
from trading_graph.toolkit.tools import TOOLS

BENCHMARK = "^GSPC"

Asked = Callable[[], Awaitable[SourceAnswer]]


async def prefetch(context: RunContext, dispatcher: SpanContext | None) -> None:
    """Fetch at once what the run's analysts will ask for; below a span linked to the dispatcher.

    What a source does not have is left to the analyst who asks: it is no error here.
    """
    options = context.options
    with spans.prefetch(
        "market_data", symbol=options.symbol, as_of=str(options.as_of), dispatcher=dispatcher
    ):
        all_asked = [
            asked
            for analyst in options.analysts
            for asked in _ASKED_BY[analyst](context.toolkit, options.symbol, options.as_of)
        ]
        answers = await asyncio.gather(*(asked() for asked in all_asked), return_exceptions=True)
        for answer in answers:
            if isinstance(answer, Exception) and not isinstance(answer, DataError):
                raise answer


def _by_market(toolkit: AsyncToolkit, symbol: str, as_of: AsOf) -> Iterator[Asked]:
    yield partial(toolkit.bars, symbol, as_of)
    yield partial(toolkit.bars, BENCHMARK, as_of)


def _by_social(toolkit: AsyncToolkit, symbol: str, as_of: AsOf) -> Iterator[Asked]:
    yield from _by_market(toolkit, symbol, as_of)
    if TOOLS["get_posts"].available(toolkit, as_of):
        yield partial(toolkit.posts, symbol, as_of)


def _by_news(toolkit: AsyncToolkit, symbol: str, as_of: AsOf) -> Iterator[Asked]:
    yield partial(toolkit.filings, symbol, as_of, ("8-K",))
    yield partial(toolkit.filings, symbol, as_of, ("10-Q", "10-K"))
    yield partial(toolkit.insiders, symbol, as_of)
    for series in MACRO_SERIES:
        yield partial(toolkit.macro, series, as_of)
    if TOOLS["get_news"].available(toolkit, as_of):
        yield partial(toolkit.news, symbol, as_of)


def _by_fundamentals(toolkit: AsyncToolkit, symbol: str, as_of: AsOf) -> Iterator[Asked]:
    yield partial(toolkit.bars, symbol, as_of)
    for kind in STATEMENT_KINDS:
        yield partial(toolkit.statements, symbol, as_of, kind)


_ASKED_BY: Mapping[str, Callable[[AsyncToolkit, str, AsOf], Iterator[Asked]]] = {
    "market_analyst": _by_market,
    "social_analyst": _by_social,
    "news_analyst": _by_news,
    "fundamentals_analyst": _by_fundamentals,
}
