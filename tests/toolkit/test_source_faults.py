"""Every adapter with everything that can go wrong at its host: data, or one typed error."""

import asyncio
import datetime
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import fields
from typing import Any
from urllib.parse import urlsplit

import pytest
from opentelemetry import context as otel_context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic import SecretStr

from tests.live_faults import FAULTS, HARMLESS
from tests.live_servers import FRED_KEY, LiveServers, live_servers
from tests.patience import PATIENCE_S
from trading_graph.otel import spans
from trading_graph.otel.spans.recording import context_with
from trading_graph.otel.trace import semconv
from trading_graph.toolkit.as_of import NEW_YORK, AsOf
from trading_graph.toolkit.cache import SingleFlightCache
from trading_graph.toolkit.errors import (
    BadAnswerError,
    DataError,
    HttpStatusError,
    NoDataError,
    RateLimitError,
    SourceUnavailableError,
    UnknownSymbolError,
)
from trading_graph.toolkit.live_access import BaseUrls, DataMode, LiveAccess
from trading_graph.toolkit.pool import HttpPool
from trading_graph.toolkit.rate_limits import HOST_POLICIES, HostPolicy
from trading_graph.toolkit.records import SourceAnswer
from trading_graph.toolkit.sources.registry import live_sources
from trading_graph.toolkit.sources.yahoo_chart import YahooChart
from trading_graph.toolkit.sources.yahoo_tables import YahooTables

AS_OF = AsOf(datetime.date(2025, 11, 14))

Ask = Callable[[Any], Any]


def today() -> AsOf:
    """The day in New York when it is asked, which may be the next one by then."""
    return AsOf(datetime.datetime.now(NEW_YORK).date())


# Each adapter's question, and the base URL on whose host it depends.
QUESTIONS: dict[str, tuple[str, Ask]] = {
    "chart": ("yahoo", lambda live: live.prices[0].bars("NVDA", AS_OF)),
    "sec_statements": (
        "sec_data",
        lambda live: live.fundamentals[0].statements("NVDA", AS_OF, "income"),
    ),
    "sec_filings": ("sec_data", lambda live: live.filings[0].filings("NVDA", AS_OF, ("8-K",))),
    "sec_companies": ("sec_files", lambda live: live.insiders[0].insiders("NVDA", AS_OF)),
    "fred": ("fred", lambda live: live.macro[0].macro("VIX", AS_OF)),
    "news": ("google_news", lambda live: live.news[0].news("NVDA", AS_OF)),
    "posts": ("stocktwits", lambda live: live.attention[0].posts("NVDA", today())),
    "yahoo_statements": (
        "yahoo",
        lambda live: live.fundamentals[1].statements("VOW3.DE", AS_OF, "income"),
    ),
    "yahoo_insiders": ("yahoo", lambda live: live.insiders[1].insiders("VOW3.DE", AS_OF)),
}

EXPECTED: dict[str, type[DataError]] = {
    "rate_limited": RateLimitError,
    "unauthorized": HttpStatusError,
    "unavailable": SourceUnavailableError,
    "truncated": BadAnswerError,
    "html": BadAnswerError,
    "slow_body": SourceUnavailableError,
    "gzip_bomb": BadAnswerError,
    "reset": SourceUnavailableError,
}


@pytest.fixture(scope="module")
def servers() -> Iterator[LiveServers]:
    with live_servers() as running:
        yield running


@pytest.fixture(autouse=True)
def healthy(servers: LiveServers) -> Iterator[None]:
    """Every test begins with servers without a fault and leaves none behind."""
    yield
    servers.faults.clear()
    servers.asked.clear()


@pytest.fixture
async def pool() -> AsyncIterator[HttpPool]:
    """A pool that asks once and gives up soon: what repeats is the pool's own tests' matter."""
    once = HostPolicy(attempts=1, breaker_failures=None)
    async with HttpPool(default_policy=once, sock_read_s=0.5, total_s=5) as made:
        yield made


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    provider, exporter = TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    token = otel_context.attach(context_with(spans.Recording("test", provider)))
    yield exporter
    otel_context.detach(token)


async def outcome(servers: LiveServers, pool: HttpPool, question: str) -> SourceAnswer | DataError:
    """What an adapter answers, with a new cache."""
    live = live_sources(pool, SingleFlightCache(), servers.access)
    try:
        answer: SourceAnswer = await QUESTIONS[question][1](live)
    except DataError as error:
        return error
    return answer


@pytest.mark.parametrize("question", QUESTIONS)
async def test_without_a_fault_every_adapter_has_live_data(
    servers: LiveServers, pool: HttpPool, question: str
) -> None:
    answer = await outcome(servers, pool, question)
    assert isinstance(answer, SourceAnswer), answer


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("question", QUESTIONS)
async def test_a_fault_leaves_data_or_one_typed_error_with_the_next_step(
    servers: LiveServers,
    pool: HttpPool,
    exporter: InMemorySpanExporter,
    question: str,
    fault: str,
) -> None:
    servers.faults[QUESTIONS[question][0]] = fault
    answer = await outcome(servers, pool, question)
    if fault in HARMLESS:
        assert isinstance(answer, SourceAnswer), answer
        return
    assert isinstance(answer, EXPECTED[fault] if question != "news" else SourceUnavailableError), (
        f"{type(answer).__name__}: {answer}"
    )
    message = str(answer)
    assert message.endswith(".")
    assert ": " in message, message
    records = repr([(span.name, span.attributes, span.events) for span in exporter_spans(exporter)])
    for text in (message, records):
        assert FRED_KEY not in text
        assert "crumb=" not in text


def exporter_spans(exporter: InMemorySpanExporter) -> Any:
    finished = exporter.get_finished_spans()
    assert finished, "nothing was recorded, so nothing can be said of what spans hold"
    return finished


class Picky(dict[str, str]):
    """The faults of a server that refuses whoever does not look like a browser of today."""

    def __init__(self, servers: LiveServers, fault: str) -> None:
        super().__init__()
        self._servers = servers
        self._fault = fault
        self.refused: list[str] = []

    def get(self, source: str, default: Any = None) -> Any:
        agent = self._servers.asked[-1].headers.get("User-Agent", "")
        if source != "yahoo" or "Chrome/131" not in agent:
            return default
        self.refused.append(agent)
        return self._fault


@pytest.fixture
def picky(request: pytest.FixtureRequest, servers: LiveServers) -> Iterator[Picky]:
    """A Yahoo that refuses the pool with the fault that the test names."""
    faults, picky = servers.faults, Picky(servers, request.param)
    servers.faults = picky
    yield picky
    servers.faults = faults


REFUSALS = pytest.mark.parametrize("picky", ["unauthorized", "rate_limited"], indirect=True)


@REFUSALS
async def test_where_the_pool_is_refused_yfinance_asks_once_more_as_a_browser(
    servers: LiveServers, pool: HttpPool, exporter: InMemorySpanExporter, picky: Picky
) -> None:
    answer = await YahooTables(pool, servers.urls).insiders("VOW3.DE", AS_OF)
    assert picky.refused
    assert len(answer.trades) == 3
    (fetch,) = (s for s in exporter.get_finished_spans() if s.name == "fetch yahoo_insiders")
    assert (fetch.attributes or {})[semconv.FETCH_FALLBACK] == "browser"


def yahoo_chart(servers: LiveServers, pool: HttpPool, mode: DataMode = "live") -> YahooChart:
    return YahooChart(pool, servers.urls.yahoo, source="Yahoo chart", data_mode=mode)


@REFUSALS
async def test_prices_too_are_asked_for_once_more_as_a_browser(
    servers: LiveServers, pool: HttpPool, exporter: InMemorySpanExporter, picky: Picky
) -> None:
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            beats += 1
            await asyncio.sleep(0.001)

    heart = asyncio.create_task(beat())
    bars = await yahoo_chart(servers, pool).bars("NVDA", AS_OF)
    heart.cancel()
    assert (len(picky.refused), len(servers.paths("/chart/"))) == (1, 2)
    assert (bars.session, bars.close[-1]) == (AS_OF.date, 190.17)
    assert beats > 2, "the loop stood still while the browser asked"
    (fetch,) = (s for s in exporter.get_finished_spans() if s.name == "fetch yahoo_chart")
    assert (fetch.attributes or {})[semconv.FETCH_FALLBACK] == "browser"


@pytest.mark.parametrize("picky", ["rate_limited"], indirect=True)
async def test_while_the_pool_pauses_after_a_refusal_the_browser_is_still_asked(
    servers: LiveServers, picky: Picky
) -> None:
    """Yahoo's 429 asks for 30 s, which pauses the pool: the next symbol needs no request of it."""
    async with HttpPool(default_policy=HostPolicy(attempts=1)) as pool:
        chart = yahoo_chart(servers, pool)
        first, second = await chart.bars("NVDA", AS_OF), await chart.bars("^GSPC", AS_OF)
    assert len(picky.refused) == 1
    assert (first.session, second.session) == (AS_OF.date, AS_OF.date)


async def test_a_host_that_is_down_is_left_alone_by_the_browser_too(servers: LiveServers) -> None:
    servers.faults["yahoo"] = "unavailable"
    policy = HostPolicy(attempts=1, breaker_failures=1)
    async with HttpPool(default_policy=policy) as pool:
        chart = yahoo_chart(servers, pool)
        for _ in range(2):
            with pytest.raises(SourceUnavailableError):
                await chart.bars("NVDA", AS_OF)
    assert len(servers.paths("/chart/")) == 1


@REFUSALS
async def test_the_embedded_data_is_never_asked_for_as_a_browser(
    servers: LiveServers, pool: HttpPool, picky: Picky
) -> None:
    with pytest.raises(SourceUnavailableError):
        await yahoo_chart(servers, pool, "offline").bars("NVDA", AS_OF)
    assert len(servers.paths("/chart/")) == 1


@pytest.mark.parametrize("picky", ["rate_limited"], indirect=True)
async def test_a_symbol_that_the_browser_does_not_find_is_unknown(
    servers: LiveServers, pool: HttpPool, picky: Picky
) -> None:
    with pytest.raises(UnknownSymbolError, match="ZZZZ"):
        await yahoo_chart(servers, pool).bars("ZZZZ", AS_OF)
    assert picky.refused


async def test_whom_yahoo_refuses_as_a_browser_too_gets_one_error(
    servers: LiveServers, pool: HttpPool
) -> None:
    servers.faults["yahoo"] = "rate_limited"
    with pytest.raises(RateLimitError, match=r"Yahoo chart says .* try later\.$"):
        await yahoo_chart(servers, pool).bars("NVDA", AS_OF)


async def test_a_fault_that_is_no_refusal_is_not_asked_twice(
    servers: LiveServers, pool: HttpPool
) -> None:
    servers.faults["yahoo"] = "unavailable"
    with pytest.raises(SourceUnavailableError, match="503"):
        await yahoo_chart(servers, pool).bars("NVDA", AS_OF)
    assert len(servers.paths("/chart/")) == 1


async def test_a_crumb_that_is_refused_is_renewed_once(
    servers: LiveServers, pool: HttpPool
) -> None:
    tables = YahooTables(pool, servers.urls)
    tables._crumb._crumb = "of yesterday"
    answer = await tables.insiders("VOW3.DE", AS_OF)
    assert len(answer.trades) == 3
    assert len(servers.paths("quoteSummary")) == 2
    assert len(servers.paths("getcrumb")) == 1
    await tables.insiders("VOW3.DE", AS_OF)
    assert len(servers.paths("getcrumb")) == 1


async def test_a_cancelled_question_leaves_no_thread_waiting(
    servers: LiveServers, pool: HttpPool
) -> None:
    servers.faults["yahoo"] = "slow_body"
    request = asyncio.create_task(YahooTables(pool, servers.urls).insiders("VOW3.DE", AS_OF))
    async with asyncio.timeout(PATIENCE_S):
        while not servers.asked:  # noqa: ASYNC110 - it is filled by the server's thread
            await asyncio.sleep(0.01)
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request


async def test_sources_that_want_to_know_who_asks_say_what_to_set(pool: HttpPool) -> None:
    nobody = live_sources(pool, SingleFlightCache(), LiveAccess(BaseUrls()))
    with pytest.raises(SourceUnavailableError, match="set TRADING_GRAPH_SEC_USER_AGENT"):
        await nobody.fundamentals[0].statements("NVDA", AS_OF, "income")
    with pytest.raises(SourceUnavailableError, match="set FRED_API_KEY"):
        await nobody.macro[0].macro("DGS10", AS_OF)


async def test_a_wrong_key_and_an_unknown_series_are_told_apart(
    servers: LiveServers, pool: HttpPool
) -> None:
    live = live_sources(pool, SingleFlightCache(), servers.access)
    with pytest.raises(NoDataError, match="no series NOSUCH"):
        await live.macro[0].macro("NOSUCH", AS_OF)
    other = LiveAccess(servers.urls, None, SecretStr("wrong"))
    with pytest.raises(SourceUnavailableError, match="check FRED_API_KEY"):
        await live_sources(pool, SingleFlightCache(), other).macro[0].macro("VIX", AS_OF)


def test_every_base_url_has_a_server(servers: LiveServers) -> None:
    hosts = [getattr(servers.urls, each.name) for each in fields(BaseUrls)]
    assert len(set(hosts)) == len(hosts)
    assert all("127.0.0.1" in host or "localhost" in host for host in hosts)


def test_every_host_of_a_live_source_has_a_rate() -> None:
    hosts = {urlsplit(getattr(BaseUrls(), each.name)).hostname for each in fields(BaseUrls)}
    yahoos_others = {"query1.finance.yahoo.com", "fc.yahoo.com"}
    assert set(HOST_POLICIES) == hosts | yahoos_others
    assert all(policy.requests_per_s for policy in HOST_POLICIES.values())
    sec = {HOST_POLICIES[host].rate_group for host in ("data.sec.gov", "www.sec.gov")}
    assert sec == {"sec"}
    assert HOST_POLICIES["data.sec.gov"].requests_per_s == 8
