"""Intervals of rates and means: against published values, brute force, and noise of known size."""

import datetime
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from trading_graph.service.portfolio.results.intervals import (
    Stay,
    block_length,
    independent,
    mean_interval,
    wilson,
)

START = datetime.date(2025, 1, 1)


def day(number: int) -> datetime.date:
    return START + datetime.timedelta(number)


@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"),
    [
        # Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (29, 29, 0.8830, 1.0),
    ],
)
def test_wilson_s_interval(hits: int, trials: int, low: float, high: float) -> None:
    found = wilson(hits / trials, trials)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-4)


def test_no_trials_have_no_interval_and_fewer_have_a_wider_one() -> None:
    assert wilson(0.5, 0) is None
    many, few = wilson(0.6, 50), wilson(0.6, 5)
    assert many is not None
    assert few is not None
    assert few.low < many.low < 0.6 < many.high < few.high


@given(
    st.lists(st.tuples(st.sampled_from("AB"), st.integers(0, 12), st.integers(0, 5)), max_size=8)
)
@settings(max_examples=examples(100))
def test_positions_that_do_not_overlap_are_counted_as_brute_force_counts(
    drawn: list[tuple[str, int, int]],
) -> None:
    stays = [Stay(symbol, day(start), day(start + length)) for symbol, start, length in drawn]

    def apart(one: Stay, other: Stay) -> bool:
        return one.symbol != other.symbol or one.end < other.start or other.end < one.start

    most = max(
        size
        for size in range(len(stays) + 1)
        if any(
            all(apart(one, other) for one, other in combinations(some, 2))
            for some in combinations(stays, size)
        )
    )
    assert independent(stays) == most


def test_a_block_takes_the_dates_whose_positions_overlap() -> None:
    weekly = {day(7 * n): [Stay("A", day(7 * n + 1), day(7 * n + 20))] for n in range(8)}
    # Entered a day later and held for 19: those of the next two weeks are entered before its end.
    assert block_length(weekly) == 3
    apart = {day(7 * n): [Stay("A", day(7 * n + 1), day(7 * n + 3))] for n in range(8)}
    assert block_length(apart) == 1


def test_the_seed_decides_and_noise_of_a_known_size_is_found() -> None:
    random = np.random.default_rng(4)
    values = {day(n): [float(random.normal(0.01, 0.05))] for n in range(400)}
    found = mean_interval(values, 1, seed=1)
    assert found == mean_interval(values, 1, seed=1)
    assert found != mean_interval(values, 1, seed=2)
    assert found is not None
    # A mean of 400 values of this size has a standard error of 0.0025.
    assert found.high - found.low == pytest.approx(2 * 1.96 * 0.05 / 20, rel=0.15)


def test_blocks_see_that_neighbours_repeat_each_other() -> None:
    random = np.random.default_rng(4)
    shocks = random.normal(0, 1, 200)
    values = {day(n): [float(shocks[n // 6])] for n in range(1200)}
    single, blocks = mean_interval(values, 1, seed=1), mean_interval(values, 6, seed=1)
    assert single is not None
    assert blocks is not None
    # Of six dates in a row k are of one shock and 6 - k of the next: the variance of their sum is
    # the mean of k^2 + (6 - k)^2, where that of single values is 6.
    ratio = (blocks.high - blocks.low) / (single.high - single.low)
    variance = np.mean([k**2 + (6 - k) ** 2 for k in range(6)]) / 6
    assert ratio == pytest.approx(variance**0.5, rel=0.15)


def test_dates_are_drawn_whole() -> None:
    values = {day(n): [1.0, -1.0, 0.5] for n in range(10)}
    found = mean_interval(values, 2, seed=1)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((1 / 6, 1 / 6))


def test_too_few_dates_have_no_interval() -> None:
    assert mean_interval({day(0): [1.0, 2.0]}, 1, seed=1) is None
    nine, eleven = ({day(n): [float(n)] for n in range(size)} for size in (9, 11))
    assert mean_interval(nine, 1, seed=1) is None
    assert mean_interval(eleven, 1, seed=1) is not None
    assert mean_interval(eleven, 4, seed=1) is None
    assert mean_interval(eleven | {day(11): [0.0]}, 4, seed=1) is not None
