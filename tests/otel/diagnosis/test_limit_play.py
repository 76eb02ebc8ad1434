"""What half as much again of a limit would save, against programs that really ran with it."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from statistics import median

import pytest

from tests.otel.diagnosis.limited import (
    BEGIN,
    REQUESTS,
    SLOTS,
    TOKENS,
    Limits,
    Work,
    run_limited,
)
from trading_graph.otel.diagnosis import Diagnosis, Finding, FindingKind, diagnose
from trading_graph.otel.diagnosis.call_tree import call_tree
from trading_graph.otel.diagnosis.findings.limits import FACTOR
from trading_graph.otel.diagnosis.limit_play import play
from trading_graph.otel.report.documents.diagnosis import critical_resource
from trading_graph.otel.spans import grant_attributes, limit_attributes
from trading_graph.otel.trace import Event, SpanTable, SpanValues, TraceBuilder
from trading_graph.otel.verdict import neutral_gate
from trading_graph.otel.vocabularies import limits as names
from trading_graph.otel.vocabularies.limits import DeclaredLimit

QUICK, ALL = range(8), range(60)


def diagnosed(trace: SpanTable) -> Diagnosis:
    diagnosis = diagnose(trace, neutral_gate())
    assert isinstance(diagnosis, Diagnosis)
    return diagnosis


def wall_s(work: Work, limits: Limits, seed: int) -> float:
    trace = run_limited(work, limits, seed)
    return float(trace.lengths[0]) / 1e9


def scenario(seed: int) -> tuple[Work, Limits]:
    """A program by its number: between a limit that binds all the time and one that never does."""
    draw = random.Random(seed)
    slots = draw.choice([2, 4, 8])
    jobs = slots * draw.choice([2, 3, 5])
    kind = draw.choice(["requests", "tokens", "neither", "both"])
    a_minute = max(int(slots * 13 * draw.uniform(0.3, 1.2)), 4)
    limits = Limits(
        slots,
        requests=a_minute if kind in ("requests", "both") else None,
        tokens=int(a_minute * 2000 * draw.uniform(0.7, 1.1))
        if kind in ("tokens", "both")
        else None,
    )
    return Work(jobs, with_call_spans=draw.random() < 0.5), limits


@dataclass(frozen=True, slots=True)
class Trial:
    """A limit that was raised: what was predicted, and what the program then really took."""

    seed: int
    name: str
    wall_s: float
    predicted_s: float
    real_s: float
    finding: Finding | None

    @property
    def error(self) -> float:
        return abs(self.predicted_s / self.real_s - 1)


def trials(seeds: range) -> Iterator[Trial]:
    for seed in seeds:
        work, limits = scenario(seed)
        trace = run_limited(work, limits, seed)
        diagnosis, tree = diagnosed(trace), call_tree(trace, 0)
        found = {each.limit: each for each in diagnosis.findings if each.limit}
        for name in [each.name for each in limits.declared]:
            saved_ns = play(tree, {}).wall_ns - play(tree, {name: FACTOR}).wall_ns
            predicted_s = diagnosis.wall_s - saved_ns / 1e9
            real_s = wall_s(work, limits.raised(name, FACTOR), seed)
            yield Trial(seed, name, diagnosis.wall_s, predicted_s, real_s, found.get(name))


@pytest.mark.parametrize("seeds", [QUICK, pytest.param(ALL, marks=pytest.mark.full)], ids=len)
def test_the_prediction_is_what_the_program_takes_with_the_limit_raised(seeds: range) -> None:
    made = list(trials(seeds))
    errors = [trial.error for trial in made]
    worst = max(made, key=lambda trial: trial.error)
    assert median(errors) <= 0.01, sorted(errors)
    assert worst.error <= 0.06, worst
    # They save much and nothing: a prediction of "no change" would be far off.
    unchanged = [abs(trial.wall_s / trial.real_s - 1) for trial in made]
    assert median(errors) < median(unchanged) / 4
    assert max(unchanged) > 0.2
    for trial in made:
        if trial.finding is None:
            assert trial.predicted_s > 0.99 * trial.wall_s
            continue
        assert trial.finding.gain.likely_s == pytest.approx(trial.wall_s - trial.predicted_s)
        # Nobody can promise that a limit is raised.
        assert trial.finding.gain.low_s == 0
        assert not trial.finding.proven
        assert trial.wall_s - trial.real_s <= trial.finding.gain.high_s + 0.04 * trial.wall_s


@pytest.mark.parametrize("seeds", [QUICK, pytest.param(ALL, marks=pytest.mark.full)], ids=len)
def test_without_a_change_the_run_comes_out_as_it_was(seeds: range) -> None:
    errors = []
    for seed in seeds:
        trace = run_limited(*scenario(seed), seed)
        played = play(call_tree(trace, 0), {})
        errors.append(abs(played.wall_ns / trace.lengths[0] - 1))
    assert median(errors) < 1e-6
    assert max(errors) < 0.02


@pytest.mark.parametrize("with_call_spans", [False, True], ids=["jobs", "calls"])
@pytest.mark.parametrize(
    ("limits", "binds"),
    [
        (Limits(8, tokens=80_000), TOKENS),
        (Limits(8, requests=45, tokens=1_000_000), REQUESTS),
        (Limits(2, requests=1000), SLOTS),
    ],
)
def test_the_resource_that_is_named_is_the_one_that_saves_most(
    limits: Limits, binds: str, with_call_spans: bool
) -> None:
    work = Work(40, with_call_spans=with_call_spans)
    diagnosis = diagnosed(run_limited(work, limits, 3))
    sentence = critical_resource(diagnosis)
    assert sentence is not None
    assert sentence.startswith(f"Of its limits, {binds} holds it back most")
    saved = {
        each.name: diagnosis.wall_s - wall_s(work, limits.raised(each.name, FACTOR), 3)
        for each in limits.declared
    }
    assert max(saved, key=saved.__getitem__) == binds
    assert saved[binds] > 0.2 * diagnosis.wall_s


def test_more_slots_save_nothing_where_a_rate_binds() -> None:
    work, limits = Work(40), Limits(8, tokens=60_000)
    diagnosis = diagnosed(run_limited(work, limits, 1))
    slots = [each for each in diagnosis.findings if each.limit == SLOTS]
    assert sum(each.gain.likely_s for each in slots) < 0.05 * diagnosis.wall_s
    without_rate = diagnosed(run_limited(work, replace(limits, tokens=None), 1))
    (slot,) = [each for each in without_rate.findings if each.limit == SLOTS]
    assert slot.gain.likely_s > 0.2 * without_rate.wall_s


def test_what_holds_nothing_back_is_not_named() -> None:
    diagnosis = diagnosed(run_limited(Work(4), Limits(4, requests=10_000), 0))
    assert critical_resource(diagnosis) is None
    assert not [each for each in diagnosis.findings if each.limit]


def test_a_program_without_declared_limits_is_diagnosed_as_before() -> None:
    trace = run_limited(Work(4, with_call_spans=True), Limits(4), 0)
    assert play(call_tree(trace, 0), {}).wall_ns == trace.lengths[0]


def test_a_straggler_in_the_tail_is_a_finding_and_its_gain_is_what_it_saves() -> None:
    limits = Limits(4)
    work = Work(13, spread=0.05)
    slow = replace(work, slow_jobs=frozenset({12}))
    diagnosis = diagnosed(run_limited(slow, limits, 0))
    (finding,) = [each for each in diagnosis.findings if each.kind is FindingKind.STRAGGLER]
    assert finding.place == "job 12"
    predicted_s = diagnosis.wall_s - finding.gain.likely_s
    assert predicted_s == pytest.approx(wall_s(work, limits, 0), rel=0.05)
    # How long it takes is told once.
    assert {FindingKind.LONG_POLE, FindingKind.DOMINANT_SPAN}.isdisjoint(
        each.kind for each in diagnosis.findings
    )


def test_a_limit_that_the_program_does_not_keep_stops_nothing() -> None:
    """A job that holds the only slot starts another that is granted the same slot."""
    declared = limit_attributes([DeclaredLimit(SLOTS, 1, unit="jobs")])
    slot = Event(names.GRANT, BEGIN, grant_attributes({SLOTS: 1}))
    builder = TraceBuilder("0d" * 16)
    for span_id, parent, seconds, attributes, events in (
        ("run", "", 10, declared, []),
        ("outer", "run", 9, {}, [slot]),
        ("inner", "outer", 8, {}, [slot]),
    ):
        end = BEGIN + seconds * 1_000_000_000
        builder.add(
            SpanValues(
                span_id,
                parent,
                span_id,
                1,
                BEGIN,
                end,
                0,
                lambda attributes=attributes: attributes,  # type: ignore[misc]
                lambda events=events: events,  # type: ignore[misc]
            )
        )
    trace = builder.build()
    assert play(call_tree(trace, 0), {}).wall_ns == trace.lengths[0]
    assert diagnosed(trace).wall_s == 10


def test_a_wait_for_what_is_not_declared_stays_as_it_was() -> None:
    """The service itself made a call wait: nobody knows what more of it would be."""
    declared = limit_attributes([DeclaredLimit(REQUESTS, 100, 60.0, "requests")])
    waited = grant_attributes(
        {REQUESTS: 1, "m service": 1}, wait_s=4, waited_for="m service", held_s=1
    )
    builder = TraceBuilder("0e" * 16)
    for span_id, parent, end, attributes, events in (
        ("run", "", 6, declared, []),
        ("call", "run", 5, {}, [Event(names.GRANT, BEGIN + 4_000_000_000, waited)]),
    ):
        builder.add(
            SpanValues(
                span_id,
                parent,
                span_id,
                1,
                BEGIN,
                BEGIN + end * 1_000_000_000,
                0,
                lambda attributes=attributes: attributes,  # type: ignore[misc]
                lambda events=events: events,  # type: ignore[misc]
            )
        )
    tree = call_tree(builder.build(), 0)
    assert play(tree, {}).wall_ns == play(tree, {REQUESTS: FACTOR}).wall_ns == 6_000_000_000
