"""Exports: trace events, folded stacks, and the predicted run as a trace."""

import json
import urllib.request
from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given

from tests.jaeger_process import JaegerProcess
from tests.otel.diagnosis.traces import drawn, random_traces
from tests.otel.report.runs import TRACE_ID, slow_diagnosis, slow_run
from trading_graph.graph.gate_loader import own_gate
from trading_graph.otel.diagnosis import call_tree, critical_path, rank, ranking_of
from trading_graph.otel.report.exports import DEPTH, folded, perfetto
from trading_graph.otel.report.simulated_otlp import SERVICE, simulated_otlp
from trading_graph.otel.sources.jaeger_query import JaegerQuery
from trading_graph.otel.sources.trace_files import parse
from trading_graph.otel.trace import SpanTable, row_of, semconv
from trading_graph.otel.verdict import judge


@given(random_traces())
def test_folded_stacks_sum_to_the_run(trace: SpanTable) -> None:
    run = trace.roots[0]
    path = critical_path(call_tree(trace, run))
    lines = folded(path).splitlines()
    assert sum(int(line.rpartition(" ")[2]) for line in lines) == path.tree.wall_ns
    assert len({line.rpartition(" ")[0] for line in lines}) == len(lines)


def test_names_cannot_break_a_stack() -> None:
    trace = drawn(("run", 0, 9, [("a;b\nc 7", 2, 5, [])]))
    (stack,) = [line for line in folded(_path(trace)).splitlines() if "a" in line]
    assert stack == "run;a,b c 7 3000000"


def test_a_deep_stack_is_cut() -> None:
    below: list[Any] = []
    for number in range(500, 0, -1):
        below = [(f"n{number}", number, 1200 - number, below)]
    trace = drawn(("run", 0, 1200, below))
    stacks = [line.rpartition(" ")[0] for line in folded(_path(trace)).splitlines()]
    assert max(stack.count(";") for stack in stacks) == DEPTH
    assert any(stack.endswith("(deeper)") for stack in stacks)


@given(random_traces())
def test_trace_events_of_one_track_nest(trace: SpanTable) -> None:
    document = json.loads(perfetto(rank(trace, trace.roots[0])))
    tracks: dict[tuple[int, int], list[dict[str, Any]]] = defaultdict(list)
    for event in document["traceEvents"]:
        assert event["ph"] in "XM"
        if event["ph"] == "X":
            tracks[event["pid"], event["tid"]].append(event)
    for events in tracks.values():
        open_until: list[float] = []
        for event in sorted(events, key=lambda each: (each["ts"], -each["dur"])):
            while open_until and open_until[-1] <= event["ts"] + 1e-6:
                open_until.pop()
            end = event["ts"] + event["dur"]
            assert not open_until or end <= open_until[-1] + 1e-6
            open_until.append(end)
    spans = [e for (process, track), es in tracks.items() if (process, track) != (1, 1) for e in es]
    assert len([event for event in spans if event["pid"] == 1]) == len(trace)


def test_every_agent_has_a_track_of_its_name() -> None:
    found = slow_diagnosis()
    events = json.loads(perfetto(ranking_of(found)))["traceEvents"]
    names = {
        (each["pid"], each["tid"]): each["args"]["name"]
        for each in events
        if each["name"] == "thread_name"
    }
    chats = {
        names[e["pid"], e["tid"]] for e in events if e["name"] == "chat model" and e["tid"] > 1
    }
    assert chats == {"analyst 0", "analyst 1", "analyst 2"}
    path = [each for each in events if each["ph"] == "X" and (each["pid"], each["tid"]) == (1, 1)]
    assert sum(each["dur"] for each in path) * 1000 == pytest.approx(ranking_of(found).wall_ns)
    runs = {
        e["pid"]: e["dur"] for e in events if e["name"] == "invoke_workflow run" and e["tid"] > 1
    }
    assert runs[2] * 1000 == pytest.approx(ranking_of(found).all_fixed().wall_ns)


def test_the_predicted_trace_is_whole_and_as_long_as_predicted() -> None:
    found = slow_diagnosis(trace=slow_run(detached=True))
    (trace,) = parse(simulated_otlp(ranking_of(found)).encode(), "export")
    verdict = judge(trace, own_gate())
    assert verdict.judged, verdict.missing
    assert verdict.run is not None
    run = row_of(verdict.run)
    assert trace.trace_id != TRACE_ID
    assert call_tree(trace, run).wall_ns == ranking_of(found).all_fixed().wall_ns
    assert call_tree(trace, run).wall_ns < ranking_of(found).wall_ns
    assert sorted(trace.names) == sorted(span.name for span in found.trace)
    for row in range(len(trace)):
        attributes = trace.attributes(row)
        assert attributes[semconv.PREDICTED] is True
        assert attributes[semconv.PREDICTED_OF] == TRACE_ID
        before = found.trace.span(trace.span_ids[row]).attributes
        counted = {semconv.SPANS_STARTED}
        assert {k: v for k, v in before.items() if k not in counted}.items() <= attributes.items()
        for event in trace.events(row):
            assert trace.start[row] <= event.time_ns <= trace.end[row]
        assert all(link.trace_id == trace.trace_id for link in trace.links(row))
    assert any(trace.links(row) for row in range(len(trace)))


def test_ids_and_values_of_foreign_traces_become_valid() -> None:
    """LangSmith's span ids are UUIDs, and an attribute may be anything."""
    trace = drawn(("run", 0, 999, [("a", 2, 998, [("b", 3, 997, [])])]))
    object.__setattr__(trace, "span_ids", tuple(f"{'9' * 8}-{each}" for each in trace.span_ids))
    trace._attributes[1] = {"odd": {"a": [1, None]}, "none": None, "nan": float("nan")}
    (there,) = parse(simulated_otlp(rank(trace, 0)).encode(), "export")
    assert list(there.parent) == list(trace.parent)
    assert all(len(each) == 16 for each in there.span_ids)


@pytest.mark.jaeger
def test_jaeger_takes_the_predicted_trace_and_gives_it_back(jaeger: JaegerProcess) -> None:
    found = slow_diagnosis()
    text = simulated_otlp(ranking_of(found))
    (sent,) = parse(text.encode(), "export")
    request = urllib.request.Request(
        f"{jaeger.otlp_http_url}/v1/traces",
        text.encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200
        assert b"rejected" not in answer.read()
    query = JaegerQuery(jaeger.query_url)
    there = query.complete(sent.trace_id)
    assert there is not None
    verdict = judge(there, own_gate())
    assert verdict.judged
    assert verdict.measures is not None
    assert verdict.measures.wall_s == ranking_of(found).all_fixed().wall_ns / 1e9
    assert SERVICE in query.services()


def _path(trace: SpanTable) -> Any:
    return critical_path(call_tree(trace, 0))


def test_trace_events_are_read_back_as_the_run_that_was_recorded() -> None:
    found = slow_diagnosis()
    tree = ranking_of(found).schedule.tree
    (again,) = parse(perfetto(ranking_of(found)).encode(), "events")
    assert again.trace_id == found.trace.id
    assert not again.flaws
    own = {tree.trace.span_ids[row]: row for row in tree.rows}
    assert set(again.span_ids) == set(own)
    for row, id in enumerate(again.span_ids):
        took = (tree.end[own[id]] - tree.start[own[id]]) / 1e3
        assert int(again.duration[row]) / 1e3 == pytest.approx(took, abs=1)
        assert again.parent_id(row) == tree.trace.parent_id(own[id])
