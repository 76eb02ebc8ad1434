"""Waits: where they lie, what is subtracted from the work, and the causes that they name."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.otel.watched import BEGIN, CHAT, MS, QUIET, Watched, rows, waited
from trading_graph.otel.trace import SpanTable
from trading_graph.otel.trace.waits import own_waits, waits
from trading_graph.otel.verdict import Cause, Parallelism, Strength, measures, parallelism
from trading_graph.otel.verdict.work import work_below
from trading_graph.otel.vocabularies import witness


def one(said: dict[str, Any], end: float = 100) -> SpanTable:
    """A trace of one call."""
    drawing = Watched()
    drawing.add("call", 0, end, {**QUIET, **said})
    return drawing.trace(end)


def work_of_call(trace: SpanTable) -> list[tuple[float, float]]:
    (row,) = rows(trace)
    work = work_below(trace, row)
    return [((a - BEGIN) / MS, (b - BEGIN) / MS) for a, b in work.intervals]


def test_a_wait_is_taken_from_where_it_was() -> None:
    trace = one(waited("semaphore", (20, 50), (70, 80)))
    assert work_of_call(trace) == [(0, 20), (50, 70), (80, 100)]
    assert work_below(trace, rows(trace)[0]).waited_ns == 40 * MS


def test_waits_without_a_place_come_first() -> None:
    trace = one(waited("semaphore", (20, 50), sum_ms=60))
    assert work_of_call(trace) == [(60, 100)]
    assert work_of_call(one(waited("semaphore", (60, 90), sum_ms=50))) == [(20, 60), (90, 100)]


def test_waits_of_several_tasks_in_one_span_are_no_more_than_their_time() -> None:
    trace = one(waited("lock", (10, 40), (10, 30), (20, 40)))
    assert work_of_call(trace) == [(0, 10), (40, 100)]


@pytest.mark.parametrize(
    "odd",
    [
        [20.0],
        [20.0, 50.0, 60.0],
        [-5.0, 25.0],
        [90.0, 120.0],
        [50.0, 20.0],
        ["20", "50"],
        [True, 31],
        [float("nan"), 30.0],
        [20.0, float("inf")],
        "soon",
        7,
        None,
        {},
        [10.0, 90.0],
    ],
)
def test_places_that_cannot_be_true_are_presumed_at_the_start(odd: Any) -> None:
    said = {witness.WAIT_MS: 30.0, witness.WAIT_KIND: "lock", witness.WAIT_OFFSETS_MS: odd}
    assert work_of_call(one(said)) == [(30, 100)]


@given(
    offsets=st.lists(st.floats(-50, 300), max_size=9),
    wait_ms=st.floats(-10, 500),
)
def test_waits_never_make_work_negative(offsets: list[float], wait_ms: float) -> None:
    trace = one({witness.WAIT_MS: wait_ms, witness.WAIT_OFFSETS_MS: offsets})
    (row,) = rows(trace)
    work = work_below(trace, row)
    assert all(start < end for start, end in work.intervals)
    assert 0 <= work.waited_ns <= 100 * MS
    assert work.total_ns + work.waited_ns == 100 * MS


def test_a_wait_that_two_spans_of_a_task_record_counts_once() -> None:
    drawing = Watched()
    pool = "connection_pool"
    drawing.add("tool", 0, 100, {**QUIET, **waited(pool, (5, 10), (30, 60))})
    drawing.add("call", 20, 90, {**QUIET, **waited(pool, (10, 40))}, parent="tool")
    trace = drawing.trace(100)
    tool, call = rows(trace, "tool", "call")
    own = own_waits(trace)
    assert own[call] == waits(trace)[call]
    assert own[tool] == ((BEGIN + 5 * MS, BEGIN + 10 * MS),)
    assert measures(trace, trace.roots[0]).queue_wait_ns == 35 * MS


def in_turn(kind: str | None, *, name: str = "call") -> SpanTable:
    """Four calls that are open together; each waits until the one before it is done."""
    drawing = Watched()
    for number in range(4):
        said = waited(kind or "", (0, 100 * number)) if number else {}
        if kind is None:
            said.pop(witness.WAIT_KIND, None)
        drawing.add(f"{name} {number}", 0, 100 * (number + 1), {**QUIET, **CHAT, **said})
    return drawing.trace(400)


@pytest.mark.parametrize(
    ("kind", "cause", "words"),
    [
        (None, Cause.CONNECTION_LIMIT, "requests waited for a free connection"),
        ("connection_pool", Cause.CONNECTION_LIMIT, "requests waited for a free connection"),
        ("rate_limit", Cause.CONNECTION_LIMIT, "requests waited for a rate limit"),
        ("semaphore", Cause.SEMAPHORE, "a semaphore lets them in one after the other"),
        ("lock", Cause.SEMAPHORE, "a lock lets them in one after the other"),
        ("limiter", Cause.SEMAPHORE, "a limiter lets them in one after the other"),
        ("gpu", Cause.SEMAPHORE, "a limit (gpu) lets them in one after the other"),
        ("executor", Cause.EXECUTOR, "an executor has too few threads"),
        ("queue", Cause.WORKERS, "a worker takes their items out of a queue in turn"),
        ("task", Cause.TASK, "they wait for each other"),
    ],
)
def test_the_kind_of_wait_names_the_cause(kind: str | None, cause: Cause, words: str) -> None:
    trace = in_turn(kind)
    found = parallelism(trace, rows(trace))
    assert (found.strength, found.causes) == (Strength.SERIAL, (cause,))
    assert words in str(found)


def test_callbacks_that_wait_for_threads_say_nothing_about_the_program() -> None:
    trace = in_turn("callback")
    found = parallelism(trace, rows(trace))
    assert (found.strength, found.causes) == (Strength.SUSPICIOUS, (Cause.CALLBACK,))
    assert "say nothing about the program" in str(found)


def test_callbacks_that_let_two_start_at_a_time_are_no_more_certain() -> None:
    found = two_at_a_time("callback")
    assert (found.strength, found.causes) == (Strength.SUSPICIOUS, (Cause.CALLBACK,))


@pytest.mark.parametrize(("kind", "cause"), [("lock", Cause.SEMAPHORE), ("task", Cause.TASK)])
def test_spans_that_open_after_their_wait_are_held_up_by_what_their_parent_waited_for(
    kind: str, cause: Cause
) -> None:
    """`async with lock:` around the span: the tasks wait in the agent's span."""
    drawing = Watched()
    agent = drawing.add("agent", 0, 400, {**QUIET, **waited(kind, (0, 300), (0, 200), (0, 100))})
    for number in range(4):
        said = {**QUIET, **CHAT}
        drawing.add(f"call {number}", 100 * number, 100 * (number + 1), said, parent=agent)
    trace = drawing.trace(400)
    members = rows(trace, *(f"call {number}" for number in range(4)))
    assert parallelism(trace, members).causes == (cause,)


def test_spans_in_a_row_whose_parent_waited_at_another_time_were_dispatched_in_turn() -> None:
    drawing = Watched()
    agent = drawing.add("agent", 0, 800, {**QUIET, **waited("lock", (400, 800))})
    for number in range(4):
        said = {**QUIET, **CHAT}
        drawing.add(f"call {number}", 100 * number, 100 * (number + 1), said, parent=agent)
    trace = drawing.trace(800)
    members = rows(trace, *(f"call {number}" for number in range(4)))
    assert parallelism(trace, members).causes == (Cause.DISPATCH,)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("executor", "an executor has too few threads (2 at once)"),
        ("semaphore", "a semaphore lets them in one after the other (2 at a time)"),
    ],
)
def test_a_limit_of_two_is_called_what_it_is_and_certain(kind: str, words: str) -> None:
    """Two at a time and of equal length look like batches; the recorded wait says otherwise."""
    found = two_at_a_time(kind)
    assert found.at_once == 2
    assert str(found) == f"serial: {words}"


def two_at_a_time(kind: str) -> Parallelism:
    """The verdict on six calls, of which two start as two end, as their tasks waited for it."""
    drawing = Watched()
    agent = drawing.add("agent", 0, 300, {**QUIET, **waited(kind, (0, 100), (0, 200))})
    for number in range(6):
        start = 100 * (number // 2)
        drawing.add(f"call {number}", start, start + 100, {**QUIET, **CHAT}, parent=agent)
    trace = drawing.trace(300)
    return parallelism(trace, rows(trace, *(f"call {number}" for number in range(6))))
