"""How far declared limits were used, who waited for them, and who is a straggler."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.otel.diagnosis.limited import BEGIN, SLOTS, TOKENS, Limits, Work, run_limited
from trading_graph.otel.report import as_json, as_markdown
from trading_graph.otel.spans import grant_attributes, limit_attributes
from trading_graph.otel.trace import Event, SpanTable, SpanValues, TraceBuilder
from trading_graph.otel.trace.grants import grants_of, limits_of
from trading_graph.otel.verdict import Gate, LimitUse, Measures, Outcome, judge
from trading_graph.otel.vocabularies import limits as names
from trading_graph.otel.vocabularies.limits import DeclaredLimit

S = 1_000_000_000
SLOTS_USED = {
    "checks": [
        {"relation": "limit_used", "set": {"role": "run"}, "limit": SLOTS, "at_least": 0.9},
    ]
}


def trace_of(
    run_s: float,
    declared: Mapping[str, object],
    spans: list[tuple[float, float, list[Event]]],
    more: Mapping[str, object] | None = None,
) -> SpanTable:
    """A run of some length, with children that start and end then and have these events."""
    builder = TraceBuilder("0b" * 16)
    builder.add(
        SpanValues("run", "", "run", 1, BEGIN, BEGIN + int(run_s * S), 0, lambda: dict(declared))
    )
    for number, (start, end, events) in enumerate(spans):
        builder.add(
            SpanValues(
                f"s{number}",
                "run",
                "job",
                1,
                BEGIN + int(start * S),
                BEGIN + int(end * S),
                0,
                lambda number=number: {names.ITEM: f"job {number}", **(more or {})},  # type: ignore[misc]
                lambda events=events: events,  # type: ignore[misc]
            )
        )
    return builder.build()


def granted(at_s: float, wait_s: float = 0.0, limit: str = "slots", **about: Any) -> Event:
    attributes = grant_attributes({limit: about.pop("amount", 1)}, wait_s=wait_s, **about)
    if wait_s:
        attributes[names.GRANT_WAITED_FOR] = limit
    return Event(names.GRANT, BEGIN + int(at_s * S), attributes)


def measured(trace: SpanTable) -> Measures:
    measures = judge(trace, Gate.from_dict({"checks": [{"relation": "complete"}]})).measures
    assert measures is not None
    return measures


def use(trace: SpanTable) -> LimitUse:
    (found,) = measured(trace).limits
    return found


def test_slots_are_measured_over_time() -> None:
    declared = limit_attributes([DeclaredLimit("slots", 2, unit="jobs")])
    trace = trace_of(
        10,
        declared,
        [
            (0, 4, [granted(0)]),
            (1, 5, [granted(1)]),
            (4, 8, [granted(4, 4)]),
            (5, 9, [granted(5, 5)]),
        ],
    )
    found = use(trace)
    assert (found.grants, found.waited, found.wait_s, found.longest_wait_s) == (4, 2, 9, 5)
    assert found.mean_wait_s == 4.5
    assert found.average == pytest.approx(1.6)
    assert found.peak == 2
    assert found.full_share == pytest.approx(0.7)
    assert found.waiting_share == pytest.approx(0.5)
    # One of two in the first second, both in the other four.
    assert found.used_while_waiting == pytest.approx(0.9)
    assert (found.ramp_s, found.tail_s) == (1, 2)
    assert found.over_time[0] == found.over_time[1] == 1
    assert found.over_time[4] == 2
    assert found.over_time[19] == 0


def test_a_rate_counts_what_began_within_its_window_and_what_was_booked_later() -> None:
    declared = limit_attributes([DeclaredLimit("tokens", 100, 4.0, "tokens")])
    events = [
        granted(0, limit="tokens", amount=60, held_s=2, more={"tokens": 20}),
        granted(4, 3, limit="tokens", amount=90, held_s=1),
    ]
    found = use(trace_of(10, declared, [(0, 9, events)]))
    assert found.amount == 170
    assert found.peak == 110
    # 60 for 4 s, 20 more for 4 s from the second on, 90 for 4 s.
    assert found.average == pytest.approx((60 * 4 + 20 * 4 + 90 * 4) / 10)
    assert found.waiting_share == pytest.approx(0.3)
    assert found.used_while_waiting == pytest.approx((60 + 80 + 80) / 3 / 100)


@pytest.mark.parametrize(("in_batches", "outcome"), [(False, Outcome.PASS), (True, Outcome.FAIL)])
def test_work_handed_out_in_batches_leaves_slots_unused_while_work_waits(
    in_batches: bool, outcome: Outcome
) -> None:
    trace = run_limited(Work(16, spread=1.0, in_batches=in_batches), Limits(4), 2)
    (check,) = judge(trace, Gate.from_dict(SLOTS_USED)).checks
    assert check.outcome is outcome, check.measured
    assert "in use while work waited" in check.measured


def test_the_check_does_not_apply_where_nobody_waits_or_nothing_is_declared() -> None:
    for limits, gate in (
        (Limits(8), SLOTS_USED),
        (Limits(2), {"checks": [{**SLOTS_USED["checks"][0], "limit": "others"}]}),
    ):
        trace = run_limited(Work(8), limits, 2)
        (check,) = judge(trace, Gate.from_dict(gate)).checks
        assert check.outcome is Outcome.NOT_APPLICABLE


def test_a_count_can_be_declared_by_the_run() -> None:
    check = {"relation": "count", "set": {"name": ["job"]}, "at_least_from": "jobs"}
    gate = Gate.from_dict({"checks": [check]})
    for declared, outcome in (
        (2, Outcome.PASS),
        (3, Outcome.FAIL),
        (None, Outcome.NOT_APPLICABLE),
    ):
        attributes = {} if declared is None else {"jobs": declared}
        trace = trace_of(5, attributes, [(0, 1, []), (1, 2, [])])
        (result,) = judge(trace, gate).checks
        assert result.outcome is outcome


def test_stragglers_are_named_by_their_own_time() -> None:
    work = Work(40, spread=0.05, slow_jobs=frozenset({3}))
    found = measured(run_limited(work, Limits(4, tokens=60_000), 0)).stragglers
    assert [each.item for each in found] == ["job 3"]
    assert found[0].own_s > 3 * found[0].usual_s
    assert not found[0].in_tail
    # That they wait for long makes nobody a straggler.
    tight = measured(run_limited(Work(12, spread=0.05), Limits(4, tokens=40_000), 0))
    assert max(each.wait_s for each in tight.limits) > 0
    assert tight.stragglers == ()


@pytest.mark.parametrize(("jobs", "count"), [(4, 0), (5, 1)])
def test_of_few_none_is_a_straggler(jobs: int, count: int) -> None:
    work = Work(jobs, spread=0.01, slow_jobs=frozenset({0}))
    assert len(measured(run_limited(work, Limits(jobs), 0)).stragglers) == count


def test_a_grant_that_a_span_above_repeats_counts_once() -> None:
    trace = run_limited(Work(3, with_call_spans=True), Limits(3, tokens=1_000_000), 0)
    events = [
        event
        for row in range(len(trace))
        for event in trace.events(row)
        if event.attributes.get(names.GRANT_LIMITS) == [TOKENS]
    ]
    builder = TraceBuilder("0c" * 16)
    for row in range(len(trace)):
        more = events if row == 0 else list(trace.events(row))
        builder.add(
            SpanValues(
                trace.span_ids[row],
                trace.parent_id(row),
                trace.names[row],
                1,
                *trace.intervals[row],
                0,
                lambda row=row: trace.attributes(row),  # type: ignore[misc]
                lambda more=more: more,  # type: ignore[misc]
            )
        )
    again = builder.build()
    assert len(grants_of(again, 0)) == len(grants_of(trace, 0))
    rows = {each.row for each in grants_of(again, 0)}
    assert 0 not in rows


def test_sums_of_linked_traces_are_told_and_an_unknown_cost_too() -> None:
    known = {
        names.LINKED_LLM_CALLS: 16,
        names.LINKED_INPUT_TOKENS: 1000,
        names.LINKED_OUTPUT_TOKENS: 100,
    }
    found = measured(trace_of(5, {}, [(0, 1, []), (1, 2, [])], known)).linked
    assert found is not None
    assert (found.llm_calls, found.input_tokens, found.output_tokens) == (32, 2000, 200)
    assert (found.cost_usd, found.without_cost) == (None, 2)
    priced = measured(
        trace_of(5, {}, [(0, 1, []), (1, 2, [])], {**known, names.LINKED_COST_USD: 0.5})
    ).linked
    assert priced is not None
    assert (priced.cost_usd, priced.without_cost) == (1.0, 0)


def test_reports_show_limits() -> None:
    trace = run_limited(Work(12, slow_jobs=frozenset({11})), Limits(4, tokens=40_000), 0)
    verdict = judge(trace, Gate.from_dict(SLOTS_USED))
    markdown = as_markdown(verdict)
    assert "| m tokens | 40,000 in 60.5 s |" in markdown
    assert "Stragglers: job 11" in markdown
    assert '"used_while_waiting"' in as_json(verdict)


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.lists(st.floats()),
    st.lists(st.text()),
    st.lists(st.integers(-5, 5)),
)


@given(st.lists(ODD, min_size=10, max_size=10))
def test_odd_attributes_are_read_without_an_error(odd: list[Any]) -> None:
    declared = dict(
        zip((names.NAMES, names.CAPACITIES, names.WINDOWS_S, names.UNITS), odd, strict=False)
    )
    event = dict(
        zip(
            (
                names.GRANT_LIMITS,
                names.GRANT_AMOUNTS,
                names.GRANT_MORE,
                names.GRANT_WAIT_MS,
                names.GRANT_WAITED_FOR,
                names.GRANT_HELD_MS,
            ),
            odd[4:],
            strict=True,
        )
    )
    for own in (declared, limit_attributes([DeclaredLimit("slots", 1)])):
        trace = trace_of(5, own, [(0, 1, [Event(names.GRANT, BEGIN, event), granted(0)])])
        assert len(limits_of(trace, 0)) >= 0
        assert len(measured(trace).limits) == len(limits_of(trace, 0))
