"""What must hold of any run that is played again with changes."""

import random
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.examples import examples
from tests.otel.diagnosis.traces import BEGIN, MS, Drawn, drawn, random_traces, row
from trading_graph.otel.diagnosis import (
    Edits,
    Fix,
    LimitTo,
    Model,
    Parallelise,
    Remove,
    RemoveBarrier,
    Schedule,
    Share,
    Shorten,
    ShortenBy,
    Simulation,
    call_tree,
    simulate,
    slack_ns,
)
from trading_graph.otel.diagnosis.actions import with_actions
from trading_graph.otel.trace import Link, SpanTable, SpanValues, TraceBuilder, semconv

models = st.sampled_from(list(Model))


def schedule_of(trace: SpanTable) -> Schedule:
    return Schedule(call_tree(trace, trace.roots[0]))


def walls(root: Drawn, *actions: Callable[[SpanTable], Fix]) -> int:
    """Milliseconds that a drawn run is likely to take with the actions."""
    trace = drawn(root)
    made = [make(trace) for make in actions]
    return simulate(schedule_of(trace), made).wall_ns // MS


@given(random_traces(), models)
@settings(max_examples=examples(300))
def test_no_action_changes_nothing(trace: SpanTable, model: Model) -> None:
    schedule = schedule_of(trace)
    tree = schedule.tree
    # Edits that say what is so anyway: every family is played.
    edits = Edits(like={at: at for at in tree.rows if at != tree.run})
    played = Simulation(schedule, edits, model)
    assert played.wall_ns == tree.wall_ns
    start, end = played.times()
    assert [start[at] for at in tree.rows] == [tree.start[at] for at in tree.rows]
    assert [end[at] for at in tree.rows] == [tree.end[at] for at in tree.rows]


@given(random_traces(), models, st.randoms(use_true_random=False))
@settings(max_examples=examples(300))
def test_shortening_never_lengthens(trace: SpanTable, model: Model, rng: random.Random) -> None:
    schedule = schedule_of(trace)
    rows = rng.sample(schedule.tree.rows, rng.randint(1, len(schedule.tree.rows)))
    actions = [Shorten(at, rng.randint(0, schedule.tree.duration(at))) for at in rows]
    assert simulate(schedule, actions, model).wall_ns <= schedule.tree.wall_ns


@given(random_traces(), st.integers(0, 10**6))
@settings(max_examples=examples(400))
def test_a_span_gains_at_most_its_time_on_the_path(trace: SpanTable, pick: int) -> None:
    schedule = schedule_of(trace)
    at = schedule.tree.rows[pick % len(schedule.tree.rows)]
    gain = schedule.tree.wall_ns - simulate(schedule, [Shorten(at, 0)], Model.OBSERVED).wall_ns
    assert 0 <= gain <= schedule.path.total_ns.get(at, 0)


@given(random_traces(), st.integers(0, 10**6))
@settings(max_examples=examples(400))
def test_what_has_slack_gains_nothing_and_costs_nothing_within_it(
    trace: SpanTable, pick: int
) -> None:
    schedule = schedule_of(trace)
    tree = schedule.tree
    slack = slack_ns(schedule)
    rows = [at for at in tree.rows if slack.get(at, 0) > 0]
    assume(rows)
    at = rows[pick % len(rows)]
    removed = simulate(schedule, [Shorten(at, 0)], Model.OBSERVED)
    assert removed.wall_ns == tree.wall_ns
    longer = simulate(schedule, [Shorten(at, tree.duration(at) + slack[at])], Model.OBSERVED)
    assert longer.wall_ns == tree.wall_ns
    beyond = simulate(schedule, [Shorten(at, tree.duration(at) + slack[at] + 5)], Model.OBSERVED)
    assert beyond.wall_ns > tree.wall_ns


@given(random_traces(), st.randoms(use_true_random=False))
@settings(max_examples=examples(200))
def test_the_freest_model_gains_at_least_as_much_as_the_observed(
    trace: SpanTable, rng: random.Random
) -> None:
    schedule = schedule_of(trace)
    rows = rng.sample(schedule.tree.rows, rng.randint(1, len(schedule.tree.rows)))
    actions = [Shorten(at, rng.randint(0, schedule.tree.duration(at))) for at in rows]
    observed, freest = (
        simulate(schedule, actions, model).wall_ns for model in (Model.OBSERVED, Model.FREEST)
    )
    assert freest <= observed


@given(random_traces(), st.randoms(use_true_random=False))
@settings(max_examples=examples(200))
def test_the_order_of_independent_actions_does_not_matter(
    trace: SpanTable, rng: random.Random
) -> None:
    schedule = schedule_of(trace)
    rows = rng.sample(schedule.tree.rows, rng.randint(1, len(schedule.tree.rows)))
    actions = [Shorten(at, schedule.tree.duration(at) // 2) for at in rows]
    there = simulate(schedule, actions).wall_ns
    rng.shuffle(actions)
    assert simulate(schedule, actions).wall_ns == there


def agents(*rows: Drawn) -> Drawn:
    return ("run", 0, 100, rows)


def test_parallel_calls_start_with_the_first_and_all_are_waited_for() -> None:
    run = agents(("a", 10, 30, []), ("b", 30, 60, []), ("c", 62, 70, []), ("after", 75, 95, []))
    assert walls(run, lambda t: Parallelise(tuple(row(t, n) for n in "abc"))) == 70


def test_only_a_limited_number_runs_at_once() -> None:
    run = agents(*((name, 10 + 20 * n, 30 + 20 * n, []) for n, name in enumerate("abcd")))

    def at_once(trace: SpanTable) -> Fix:
        return Parallelise(tuple(row(trace, name) for name in "abcd"))

    def two(trace: SpanTable) -> Fix:
        return LimitTo(tuple(row(trace, name) for name in "abcd"), 2)

    assert walls(run, at_once) == 40
    assert walls(run, at_once, two) == 60


def test_who_asks_while_another_fetches_ends_with_it() -> None:
    """Counted as nothing, fetches that overlap would be predicted too good."""
    run: Drawn = ("run", 0, 100, [("first", 0, 60, []), ("second", 20, 90, [])])
    assert walls(run, lambda t: Share((row(t, "first"), row(t, "second")), MS)) == 70


def test_who_asks_later_pays_a_look_up() -> None:
    run = agents(("first", 0, 30, []), ("second", 40, 90, []))
    assert walls(run, lambda t: Share((row(t, "first"), row(t, "second")), MS)) == 51


def test_an_attempt_that_failed_goes_with_the_pause_after_it() -> None:
    run = agents(("attempt", 5, 30, []), ("again", 50, 80, []), ("after", 80, 100, []))
    assert walls(run, lambda t: Remove((row(t, "attempt"),))) == 55


def test_what_is_below_a_shorter_span_is_scaled_with_it() -> None:
    trace = drawn(("run", 0, 100, [("a", 20, 60, [("inside", 30, 50, [])])]))
    schedule = schedule_of(trace)
    start, end = simulate(schedule, [Shorten(row(trace, "a"), 20 * MS)]).times()
    inside, begin = row(trace, "inside"), schedule.tree.start[schedule.tree.run]
    assert (start[inside] - begin, end[inside] - begin) == (25 * MS, 35 * MS)


@pytest.mark.parametrize("model", list(Model))
def test_a_parent_waits_for_every_child_not_just_the_last(model: Model) -> None:
    """A join that waited for the last alone would be 30 here."""
    trace = drawn(("run", 0, 100, [("short", 0, 80, []), ("long", 0, 100, [])]))
    action = Shorten(row(trace, "long"), 30 * MS)
    assert simulate(schedule_of(trace), [action], model).wall_ns == 80 * MS


def test_a_branch_that_shares_a_fetch_waits_for_it_wherever_a_barrier_lets_it_start() -> None:
    said: dict[str, dict[str, object]] = {"shared": {semconv.CACHE: "shared"}}
    builder = TraceBuilder("0" * 31 + "1")
    for number, (parent, name, start, end) in enumerate(
        (
            ("", "run", 0, 100),
            ("run", "slow", 0, 80),
            ("slow", "fetch", 0, 80),
            ("run", "a1", 0, 10),
            ("run", "a2", 60, 90),
            ("a2", "shared", 61, 80),
        )
    ):
        links = [Link("0" * 31 + "1", "fetch", {})] if name == "shared" else []
        builder.add(
            SpanValues(
                name,
                parent,
                name,
                number,
                BEGIN + start * MS,
                BEGIN + end * MS,
                0,
                partial(dict, said.get(name, {})),
                links=partial(list, links),
            )
        )
    trace = builder.build()
    schedule = schedule_of(trace)
    action = RemoveBarrier(((row(trace, "a1"), row(trace, "a2")),))
    played = simulate(schedule, [action])
    assert played.start(row(trace, "a2")) == 10 * MS
    assert played.length(row(trace, "shared")) == 69 * MS
    assert played.length(row(trace, "a2")) == 80 * MS, "it ends as long after the fetch as before"
    assert played.wall_ns == 100 * MS


@given(random_traces(), models, st.data())
@settings(max_examples=examples(400))
def test_what_is_played_upon_another_is_as_if_played_at_once(
    trace: SpanTable, model: Model, data: st.DataObject
) -> None:
    schedule = schedule_of(trace)
    assume(len(schedule.tree.rows) > 2)
    rows = st.sampled_from(schedule.tree.rows[1:])
    groups = st.lists(rows, min_size=2, max_size=4, unique=True).map(tuple)
    kinds: list[st.SearchStrategy[Fix]] = [
        st.builds(Shorten, rows, st.integers(0, 20 * MS)),
        st.builds(Remove, rows.map(lambda at: (at,))),
        st.builds(ShortenBy, rows.map(lambda at: ((at, 3 * MS),))),
        st.builds(Share, groups, st.just(1)),
        st.builds(Parallelise, groups),
    ]
    actions = data.draw(st.lists(st.one_of(kinds), max_size=5))
    upon = Simulation(schedule, Edits(), model)
    for action in actions:
        upon = Simulation(schedule, with_actions(schedule, upon.edits, [action]), model, upon)
    assert upon.times() == simulate(schedule, actions, model).times()
