"""What served a tool is noted where it is used: by kind, with the newest day in it."""

from collections.abc import AsyncIterator, Iterator

import pytest

from trading_graph.toolkit.as_of import AsOf
from trading_graph.toolkit.cache import SingleFlightCache
from trading_graph.toolkit.chart_bars import SESSIONS, history_of
from trading_graph.toolkit.embedded_server import make_app
from trading_graph.toolkit.loopback import LoopbackServer
from trading_graph.toolkit.market_data import AsyncToolkit
from trading_graph.toolkit.pool import HttpPool
from trading_graph.toolkit.records import News, SourceAnswer
from trading_graph.toolkit.source_use import DataKind, collect_uses, list_uses, note_use
from trading_graph.toolkit.tools import TOOLS

DAY = AsOf.parse("2025-11-14")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with LoopbackServer(lambda: make_app(latency_s=0)) as running:
        yield running.url


@pytest.fixture
async def toolkit(server: str) -> AsyncIterator[AsyncToolkit]:
    async with HttpPool() as pool:
        yield AsyncToolkit(pool, SingleFlightCache(), mode="offline", base_url=server)


async def use(toolkit: AsyncToolkit, tool: str, **arguments: object) -> None:
    made = TOOLS[tool].arguments.model_validate({"symbol": "NVDA", **arguments})
    await TOOLS[tool].run(toolkit, DAY, made)


async def test_a_tool_is_served_by_what_it_asks_for(toolkit: AsyncToolkit) -> None:
    with collect_uses() as uses:
        await use(toolkit, "get_ratios")
    kinds = {each.data for each in uses}
    assert {DataKind.PRICES, DataKind.INCOME, DataKind.BALANCE} <= kinds
    for each in uses:
        assert each.subject == "NVDA"
        assert "embedded" in each.source
        assert each.retrieved is not None
        assert each.newest is not None
        assert each.newest <= DAY.date
    prices = next(each for each in uses if each.data is DataKind.PRICES)
    assert (prices.newest, prices.newest_is) == (DAY.date, "last bar")
    income = next(each for each in uses if each.data is DataKind.INCOME)
    assert income.newest_is in ("10-Q filed", "10-K filed")
    assert income.newest is not None
    assert income.newest < DAY.date


async def test_what_the_cache_gives_is_used_too(toolkit: AsyncToolkit) -> None:
    await use(toolkit, "get_prices")
    with collect_uses() as uses:
        await use(toolkit, "get_prices")
    assert [each.data for each in uses] == [DataKind.PRICES]


async def test_what_nobody_collects_is_noted_nowhere(toolkit: AsyncToolkit) -> None:
    with collect_uses() as uses:
        pass
    await use(toolkit, "get_prices")
    assert uses == []


async def test_a_list_of_sources_names_each_once_and_by_kind(toolkit: AsyncToolkit) -> None:
    with collect_uses() as uses:
        await use(toolkit, "get_income_statement")
        await use(toolkit, "get_prices", symbol="^GSPC")
        await use(toolkit, "get_prices")
        await use(toolkit, "get_indicators")
    assert len(uses) > 4
    assert [(each.data, each.subject) for each in list_uses(uses)] == [
        (DataKind.PRICES, "NVDA"),
        (DataKind.PRICES, "^GSPC"),
        (DataKind.INCOME, "NVDA"),
    ]


def test_an_answer_without_parts_has_no_newest() -> None:
    with collect_uses() as uses:
        note_use(News(source="Google News", symbol="NVDA", headlines=()))
    assert uses[0].newest is None


def test_a_new_kind_of_answer_needs_a_kind_of_data() -> None:
    with collect_uses(), pytest.raises(TypeError, match="source_use"):
        note_use(SourceAnswer())


async def test_the_history_is_the_newest_bars_with_their_averages(toolkit: AsyncToolkit) -> None:
    bars = await toolkit.bars("NVDA", DAY)
    history = history_of(bars)
    assert len(history.days) == len(history.close) == len(history.average_50) == SESSIONS
    assert history.days[-1] == "2025-11-14"
    assert history.close == bars.close[-SESSIONS:].tolist()
    for i, (short, long) in enumerate(zip(history.average_20, history.average_50, strict=True)):
        end = len(bars) - SESSIONS + i + 1
        assert short == pytest.approx(bars.close[end - 20 : end].mean())
        assert long == pytest.approx(bars.close[end - 50 : end].mean())


async def test_a_short_history_has_no_average_before_its_window(toolkit: AsyncToolkit) -> None:
    bars = await toolkit.bars("NVDA", DAY)
    first = history_of(bars.until(bars.day(29)))
    assert len(first.days) == 30
    assert first.average_50 == [None] * 30
    assert [each is None for each in first.average_20] == [True] * 19 + [False] * 11
    one = history_of(bars.until(bars.day(0)))
    assert one.average_20 == [None]
    assert one.days == [bars.day(0).isoformat()]
    assert one.last(5) == one
