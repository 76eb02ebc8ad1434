"""The turns of a model: never more than the limits in a minute, in order, and none is lost."""

import asyncio
import itertools
import math
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from tests.virtual_time import VirtualTimeLoop, run_virtually
from trading_graph.graph.backend_choice import ModelService
from trading_graph.graph.chat.rate_limits import (
    WINDOW_S,
    Bookings,
    Bound,
    LongWait,
    ModelRate,
    RateLimits,
    SentRequest,
    TimeLeft,
    Turn,
    declared_limits,
    in_words,
    model_rate,
)

MINUTE_S = 60.0

ARRIVALS = st.lists(st.floats(0, 200), min_size=1, max_size=40).map(sorted)


def most_in_a_minute(times: Sequence[float]) -> int:
    return max(
        (sum(1 for each in times if start <= each <= start + MINUTE_S) for start in times),
        default=0,
    )


def turns(
    limits: RateLimits, arrivals: Sequence[float], tokens: Sequence[int], cancelled: set[int]
) -> list[tuple[int, float]]:
    """Who got a turn and when, by arrival; those `cancelled` give up a second after they came."""

    async def play(loop: VirtualTimeLoop) -> list[tuple[int, float]]:
        rate = ModelRate(limits, loop.time)
        times: dict[int, float | None] = {}

        async def request(number: int) -> None:
            await asyncio.sleep(arrivals[number])
            times[number] = None  # Those that sleep for equally long wake in any order.
            await rate.turn(tokens[number])
            times[number] = loop.time()

        requests = [asyncio.create_task(request(number)) for number in range(len(arrivals))]
        for number in cancelled:
            loop.call_at(arrivals[number] + 1, requests[number].cancel)
        await asyncio.gather(*requests, return_exceptions=True)
        return [(number, at) for number, at in times.items() if at is not None]

    return run_virtually(play)


@given(st.integers(1, 7), ARRIVALS, st.data())
def test_no_minute_has_more_requests_than_the_limit(
    most: int, arrivals: list[float], data: st.DataObject
) -> None:
    cancelled = data.draw(st.sets(st.integers(0, len(arrivals) - 1)))
    given_turns = turns(RateLimits(requests=most), arrivals, [0] * len(arrivals), cancelled)
    times = [at for _, at in given_turns]
    assert most_in_a_minute(times) <= most
    # Nobody starves, and nobody overtakes.
    assert times == sorted(times)
    assert set(range(len(arrivals))) - cancelled <= {number for number, _ in given_turns}


@given(ARRIVALS, st.data())
def test_no_minute_has_more_tokens_than_the_limit(
    arrivals: list[float], data: st.DataObject
) -> None:
    most = 100
    tokens = data.draw(st.lists(st.integers(1, 140), min_size=40, max_size=40))
    given_turns = turns(RateLimits(tokens=most), arrivals, tokens, set())
    assert len(given_turns) == len(arrivals)
    for _, start in given_turns:
        window = [tokens[n] for n, at in given_turns if start <= at <= start + MINUTE_S]
        # A request that is larger than the limit goes alone.
        assert sum(window) <= most or len(window) == 1


@given(st.integers(1, 5), st.integers(1, 5))
def test_a_cancelled_wait_gives_its_place_to_the_next(most: int, waiting: int) -> None:
    """Those behind come as early as if the cancelled one had never been there."""
    arrivals = [0.0] * (most + waiting + 1)
    nothing = [0] * len(arrivals)
    all_turns = turns(RateLimits(requests=most), arrivals[:-1], nothing, set())
    with_cancelled = turns(RateLimits(requests=most), arrivals, nothing, {most})
    assert [at for _, at in with_cancelled] == pytest.approx([at for _, at in all_turns])


def test_what_a_request_really_took_counts() -> None:
    async def play(loop: VirtualTimeLoop) -> list[float]:
        rate = ModelRate(RateLimits(tokens=100), loop.time)
        times = []
        for expected, really in ((10, 95), (10, 10), (90, 20), (60, 60)):
            turn = await rate.turn(expected)
            times.append(loop.time())
            turn.settle(really)
        return times

    first, second, third, fourth = run_virtually(play)
    assert first == 0
    assert second - first > MINUTE_S, "95 were taken where 10 were expected"
    assert third == second, "10 and 90 fit into one minute"
    assert fourth == third, "70 of the expected tokens were not taken"


def test_a_pause_holds_everybody_and_then_nobody() -> None:
    async def play(loop: VirtualTimeLoop) -> list[float]:
        rate = ModelRate(RateLimits(), loop.time)
        times: list[float] = []

        async def request() -> None:
            await rate.turn()
            times.append(loop.time())

        rate.pause(40)
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(request())
            await asyncio.sleep(10)
            rate.pause(5)  # A shorter one changes nothing.
        await request()
        return times

    assert run_virtually(play) == pytest.approx([40] * 4)


def test_a_wait_that_does_not_fit_ends_at_once_and_says_when() -> None:
    async def play(loop: VirtualTimeLoop) -> str:
        rate = ModelRate(RateLimits(requests=1), loop.time)
        await rate.turn()
        with pytest.raises(LongWait) as caught:
            await rate.turn(0, lambda: TimeLeft(30, "--agent-budget"))
        assert loop.time() == 0
        with pytest.raises(LongWait):
            await rate.turn(0, lambda: TimeLeft(30, "--agent-budget"))
        # Those who left hold no place.
        await rate.turn(0, lambda: TimeLeft(70, "--agent-budget"))
        return str(caught.value)

    said = run_virtually(play)
    assert "1 requests a minute" in said
    assert "UTC" in said
    assert "30 s are left of --agent-budget" in said


def test_a_wait_is_announced_once_and_only_if_there_is_one() -> None:
    async def play(loop: VirtualTimeLoop) -> list[float]:
        rate = ModelRate(RateLimits(requests=2), loop.time)
        announced: list[float] = []
        for _ in range(3):
            await rate.turn(announce=announced.append)
        return announced

    (wait,) = run_virtually(play)
    assert wait > MINUTE_S


def test_threads_share_one_limit() -> None:
    """Loops of several threads; a wait that nobody can have is what those beyond the limit get."""
    rate = ModelRate(RateLimits(requests=10))
    refused: list[LongWait] = []
    given_turns = itertools.count()

    async def request() -> None:
        try:
            await rate.turn(0, lambda: TimeLeft(1, "--agent-budget"))
            next(given_turns)
        except LongWait as error:
            refused.append(error)

    async def several() -> None:
        await asyncio.gather(*(request() for _ in range(8)))

    threads = [threading.Thread(target=asyncio.run, args=(several(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert next(given_turns) == 10
    assert len(refused) == 22


def test_a_loop_that_died_holds_no_place() -> None:
    rate = ModelRate(RateLimits(requests=1), lambda: 0.0)
    dead = asyncio.new_event_loop()
    dead.run_until_complete(rate.turn())
    waiting = dead.create_task(rate.turn())
    dead.run_until_complete(asyncio.sleep(0))
    dead.close()
    now = 100.0
    rate._now = lambda: now
    assert asyncio.run(asyncio.wait_for(rate.turn(), 1)) is not None
    waiting._log_destroy_pending = False  # type: ignore[attr-defined]


def test_all_runs_of_a_process_share_the_turns_of_a_model() -> None:
    def service(**limits: int) -> ModelService:
        key = SecretStr("k")
        return ModelService("http://x/v1", key, "q", "d", requests_per_minute=limits)

    one, two = service(q=5), service(q=5)
    assert model_rate(one, "q") is model_rate(two, "q")
    assert model_rate(one, "q").limits == RateLimits(requests=5)
    assert model_rate(one, "d") is not model_rate(one, "q")
    assert model_rate(one, "d").limits == RateLimits()
    everywhere = service(**{"*": 7, "q": 5})
    assert model_rate(everywhere, "d").limits == RateLimits(requests=7)
    assert model_rate(everywhere, "q").limits == RateLimits(requests=5)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "1 s"),
        (40, "40 s"),
        (99, "99 s"),
        (365, "6 min 5 s"),
        (600, "10 min"),
        (12000, "3 h 20 min"),
    ],
)
def test_a_wait_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


class CountedRate(ModelRate):
    """Counts how often a request looks whether it is its turn."""

    looks = 0

    def _try(self, ticket: Any) -> Any:
        self.looks += 1
        return super()._try(ticket)


def looks_a_request(waiting: int) -> float:
    """With so many requests in line that all take more than was expected of them."""

    async def play(loop: VirtualTimeLoop) -> float:
        rate = CountedRate(RateLimits(requests=20, tokens=20_000), loop.time)

        async def run() -> None:
            for _ in range(4):
                turn = await rate.turn(800)
                await asyncio.sleep(5)
                turn.settle(1000)

        await asyncio.gather(*(run() for _ in range(waiting)))
        return rate.looks / (4 * waiting)

    return run_virtually(play)


def test_a_long_line_is_not_looked_at_by_all_who_stand_in_it() -> None:
    assert looks_a_request(200) < 2 * looks_a_request(20)


@pytest.mark.parametrize(
    ("limits", "bound"),
    [
        (RateLimits(requests=2, tokens=1000), Bound.REQUESTS),
        (RateLimits(requests=100, tokens=200), Bound.TOKENS),
    ],
)
def test_a_turn_says_which_limit_it_waited_for(limits: RateLimits, bound: Bound) -> None:
    async def play(loop: VirtualTimeLoop) -> list[Turn]:
        rate = ModelRate(limits, loop.time, "m")
        taken = await asyncio.gather(*(rate.turn(100) for _ in range(4)))
        taken[0].settle(150)
        return taken

    taken = run_virtually(play)
    assert [dict(turn.waits) for turn in taken[:2]] == [{}, {}]
    for turn in taken[2:]:
        assert dict(turn.waits) == {bound: pytest.approx(WINDOW_S)}
    assert [turn.amounts for turn in taken] == [{"m requests": 1, "m tokens": 100}] * 4
    assert taken[0].more == {"m tokens": 50}


def test_a_turn_that_waits_for_the_service_says_so() -> None:
    async def play(loop: VirtualTimeLoop) -> tuple[Turn, Turn]:
        rate = ModelRate(RateLimits(), loop.time, "m")
        rate.pause(7)
        return await rate.turn(100), await rate.turn(100)

    held_up, free = run_virtually(play)
    assert dict(held_up.waits) == {Bound.SERVICE: pytest.approx(7)}
    assert held_up.amounts == {"m service": 1}
    assert free.amounts == {}


def test_limits_are_declared_by_model_as_they_hold() -> None:
    service = ModelService(
        None,
        SecretStr("k"),
        "q",
        "d",
        requests_per_minute={"*": 7, "q": 5},
        tokens_per_minute={"d": 900},
    )
    declared = [(each.name, each.capacity, each.window_s) for each in declared_limits(service)]
    assert declared == [
        ("q requests", 5, WINDOW_S),
        ("d requests", 7, WINDOW_S),
        ("d tokens", 900, WINDOW_S),
    ]


BOOKED = st.lists(st.tuples(st.floats(0, 9), st.integers(0, 50), st.integers(0, 1)), max_size=20)


@given(
    BOOKED.map(sorted),
    st.none() | st.integers(1, 8),
    st.none() | st.integers(1, 200),
    st.integers(0, 250),
)
def test_a_request_fits_in_behind_the_last_that_leaves_no_room_for_it(
    booked: list[tuple[float, int, int]], requests: int | None, tokens: int | None, more: int
) -> None:
    sent = [SentRequest(at, each, number) for at, each, number in booked]
    expected = -math.inf
    for first in range(len(sent)):
        rest = sent[first:]
        too_many = requests is not None and 1 + sum(each.requests for each in rest) > requests
        too_large = tokens is not None and more + sum(each.tokens for each in rest) > tokens
        if too_many or too_large:
            expected = sent[first].at + WINDOW_S
    assert Bookings(RateLimits(requests, tokens), sent, WINDOW_S).earliest(more)[0] == expected
