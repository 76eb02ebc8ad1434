"""The circuit breaker: it opens after failures in a row, and lets exactly one probe through."""

import pytest

from tests.toolkit.upstream import Clock
from trading_graph.toolkit.circuit_breaker import BreakerState, CircuitBreaker, Permit


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> CircuitBreaker:
    return CircuitBreaker(failures=3, open_s=30, open_max_s=100, clock=clock)


def _admit(breaker: CircuitBreaker) -> Permit:
    permit = breaker.admit()
    assert permit is not None
    return permit


def _state(breaker: CircuitBreaker) -> BreakerState:
    return breaker.state


def _fail(breaker: CircuitBreaker, times: int = 1) -> bool:
    return [breaker.report_failure(_admit(breaker)) for _ in range(times)][-1]


def test_it_opens_with_the_third_failure_in_a_row_and_lets_nothing_through(
    breaker: CircuitBreaker,
) -> None:
    assert not _fail(breaker, 2)
    assert _state(breaker) is BreakerState.CLOSED
    assert _fail(breaker)
    assert _state(breaker) is BreakerState.OPEN
    assert breaker.refused_for_s == 30
    assert breaker.admit() is None


def test_a_success_starts_the_count_anew(breaker: CircuitBreaker) -> None:
    for _ in range(3):
        _fail(breaker, 2)
        breaker.report_success(_admit(breaker))
    assert _state(breaker) is BreakerState.CLOSED


def test_half_open_it_lets_one_probe_through_and_no_second_one(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    _fail(breaker, 3)
    clock.now = 29.9
    assert breaker.admit() is None
    clock.now = 30.0
    assert _state(breaker) is BreakerState.HALF_OPEN
    probe = _admit(breaker)
    assert probe.probe
    assert [breaker.admit() for _ in range(50)] == [None] * 50
    breaker.report_success(probe)
    assert _state(breaker) is BreakerState.CLOSED
    assert not _admit(breaker).probe
    assert not _fail(breaker, 2), "the old failures are forgotten"


def test_each_failed_probe_doubles_the_time_up_to_the_cap(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    _fail(breaker, 3)
    waits = []
    for _ in range(4):
        waits.append(breaker.refused_for_s)
        clock.now += breaker.refused_for_s
        assert breaker.report_failure(_admit(breaker)), "one failed probe is enough"
    assert waits == [30, 60, 100, 100]
    clock.now += 100
    breaker.report_success(_admit(breaker))
    _fail(breaker, 3)
    assert breaker.refused_for_s == 30, "after a success it starts from the beginning"


def test_an_abandoned_probe_makes_room_for_the_next(breaker: CircuitBreaker, clock: Clock) -> None:
    """A cancelled probe must not leave the host refused for ever."""
    _fail(breaker, 3)
    clock.now = 30.0
    breaker.release(_admit(breaker))
    assert _state(breaker) is BreakerState.HALF_OPEN
    assert _admit(breaker).probe


def test_answers_to_what_was_asked_before_it_opened_change_nothing(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    early = [_admit(breaker) for _ in range(10)]
    _fail(breaker, 3)
    clock.now = 10.0
    assert not breaker.report_failure(early[0])
    breaker.report_success(early[1])
    breaker.release(early[2])
    assert _state(breaker) is BreakerState.OPEN
    assert breaker.refused_for_s == 20
    clock.now = 30.0
    probe = _admit(breaker)
    breaker.release(early[3])
    assert breaker.admit() is None, "the probe is still under way"
    breaker.report_success(probe)


def test_a_host_that_names_a_time_is_left_alone_at_once_and_for_that_long(
    breaker: CircuitBreaker,
) -> None:
    assert breaker.report_failure(_admit(breaker), pause_s=70)
    assert breaker.refused_for_s == 70


def test_not_even_a_host_can_ask_for_more_than_the_cap(breaker: CircuitBreaker) -> None:
    assert breaker.report_failure(_admit(breaker), pause_s=86_400)
    assert breaker.refused_for_s == 100


def test_without_a_limit_it_never_opens(clock: Clock) -> None:
    breaker = CircuitBreaker(None, 30, 100, clock)
    for _ in range(100):
        assert not breaker.report_failure(_admit(breaker), pause_s=70)
    assert _state(breaker) is BreakerState.CLOSED
