"""Prefetch: fetching the analysts' data while their first LLM turn still runs.

The prompts say which tools an analyst is to call, so its data can be fetched ahead. Prefetch and
tool calls meet in the cache: an early call shares the fetch, a late one gets its result. A model's
further calls fetch for themselves, and data that no model asks for was fetched in vain.
"""

import asyncio
from collections.abc import Awaitable, Iterator

from opentelemetry.trace import SpanContext

from trading_graph.graph.context import RunContext
from trading_graph.otel import spans
from trading_graph.toolkit import data_attributes
from trading_graph.toolkit.as_of import AsOf
from trading_graph.toolkit.errors import DataError
from trading_graph.toolkit.market_data import MACRO_SERIES, STATEMENT_KINDS, AsyncToolkit
from trading_graph.toolkit.records import SourceAnswer
from trading_graph.toolkit.tools import TOOLS

BENCHMARK = "^GSPC"


def start_prefetch(context: RunContext, dispatcher: SpanContext | None) -> None:
    """Start the prefetch below the current span, as a task that the run owns.

    LangGraph ends a node's own tasks with the node. This one continues while later nodes run. Where
    it still runs at the end it is cancelled, since nobody waits for it, before the run's span ends:
    else the count of spans that the run declares would miss its.
    """
    task = asyncio.create_task(prefetch(context, dispatcher))

    async def end() -> None:
        task.cancel()
        # Its error shows on its span; collected, asyncio does not report it as never retrieved.
        await asyncio.gather(task, return_exceptions=True)

    context.at_end.push_async_callback(end)


async def prefetch(context: RunContext, dispatcher: SpanContext | None) -> None:
    """Fetch the data of all the run's analysts at once, below a span linked to the dispatcher.

    A DataError is no error here: the analyst that asks for the data will meet it again.
    """
    options = context.options
    with spans.prefetch(
        "market_data",
        attributes={
            data_attributes.SYMBOL: options.symbol,
            data_attributes.AS_OF: str(options.as_of),
        },
        dispatcher=dispatcher,
    ):
        fetches = [
            fetch
            for analyst in options.analysts
            for fetch in _fetches(analyst, context.toolkit, options.symbol, options.as_of)
        ]
        results = await asyncio.gather(*fetches, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception) and not isinstance(result, DataError):
                raise result


def _fetches(
    analyst: str, toolkit: AsyncToolkit, symbol: str, as_of: AsOf
) -> Iterator[Awaitable[SourceAnswer]]:
    """What the prompt of an analyst tells it to ask for."""
    match analyst:
        case "market_analyst" | "social_analyst":
            yield toolkit.bars(symbol, as_of)
            yield toolkit.bars(BENCHMARK, as_of)
            if analyst == "social_analyst" and TOOLS["get_posts"].available(toolkit, as_of):
                yield toolkit.posts(symbol, as_of)
        case "news_analyst":
            yield toolkit.filings(symbol, as_of, ("8-K",))
            yield toolkit.filings(symbol, as_of, ("10-Q", "10-K"))
            yield toolkit.insiders(symbol, as_of)
            for series in MACRO_SERIES:
                yield toolkit.macro(series, as_of)
            if TOOLS["get_news"].available(toolkit, as_of):
                yield toolkit.news(symbol, as_of)
        case "fundamentals_analyst":
            yield toolkit.bars(symbol, as_of)
            for kind in STATEMENT_KINDS:
                yield toolkit.statements(symbol, as_of, kind)
