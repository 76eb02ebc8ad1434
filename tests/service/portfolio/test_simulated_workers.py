"""The simulation of workers: it keeps limits as the house does, and real workers do the like."""

import asyncio
import heapq
import itertools
import math
import random
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from tests.bench.evening import (
    AT_ONCE,
    LINE,
    Evening,
    ModelLine,
    Process,
    VirtualClock,
    WorkLine,
    play,
)
from tests.bench.scripts import Agent, Call, Script
from tests.bench.simulate_workers import (
    House,
    Taken,
    WorkerFigures,
    agreement,
    empty_s,
    real,
    simulated,
)
from tests.bench.worker_runs import make_portfolio
from trading_graph.graph.chat.rate_limits import WINDOW_S, RateLimits
from trading_graph.service.shared.house import open_house
from trading_graph.service.shared.tables import SLOTS

WINDOW = 30.0
LINE_OF_WORK = WorkLine(between_s=0.01, empty_s=(0.1, 0.2, 0.4))
LIMITS = RateLimits(requests=60, tokens=40_000)
_ROUNDED = 1e-6
LOOK_S = 8.0
"""How often a request in line looks; after 10 s it would lose its place."""


def script(seconds: float, calls: int = 2, tokens: int = 800) -> Script:
    """A run of two agents at once, and then a third."""
    spoken = (Call(0.2, "m", seconds, tokens, tokens + 100),) * calls
    agents = (Agent((), 0, spoken, 0.1), Agent((), 0.5, spoken, 0), Agent((0, 1), 0.1, spoken, 0))
    return Script(agents, 0.3, 0.0)


def figures(*scripts: Script, line: WorkLine = LINE_OF_WORK) -> WorkerFigures:
    nothing = Taken(0.0, 1.0)
    return WorkerFigures(scripts, line, 9, 12, 60, 100, nothing, nothing, nothing)


def houses(evening: Evening, numbers: Sequence[int], line: WorkLine = LINE_OF_WORK) -> list[House]:
    """What so many workers each do."""
    each = figures(*evening.scripts, line=line)
    return [simulated(each, evening, number) for number in numbers]


@pytest.mark.parametrize("workers", [1, 4, 30])
@pytest.mark.parametrize("limits", [LIMITS, replace(LIMITS, requests=None), RateLimits(25)])
def test_no_window_has_more_than_a_limit(workers: int, limits: RateLimits) -> None:
    """A call is sent only where it fits in with all that was sent in the window before it."""
    scripts = (script(4.0), script(9.0, 3, 2500), script(1.0, 1, 100))
    evening = Evening(scripts, 60, 4 * workers, {"m": limits}, LINE_OF_WORK)
    played = play(evening)
    sent = played.sent["m"]
    assert sum(each.requests for each in sent) == len(played.calls)
    for number, call in enumerate(sent):
        if not call.requests:
            continue
        window = [each for each in sent[: number + 1] if each.at > call.at - WINDOW_S + _ROUNDED]
        assert sum(each.requests for each in window) <= (limits.requests or math.inf)
        assert sum(each.tokens for each in window) <= (limits.tokens or math.inf)


def test_more_workers_are_never_slower_and_no_faster_than_the_limit() -> None:
    evening, numbers = Evening((script(6.0),), 160, 2, {"m": LIMITS}), (1, 2, 3, 4, 6, 10, 20, 40)
    found = houses(evening, numbers)
    seconds = [each.seconds for each in found]
    for fewer, more in itertools.pairwise(seconds):
        assert more <= fewer * 1.02 + 1
    bounds = evening.bounds()
    least = max(seconds for name, seconds in bounds.items() if name != AT_ONCE)
    assert seconds[-1] == pytest.approx(least, rel=0.1)
    assert min(seconds) >= 0.97 * least, "a call's answer is not counted before it is there"
    assert (found[0].binds, found[-1].binds) == (AT_ONCE, "m: tokens a minute")
    one, ten = houses(replace(evening, limits={}), (1, 10))
    assert ten.seconds < 0.15 * one.seconds


def test_a_line_that_fills_slowly_is_what_many_workers_wait_for() -> None:
    slow = replace(LINE_OF_WORK, between_s=2.0)
    one, many = houses(Evening((script(6.0),), 200, 2, {}), (1, 51), slow)
    assert (one.binds, many.binds) == (AT_ONCE, LINE)
    assert many.seconds >= 199 * slow.between_s


def test_what_workers_lose_between_runs_is_what_the_line_takes() -> None:
    """One place makes all runs, and is empty before each."""
    evening, runs = Evening((script(3.0),), 200, 1, {}), 200
    without = play(evening).seconds
    lost = play(replace(evening, line=LINE_OF_WORK)).seconds - without
    assert lost / runs == pytest.approx(statistics.mean(LINE_OF_WORK.empty_s), rel=0.1)


def test_an_evening_is_the_same_whenever_it_is_played() -> None:
    evening = Evening((script(6.0), script(2.0)), 50, 6, {"m": LIMITS}, LINE_OF_WORK)
    assert play(evening, seed=1) == play(evening, seed=1)
    assert play(evening, seed=1).runs != play(evening, seed=2).runs


def test_a_place_is_empty_from_an_end_to_the_begin_that_follows() -> None:
    seconds = [(0, 10), (0, 12), (11, 20), (14, 21)]
    runs = [(begin * 10**9, end * 10**9) for begin, end in seconds]
    assert empty_s(runs, places=2) == (1, 2)
    assert empty_s(runs, places=4) == (0,), "none followed another"


def test_idle_workers_take_of_the_database_what_their_runs_do_not() -> None:
    taken = Taken(idle_s=3.0, run=50.0)
    assert taken.a_second(workers=4, runs=20, seconds=100.0) == 4 * 3.0 + 20 * 50.0 / 100.0


# --- the limits of the house, which are functions of the database ---


def requests(seed: int) -> list[tuple[float, int, int]]:
    """When each comes, the tokens that are expected of it, and what its answer takes beyond."""
    chance = random.Random(seed)
    times = sorted(chance.uniform(0, 30) for _ in range(40))
    return [(at, chance.randint(100, 3000), chance.choice((0, 400))) for at in times]


def turns_of_simulation(asked: list[tuple[float, int, int]], limits: RateLimits) -> list[float]:
    """When each is sent by the simulation."""
    clock = VirtualClock()
    line = ModelLine(clock, limits, WINDOW, WINDOW / SLOTS)
    sent = [math.inf] * len(asked)

    def ask(number: int, at: float, tokens: int, more: int) -> Process:
        yield at
        line.ask(tokens)
        yield None
        sent[number] = clock.now
        yield 1.0
        line.settle(more)

    for number, each in enumerate(asked):
        clock.start(ask(number, *each))
    clock.run()
    return sent


def turns_of_house(
    asked: list[tuple[float, int, int]], limits: RateLimits, database: psycopg.Connection
) -> list[float]:
    """When each is sent by the functions of the database, whose clock is set."""
    sent = [math.inf] * len(asked)
    due: list[tuple[float, int, int]] = [(at, n, -1) for n, (at, _, _) in enumerate(asked)]
    heapq.heapify(due)
    settling: dict[tuple[float, int], int] = {}
    while due:
        now, number, place = heapq.heappop(due)
        database.execute("SELECT set_config('house.now', %s, false)", (repr(now),))
        if (now, number) in settling:
            more = settling.pop((now, number))
            database.execute("SELECT trading_graph.correct('m', %s, 0, 0, %s)", (WINDOW, more))
            continue
        values = (limits.requests, limits.tokens, WINDOW, [place], [asked[number][1]])
        row = database.execute(
            "SELECT * FROM trading_graph.book('m', %s, %s, %s, %s, %s)", values
        ).fetchone()
        assert row is not None
        place, wait_s, _ = row
        if wait_s > 0:
            heapq.heappush(due, (now + min(wait_s, LOOK_S), number, place))
            continue
        sent[number] = now
        if asked[number][2]:
            settling[now + 1.0, number] = asked[number][2]
            heapq.heappush(due, (now + 1.0, number, -1))
    return sent


@pytest.fixture
def house_of_tests(postgres_url: str) -> Iterator[psycopg.Connection]:
    """A database with the limits of a house, and a clock that a test sets."""

    async def make() -> None:
        async with open_house(postgres_url):
            pass

    asyncio.run(make())
    with psycopg.connect(postgres_url, autocommit=True) as database:
        database.execute(
            "CREATE OR REPLACE FUNCTION trading_graph.now_s() RETURNS double precision "
            "LANGUAGE sql VOLATILE AS "
            "$$ SELECT current_setting('house.now')::double precision $$"
        )
        yield database


@pytest.mark.parametrize(
    "limits", [RateLimits(tokens=20_000), RateLimits(requests=12), RateLimits(15, 30_000)]
)
def test_a_limit_gives_turns_when_the_house_does(
    limits: RateLimits, house_of_tests: psycopg.Connection
) -> None:
    asked = requests(seed=5)
    simulated_s = turns_of_simulation(asked, limits)
    house_s = turns_of_house(asked, limits, house_of_tests)
    assert max(house_s) > 1.5 * asked[-1][0], "the limit is what they wait for"
    assert simulated_s == pytest.approx(house_s, abs=WINDOW / SLOTS)


@pytest.mark.full
@pytest.mark.alone
def test_two_real_workers_do_what_was_simulated_within_a_tenth(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for workers, folder in enumerate((one, two), 1):
        folder.mkdir()
        make_portfolio(folder, workers, ticker_days=8, at_once=2, latency_s=2.0)
    measured = WorkerFigures.of(one)
    evening = Evening(measured.scripts, 8, 2, {})
    for name, (expected, found) in agreement(simulated(measured, evening, 2), real(two)).items():
        assert expected == pytest.approx(found, rel=0.1), name
