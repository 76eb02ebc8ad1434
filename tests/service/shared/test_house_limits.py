"""The limits of a house: no window holds more, whichever process sends, dies or is cut off."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.postgres import PostgresServer
from tests.service.shared.worker_program import REQUESTS, TOKENS, booked, limit_of
from tests.service.shared.workers import counting_server, worker
from trading_graph.graph.chat.house_rate import HouseRate
from trading_graph.graph.chat.rate_limits import Bound, LongWait, RateLimits, TimeLeft
from trading_graph.service.shared.house import open_house
from trading_graph.service.shared.limits import Share
from trading_graph.service.shared.tables import SLOTS
from trading_graph.toolkit.house import Hold, HouseLimit, Place
from trading_graph.toolkit.pool import HttpPool
from trading_graph.toolkit.rate_limits import HostPolicy


def most_in_a_window(by_slot: Counter[int]) -> int:
    return max(
        sum(amount for slot, amount in by_slot.items() if first <= slot < first + SLOTS)
        for first in by_slot
    )


async def sent(limit: HouseLimit, tokens: int, place: Place) -> Place:
    """Where a request stands when it may be sent; it looks often, since its wait may end early."""
    while place.wait_s > 0:
        await asyncio.sleep(0.02)
        place = await limit.book(tokens, place)
    return place


async def test_two_processes_send_no_more_than_the_limit_in_any_window(postgres_url: str) -> None:
    async with counting_server() as server:
        workers = [await worker(postgres_url, server.url, "send", 40) for _ in range(2)]
        for each in workers:
            await each.ends_well()
    assert server.requests.total() == 80
    assert most_in_a_window(server.requests) <= REQUESTS
    assert most_in_a_window(server.tokens) <= TOKENS
    shares = (
        most_in_a_window(server.requests) / REQUESTS,
        most_in_a_window(server.tokens) / TOKENS,
    )
    assert max(shares) > 0.8, "a limit that nothing reaches proves nothing"


async def test_what_a_request_took_beyond_its_expectation_counts(postgres_url: str) -> None:
    async with open_house(postgres_url) as house:
        limit = house.limits.limit("m", requests=None, tokens=100, window_s=600.0)
        first = await limit.book(10)
        limit.settle(first, 80)
        while (second := await limit.book(20)).wait_s == 0:
            limit.settle(second, -20)  # Given back: so it is the first that fills the limit.
            await asyncio.sleep(0.01)
        assert second.hold is Hold.TOKENS
        limit.leave(second)
        limit.settle(first, -80)
        while (third := await limit.book(20)).wait_s > 0:
            limit.leave(third)
            await asyncio.sleep(0.01)


async def test_a_pause_holds_every_process(postgres_url: str) -> None:
    async with open_house(postgres_url) as one, open_house(postgres_url) as other:
        limit = one.limits.limit("m", requests=None, window_s=60.0)
        assert (await limit.book()).wait_s == 0
        limit.pause(500.0)
        assert (await limit.book()).hold is Hold.SERVICE
        place = await other.limits.limit("m", requests=None, window_s=60.0).book()
        assert place.hold is Hold.SERVICE
        assert 400 < place.wait_s <= 500


async def test_who_gives_up_or_is_cancelled_takes_nothing(postgres_url: str) -> None:
    async with open_house(postgres_url) as house:
        limit = house.limits.limit("m", requests=2, window_s=600.0)
        await limit.book()
        for _ in range(20):
            asking = asyncio.create_task(limit.book())
            await asyncio.sleep(0)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
        while (place := await limit.book()).wait_s > 0:
            limit.leave(place)
            await asyncio.sleep(0.01)


async def test_nobody_is_sent_before_those_ahead(postgres_url: str) -> None:
    async with open_house(postgres_url) as one, open_house(postgres_url) as other:
        limits = [
            house.limits.limit("m", requests=None, tokens=100, window_s=600.0)
            for house in (one, other)
        ]
        await limits[0].book(60)
        large = await limits[0].book(90)
        small = await limits[1].book(10)
        assert large.wait_s > 0
        assert small.wait_s > 0, "it would fit in, and the large one would never"
        limits[0].leave(large)
        await sent(limits[1], 10, small)


async def test_a_dead_process_holds_its_place_in_line_no_longer_than_its_lapse(
    postgres_url: str, postgres: PostgresServer
) -> None:
    database = postgres_url.rpartition("/")[2]
    dead = await worker(postgres_url, "-", "wait", 5)
    try:
        place = (await dead.says())["place"]
    finally:
        await dead.kill()
    # As if it had not been heard of for a minute; nor has what was sent its window any more.
    for command in (
        "UPDATE trading_graph.waiting SET seen = seen - 60",
        "UPDATE trading_graph.bookings SET slot = slot - 200",
    ):
        await asyncio.to_thread(postgres.sql, command, database)
    async with open_house(postgres_url) as house:
        limit = house.limits.limit("long", requests=5, window_s=600.0)
        assert (await limit.book()).wait_s == 0
    line = await asyncio.to_thread(postgres.sql, "SELECT id FROM trading_graph.waiting", database)
    assert str(place) not in line.split()


async def test_without_its_database_each_worker_keeps_its_share_until_it_is_back(
    postgres_server: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    url = await asyncio.to_thread(postgres_server.new_database)
    async with open_house(url), open_house(url) as house:
        limit = house.limits.limit("m", requests=10, window_s=600.0)
        first = await limit.book()
        assert first.wait_s == 0
        await asyncio.to_thread(postgres_server.stop)
        number = 1
        while (place := await limit.book()).wait_s == 0:
            number += 1
        assert number == 5, "half of the limit, with what was sent before"
        assert "keeps 1/2 of each limit" in caplog.text
        await asyncio.to_thread(postgres_server.start)
        assert (await sent(limit, 0, place)).id > 0, "booked in the house again"


async def test_a_model_s_turns_are_those_of_the_house(postgres_url: str) -> None:
    async with open_house(postgres_url) as house:
        limits = RateLimits(requests=2)
        shared = house.limits.limit("m", requests=2, window_s=0.5)
        rate = HouseRate(limits, "gpt", shared)
        announced: list[float] = []
        turns = [await rate.turn(announce=announced.append) for _ in range(3)]
        assert [set(turn.waits) for turn in turns] == [set(), set(), {Bound.REQUESTS}]
        assert len(announced) == 1
        assert turns[2].amounts == {"gpt requests": 1}
        rate.pause(900.0)
        with pytest.raises(LongWait, match="may be asked again within 2 requests a minute"):
            await rate.turn(left=lambda: TimeLeft(30.0, "--max-seconds"))


async def test_a_host_s_rate_is_the_house_s(postgres_url: str) -> None:
    async with counting_server() as server, open_house(postgres_url) as house:
        policies = {"127.0.0.1": HostPolicy(requests_per_s=20, burst=2, rate_group="g")}
        async with HttpPool(policies=policies, house=house.limits) as pool:
            url = f"{server.url}/sent?slot=1&tokens=0"
            await asyncio.gather(*(pool.get_bytes(url) for _ in range(6)))
        assert server.requests.total() == 6
        place = await house.limits.limit("g", requests=2, window_s=0.1).book()
        assert place.id > 0


@given(
    requests=st.integers(1, 12),
    tokens=st.one_of(st.none(), st.integers(50, 400)),
    workers=st.integers(1, 4),
    gaps=st.lists(st.tuples(st.floats(0, 5), st.integers(0, 3), st.integers(1, 50)), max_size=60),
)
def test_the_shares_of_all_workers_are_within_the_limit(
    requests: int, tokens: int | None, workers: int, gaps: Sequence[tuple[float, int, int]]
) -> None:
    window_s = 10.0
    shares = [Share(RateLimits(requests, tokens), window_s) for _ in range(workers)]
    now, sent = 0.0, []
    for gap, number, amount in gaps:
        now += gap
        place = shares[number % workers].take(now, amount, workers)
        assert place.wait_s >= 0
        if place.wait_s == 0:
            sent.append((now, amount))
    for window in windows(sent, window_s):
        assert len(window) <= max(requests, workers)  # Each sends at least one now and then.
        if tokens is not None and tokens >= 50 * workers:
            assert sum(window) <= tokens


def test_a_share_remembers_one_window() -> None:
    share = Share(RateLimits(requests=5), 10.0)
    for second in range(1000):
        share.add(float(second), tokens=1)
    assert len(share._sent) == 10


def windows(sent: Sequence[tuple[float, int]], window_s: float) -> Iterator[list[int]]:
    for start, _ in sent:
        yield [amount for at, amount in sent if start <= at < start + window_s]


async def test_many_at_once_are_booked_in_few_round_trips(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_house(postgres_url) as house:
        limit = limit_of(house)
        database = limit._database  # type: ignore[attr-defined]
        trips = itertools.count()
        ask = database.ask

        async def counted(query: str, values: object = None) -> list[tuple[object, ...]]:
            next(trips)
            return await ask(query, values)  # type: ignore[no-any-return]

        monkeypatch.setattr(database, "ask", counted)
        await asyncio.gather(*(booked(limit, 1) for _ in range(REQUESTS)))
        assert next(trips) <= 2
