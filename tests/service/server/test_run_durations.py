"""When the next run will have ended, against runs of many distributions on a simulated clock."""

import heapq
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from trading_graph.service.server.run_durations import CHANCE, FIRST_GUESS_S, RunDurations

SEED = 20251127
MEAN_S = 40.0

Draw = Callable[[random.Random], float]

DISTRIBUTIONS: dict[str, Draw] = {
    "uniform": lambda chance: chance.uniform(20, 60),
    "exponential": lambda chance: chance.expovariate(1 / MEAN_S),
    "log-normal": lambda chance: chance.lognormvariate(3.0, 1.0),
    "two kinds": lambda chance: (
        chance.gauss(5, 0.5) if chance.random() < 0.5 else chance.gauss(75, 5)
    ),
}


@dataclass(frozen=True)
class Question:
    """What the durations say at a moment, and what is true."""

    said_s: float
    true_s: float


def ask_often(draw: Draw, at_once: int, questions: int = 800) -> Iterator[Question]:
    """A line that never empties, asked at random moments after 100 runs have ended."""
    chance, durations = random.Random(SEED), RunDurations()
    running = [(draw(chance), 0.0) for _ in range(at_once)]
    heapq.heapify(running)
    ended, now = 0, 0.0
    while questions:
        now += chance.expovariate(3 * at_once / MEAN_S)
        while running[0][0] <= now:
            end, began = heapq.heappop(running)
            durations.add(end - began)
            heapq.heappush(running, (end + draw(chance), end))
            ended += 1
        if ended > 100:
            questions -= 1
            said = durations.next_end_s([now - began for _, began in running])
            yield Question(said, running[0][0] - now)


@pytest.mark.parametrize("at_once", [1, 4, 16])
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_in_four_cases_of_five_a_run_has_ended_by_then(name: str, at_once: int) -> None:
    """Fewer would make people ask in vain, and more would let them wait for nothing."""
    asked = [*ask_often(DISTRIBUTIONS[name], at_once)]
    share = sum(each.true_s <= each.said_s for each in asked) / len(asked)
    assert CHANCE - 0.08 <= share <= CHANCE + 0.12, share


@pytest.mark.parametrize("at_once", [1, 4, 16])
def test_where_all_runs_take_the_same_time_it_is_exact(at_once: int) -> None:
    for each in ask_often(lambda chance: MEAN_S, at_once, 200):
        assert each.said_s == pytest.approx(each.true_s)


def test_the_more_runs_are_under_way_the_sooner_one_has_ended() -> None:
    durations = RunDurations()
    for seconds in range(20, 61):
        durations.add(seconds)
    waits = [durations.next_end_s([0.0] * number) for number in (1, 2, 4, 16)]
    assert waits == sorted(waits, reverse=True)
    assert waits[0] > 1.5 * waits[-1]


def test_what_runs_took_long_ago_no_longer_counts() -> None:
    durations = RunDurations()
    for seconds in (100.0,) * 200 + (10.0,) * 100:
        durations.add(seconds)
    assert durations.next_end_s([0.0]) == 10.0


def test_without_any_run_a_first_guess_counts() -> None:
    assert RunDurations().next_end_s([0.0, 20.0]) == FIRST_GUESS_S - 20


def test_a_run_that_is_older_than_any_is_taken_to_need_half_its_age_again() -> None:
    durations = RunDurations()
    durations.add(40.0)
    assert durations.next_end_s([100.0]) == 50.0
    assert durations.next_end_s([100.0, 35.0]) == 5.0
