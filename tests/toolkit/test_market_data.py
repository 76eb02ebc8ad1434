"""The one door: all at once, one fetch for all who ask, typed errors, provenance on spans."""

import asyncio
import datetime
from collections.abc import AsyncIterator, Iterator
from typing import NamedTuple

import pytest
from opentelemetry import context as otel_context
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from trading_graph.otel import spans
from trading_graph.otel.spans.recording import context_with
from trading_graph.otel.trace import semconv
from trading_graph.toolkit import data_attributes
from trading_graph.toolkit.as_of import AsOf
from trading_graph.toolkit.cache import SingleFlightCache
from trading_graph.toolkit.embedded_server import make_app
from trading_graph.toolkit.errors import (
    BadDateError,
    BadRequestError,
    BadSymbolError,
    NoDataError,
    SourceUnavailableError,
    UnknownSymbolError,
)
from trading_graph.toolkit.loopback import LoopbackServer
from trading_graph.toolkit.market_data import MACRO_SERIES, STATEMENT_KINDS, AsyncToolkit
from trading_graph.toolkit.pool import HttpPool

AS_OF = AsOf(datetime.date(2025, 11, 14))


class Offline(NamedTuple):
    """A toolkit on the embedded data, with its pool and the server's address."""

    toolkit: AsyncToolkit
    pool: HttpPool
    url: str


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with LoopbackServer(lambda: make_app(latency_s=0.02)) as running:
        yield running.url


@pytest.fixture
async def offline(server: str) -> AsyncIterator[Offline]:
    async with HttpPool() as pool:
        toolkit = AsyncToolkit(pool, SingleFlightCache(), mode="offline", base_url=server)
        yield Offline(toolkit, pool, server)


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    """Record the spans of a test as one run's."""
    provider, exporter = TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    token = otel_context.attach(context_with(spans.Recording("test", provider)))
    yield exporter
    otel_context.detach(token)


def fetches(exporter: InMemorySpanExporter) -> list[ReadableSpan]:
    return [span for span in exporter.get_finished_spans() if span.name.startswith("fetch ")]


async def test_everything_is_fetched_at_once(
    offline: Offline, exporter: InMemorySpanExporter
) -> None:
    data = await offline.toolkit.get_all_market_data("aapl", AS_OF)
    assert data.symbol == "AAPL"
    assert data.errors == {}
    assert data.bars is not None
    assert data.bars.session == AS_OF.date
    assert set(data.statements) == set(STATEMENT_KINDS)
    assert set(data.macro) == set(MACRO_SERIES)
    spans_ = fetches(exporter)
    assert len(spans_) == 6 + len(MACRO_SERIES)
    assert max(span.start_time or 0 for span in spans_) < min(span.end_time or 0 for span in spans_)


async def test_one_symbols_prices_are_fetched_once_for_all_who_ask(
    offline: Offline, exporter: InMemorySpanExporter
) -> None:
    toolkit = offline.toolkit
    await asyncio.gather(
        toolkit.bars("AAPL", AS_OF),
        toolkit.indicators(" aapl ", AS_OF, ["rsi"]),
        toolkit.price_levels("AAPL", AS_OF),
        toolkit.bars("^GSPC", AS_OF),
    )
    await toolkit.bars("AAPL", AS_OF)
    assert len(fetches(exporter)) == 2


async def test_each_statement_is_a_request_of_its_own(
    offline: Offline, exporter: InMemorySpanExporter
) -> None:
    kinds = (offline.toolkit.statements("NVDA", AS_OF, kind) for kind in STATEMENT_KINDS)
    answers = await asyncio.gather(*kinds)
    assert len(fetches(exporter)) == 3
    assert [answer.kind for answer in answers] == list(STATEMENT_KINDS)


async def test_a_part_that_is_missing_does_not_harm_the_others(offline: Offline) -> None:
    data = await offline.toolkit.get_all_market_data("MSFT", AS_OF)
    assert data.bars is not None
    assert data.filings is not None
    assert set(data.errors) == set(STATEMENT_KINDS)
    assert all(isinstance(error, NoDataError) for error in data.errors.values())


async def test_an_unknown_symbol_names_what_there_is(offline: Offline) -> None:
    for request in (
        offline.toolkit.bars("ZZZZ", AS_OF),
        offline.toolkit.statements("ZZZZ", AS_OF, "income"),
        offline.toolkit.filings("ZZZZ", AS_OF),
        offline.toolkit.get_all_market_data("ZZZZ", AS_OF),
    ):
        with pytest.raises(UnknownSymbolError, match=r"ZZZZ.* AAPL, AMZN, GOOGL, .*\^GSPC"):
            await request


@pytest.mark.parametrize("day", ["2022-11-13", "2010-01-04", "2025-11-25"])
async def test_a_date_outside_the_data_is_refused_with_its_range(
    offline: Offline, day: str
) -> None:
    as_of = AsOf.parse(day, datetime.date(2026, 1, 1))
    with pytest.raises(BadDateError, match=r"begin with 2022-11-14|end with 2025-11-14"):
        await offline.toolkit.bars("AAPL", as_of)
    with pytest.raises(BadDateError, match="from 2022-11-14 to 2025-11-24"):
        await offline.toolkit.statements("AAPL", as_of, "income")
    with pytest.raises(BadDateError, match="from 2022-11-14 to 2025-11-24"):
        await offline.toolkit.filings("AAPL", as_of)


async def test_a_symbol_that_is_none_is_refused_without_a_request(offline: Offline) -> None:
    with pytest.raises(BadSymbolError):
        await offline.toolkit.get_all_market_data("../etc", AS_OF)
    with pytest.raises(BadRequestError, match="no indicator"):
        await offline.toolkit.indicators("AAPL", AS_OF, ["close_1~200000_max"])


async def test_a_dead_server_is_a_typed_error_in_every_part() -> None:
    async with HttpPool() as pool:
        toolkit = AsyncToolkit(
            pool, SingleFlightCache(), mode="offline", base_url="http://127.0.0.1:9"
        )
        data = await toolkit.get_all_market_data("AAPL", AS_OF)
    assert data.bars is None
    assert len(data.errors) == 6 + len(MACRO_SERIES)
    assert all(isinstance(error, SourceUnavailableError) for error in data.errors.values())


async def test_every_fetch_says_what_it_got_and_from_where(
    offline: Offline, exporter: InMemorySpanExporter
) -> None:
    await offline.toolkit.get_all_market_data("NVDA", AS_OF)
    for span in fetches(exporter):
        attributes = span.attributes or {}
        assert attributes[semconv.SOURCE] == span.name.removeprefix("fetch ")
        assert attributes[data_attributes.AS_OF] == "2025-11-14"
        assert attributes[data_attributes.DATA_MODE] == "offline"
        rows, size = attributes[semconv.ROWS], attributes[semconv.RESPONSE_BYTES]
        assert isinstance(rows, int)
        assert isinstance(size, int)
        assert 0 < rows < size
    symbols = {(span.attributes or {})[data_attributes.SYMBOL] for span in fetches(exporter)}
    assert symbols == {"NVDA", *MACRO_SERIES}


async def test_prices_stand_on_the_share_basis_of_their_day(offline: Offline) -> None:
    """NVDA closed at 1208.88 on the last session before its split of 10 June 2024."""
    before = await offline.toolkit.bars("NVDA", AsOf(datetime.date(2024, 6, 7)))
    after = await offline.toolkit.bars("NVDA", AsOf(datetime.date(2024, 6, 10)))
    assert before.close[-1] == pytest.approx(1208.88)
    assert before.splits == ()
    assert after.close[-1] == pytest.approx(121.79)
    assert after.splits == ((datetime.date(2024, 6, 10), 10.0),)
    assert after.close[-2] == pytest.approx(before.close[-1] / 10)
    assert after.volume[-2] == pytest.approx(before.volume[-1] * 10)


async def test_levels_are_those_of_the_last_sessions(offline: Offline) -> None:
    levels = await offline.toolkit.price_levels("AAPL", AS_OF)
    assert (levels.session, levels.close) == (AS_OF.date, 272.41)
    assert levels.low_20 <= levels.close <= levels.high_20
    assert levels.atr_14 is not None
    assert 0 < levels.atr_14 < levels.high_20 - levels.low_20
    young = await offline.toolkit.price_levels("AAPL", AsOf(datetime.date(2022, 12, 1)))
    assert young.atr_14 is None


async def test_macro_values_are_those_known_by_then(offline: Offline) -> None:
    then = AsOf(datetime.date(2025, 10, 23))
    september = datetime.date(2025, 9, 1)
    series = await offline.toolkit.macro("CPIAUCSL", then)
    assert max(row.date for row in series.observations) < september
    later = await offline.toolkit.macro("CPIAUCSL", AsOf(datetime.date(2025, 10, 24)))
    assert max(row.date for row in later.observations) == september
    assert series.revised
    assert not (await offline.toolkit.macro("DGS10", then)).revised
