"""Which spans share a clock, how far two clocks may be apart, and what follows."""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest

from tests.otel.diagnosis.traces import BEGIN, MS, row
from trading_graph.otel.diagnosis import call_tree, critical_path
from trading_graph.otel.sources import read
from trading_graph.otel.sources.trace_files import parse
from trading_graph.otel.trace import SpanTable, SpanValues, TraceBuilder
from trading_graph.otel.trace.clocks import Bounds, Clocks, SkewKind, clocks
from trading_graph.otel.verdict import completeness, run_view

CASES = Path(__file__).parents[1] / "recorded" / "cases"
INTERNAL, SERVER, CLIENT, PRODUCER, CONSUMER = range(1, 6)
ONE, OTHER = {"service.name": "one"}, {"service.name": "other"}

Placed = tuple[str, str, int, int, int, Mapping[str, str]]
"""Name, parent, start and end in milliseconds, kind, resource."""


def placed(*spans: Placed, **attributes: str) -> SpanTable:
    """A trace of spans in several processes; all have the attributes."""
    builder = TraceBuilder("0" * 31 + "1")
    for name, parent, start, end, kind, resource in spans:
        times = BEGIN + start * MS, BEGIN + end * MS
        builder.add(
            SpanValues(
                name,
                parent,
                name,
                kind,
                *times,
                0,
                partial(dict, attributes),
                resource=dict(resource),
            )
        )
    return builder.build()


def clocks_of(trace: SpanTable) -> Clocks:
    return clocks(trace, trace.roots[0])


def called(resource: Mapping[str, str], server_start: int = 10, clock: str = "") -> Clocks:
    """A call of a service whose server says the same of itself as its client."""
    return clocks_of(
        placed(
            ("client", "", 0, 100, CLIENT, resource),
            ("server", "client", server_start, 90, SERVER, resource),
            **({"witness.clock": clock} if clock else {}),
        )
    )


def test_equal_resources_share_a_clock_whatever_their_sdk() -> None:
    python = {**ONE, "telemetry.sdk.version": "1"}
    assert clocks_of(
        placed(("a", "", 0, 9, INTERNAL, ONE), ("b", "a", 1, 8, INTERNAL, python))
    ).are_one
    assert not clocks_of(
        placed(("a", "", 0, 9, INTERNAL, ONE), ("b", "a", 1, 8, INTERNAL, OTHER))
    ).are_one


@pytest.mark.parametrize(
    "identity",
    [{"service.instance.id": "i"}, {"host.name": "h", "process.pid": "7"}],
)
def test_a_call_between_equal_resources_stays_in_a_process_only_if_it_is_named(
    identity: Mapping[str, str],
) -> None:
    assert not called(ONE).are_one
    assert not called({**ONE, "host.name": "h"}).are_one
    assert called({**ONE, **identity}).are_one
    assert called(ONE, clock="c").are_one
    assert not called({**ONE, **identity}, server_start=-5).are_one


def test_a_pair_of_parent_and_child_bounds_the_offset() -> None:
    trace = placed(
        ("client", "", 0, 1000, CLIENT, ONE), ("server", "client", 100, 800, SERVER, OTHER)
    )
    bounds = clocks_of(trace).bounds(row(trace, "client"), row(trace, "server"))
    # Its end is a soft bound: 5 % of the server's 700 ms are allowed for.
    assert bounds == Bounds((-200 - 35) * MS, 100 * MS)
    assert clocks_of(trace).bounds(1, 0) == bounds.reverse
    assert clocks_of(trace).skews == ()


def test_bounds_add_up_along_a_chain_of_calls() -> None:
    trace = placed(
        ("a", "", 0, 1000, CLIENT, ONE),
        ("b", "a", 100, 900, CLIENT, OTHER),
        ("c", "b", 200, 800, SERVER, {"service.name": "third"}),
    )
    bounds = clocks_of(trace).bounds(row(trace, "a"), row(trace, "c"))
    assert bounds == Bounds((-100 - 40 - 100 - 30) * MS, (100 + 100) * MS)


def test_a_server_that_starts_before_its_client_has_a_clock_that_is_behind() -> None:
    trace = placed(
        ("run", "", 0, 3000, INTERNAL, ONE),
        ("client", "run", 1000, 2000, CLIENT, ONE),
        ("server", "client", 710, 1690, SERVER, OTHER),
        ("query", "server", 800, 1600, INTERNAL, OTHER),
    )
    found = clocks_of(trace)
    (skew,) = found.skews
    assert (skew.kind, skew.child.name) == (SkewKind.BEHIND, "server")
    assert skew.high_s == pytest.approx(-0.29)
    assert skew.low_s == pytest.approx(-0.31 - 0.049)
    view = run_view(trace, 0)
    moved = view.trace
    assert moved.start[row(moved, "server")] == moved.start[row(moved, "client")]
    assert moved.start[row(moved, "query")] == BEGIN + 1090 * MS, "its clock moves as a whole"
    assert view.notes == (skew.sentence,)
    assert clocks_of(moved).skews == ()
    path = critical_path(call_tree(moved, view.run)).by_name
    assert path == {"run": 2000 * MS, "query": 800 * MS, "server": 180 * MS, "client": 20 * MS}


def test_a_child_that_ends_later_by_much_is_late_or_its_clock_is_ahead() -> None:
    def skews(end: int) -> tuple[SkewKind, ...]:
        trace = placed(
            ("client", "", 0, 1000, CLIENT, ONE), ("server", "client", 400, end, SERVER, OTHER)
        )
        return tuple(skew.kind for skew in clocks_of(trace).skews)

    assert skews(1020) == (), "servers end up to a few per cent after their clients"
    assert skews(1300) == (SkewKind.LATE_OR_AHEAD,)
    assert skews(3000) == (), "a clock ahead by so much would have it start before its client"


def test_a_late_child_moves_no_clock() -> None:
    trace = placed(
        ("client", "", 0, 1000, CLIENT, ONE), ("server", "client", 400, 1300, SERVER, OTHER)
    )
    assert clocks_of(trace).corrected(trace) is trace


def test_a_consumer_ends_when_it_likes() -> None:
    trace = placed(
        ("send", "", 0, 1000, PRODUCER, ONE), ("receive", "send", 400, 1300, CONSUMER, OTHER)
    )
    found = clocks_of(trace)
    assert found.skews == ()
    assert found.bounds(0, 1).low_ns == float("-inf")


def test_a_unit_of_a_coarse_clock_is_no_skew() -> None:
    trace = placed(("client", "", 5, 100, CLIENT, ONE), ("server", "client", 4, 90, SERVER, OTHER))
    assert not clocks_of(trace).are_one
    assert clocks_of(trace).skews == ()


def test_what_overlaps_across_clocks_is_certain_only_for_every_offset() -> None:
    (trace,) = read(CASES / "f01e_skew_serial_looks_proven.json")
    agents = [row(trace, "agent_a"), row(trace, "agent_b")]
    found = clocks_of(trace)
    assert trace.start[agents[1]] < trace.end[agents[0]], "they overlap as recorded"
    assert not found.overlap_is_certain(agents)
    assert found.overlap_is_certain(agents[:1])
    bounds = found.bounds(*agents)
    assert bounds.low_ns < -1000 * MS
    assert bounds.high_ns == 200 * MS
    assert "2 clocks" in found.doubt(agents)
    assert not found.doubt(agents[:1])


def test_long_spans_that_no_offset_can_part_do_overlap() -> None:
    trace = placed(
        ("run", "", 0, 1000, INTERNAL, ONE),
        ("a", "run", 10, 990, INTERNAL, ONE),
        ("b", "run", 10, 990, INTERNAL, OTHER),
    )
    assert clocks_of(trace).overlap_is_certain([1, 2])


def test_processes_come_from_otlp_and_from_jaeger() -> None:
    span = {"traceId": "a" * 32, "spanId": "b" * 16, "startTimeUnixNano": "1", "endTimeUnixNano": 2}
    spans = [
        {"scopeSpans": [{"spans": [span]}]},
        {"scopeSpans": [{"spans": [{**span, "spanId": "c" * 16}]}]},
    ]
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "x"}}]}
    document = {"resourceSpans": [{**each, "resource": resource} for each in spans]}
    (table,) = parse(json.dumps(document).encode(), "OTLP")
    assert table.resources == [{"service.name": "x"}] * 2
    assert table.resources[0] is table.resources[1], "a process is held once"
    broken = {"resourceSpans": [{**spans[0], "resource": "x"}]}
    (table,) = parse(json.dumps(broken).encode(), "OTLP")
    assert table.resources == [{}]

    (table,) = read(CASES / "C_crisp_case10.json")
    assert [each["service.name"] for each in table.resources] == ["S1", "S2", "S3", "S4"]


def test_a_clock_that_was_set_back_is_recognised() -> None:
    trace = placed(
        ("run", "", 0, -4000, INTERNAL, ONE),
        ("before", "run", 10, 900, INTERNAL, ONE),
        ("open", "run", 950, -4100, INTERNAL, ONE),
        ("inner", "open", 960, -4200, INTERNAL, ONE),
        ("after", "run", -4090, -4010, INTERNAL, ONE),
    )
    (sentence,) = completeness(trace).missing
    assert sentence.startswith("The clock was set back by 5.160 s or more while 3 spans ")


def test_a_single_leaf_that_ends_before_it_starts_is_a_broken_span() -> None:
    trace = placed(("run", "", 0, 100, INTERNAL, ONE), ("leaf", "run", 50, 20, INTERNAL, ONE))
    (sentence,) = completeness(trace).missing
    assert sentence == "1 span ('leaf'): they end before they start."


def test_a_broken_branch_below_a_sound_parent_is_no_jump_of_the_clock() -> None:
    trace = placed(
        ("run", "", 0, 100, INTERNAL, ONE),
        ("branch", "run", 50, 20, INTERNAL, ONE),
        ("leaf", "branch", 60, 10, INTERNAL, ONE),
    )
    (sentence,) = completeness(trace).missing
    assert "they end before they start" in sentence


def test_the_clock_of_another_process_can_be_set_back_too() -> None:
    trace = placed(
        ("run", "", 0, 1000, CLIENT, ONE),
        ("server", "run", 50, -900, SERVER, OTHER),
        ("leaf", "server", 60, -910, INTERNAL, OTHER),
    )
    (sentence,) = completeness(trace).missing
    assert sentence.startswith("The clock was set back")
