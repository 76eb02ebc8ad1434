"""Exports: trace events, folded stacks, and the predicted run as a trace."""

import json
import urllib.request
from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given

from tests.jaeger_process import JaegerProcess
from tests.otel.diagnosis.traces import drawn, random_traces
from tests.otel.report.runs import TRACE_ID, slow_report, slow_run
from trading_graph.otel.diagnosis import call_tree, critical_path, diagnose
from trading_graph.otel.report.folded import DEPTH, folded
from trading_graph.otel.report.perfetto import perfetto
from trading_graph.otel.report.simulated_otlp import SERVICE, simulated_otlp
from trading_graph.otel.sources.document import parse
from trading_graph.otel.sources.jaeger import JaegerQuery
from trading_graph.otel.trace import Trace, semconv
from trading_graph.otel.verdict import default_gate, judge


@given(random_traces())
def test_folded_stacks_sum_to_the_run(trace: Trace) -> None:
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
def test_trace_events_of_one_track_nest(trace: Trace) -> None:
    document = json.loads(perfetto(diagnose(trace, trace.roots[0])))
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
    report = slow_report()
    events = json.loads(perfetto(report.diagnosis))["traceEvents"]
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
    assert sum(each["dur"] for each in path) * 1000 == pytest.approx(report.diagnosis.wall_ns)
    runs = {
        e["pid"]: e["dur"] for e in events if e["name"] == "invoke_workflow run" and e["tid"] > 1
    }
    assert runs[2] * 1000 == pytest.approx(report.diagnosis.mended().wall_ns)


def test_the_predicted_trace_is_whole_and_as_long_as_predicted() -> None:
    report = slow_report(trace=slow_run(detached=True))
    (trace,) = parse(simulated_otlp(report.diagnosis).encode(), "export")
    verdict = judge(trace, default_gate())
    assert verdict.judged, verdict.completeness.missing
    run = verdict.completeness.run
    assert run is not None
    assert trace.trace_id != TRACE_ID
    assert call_tree(trace, run).wall_ns == report.diagnosis.mended().wall_ns
    assert call_tree(trace, run).wall_ns < report.diagnosis.wall_ns
    assert sorted(trace.names) == sorted(report.trace.names)
    for row in range(len(trace)):
        found = trace.attributes(row)
        assert found[semconv.PREDICTED] is True
        assert found[semconv.PREDICTED_OF] == TRACE_ID
        before = report.trace.attributes(report.trace.span_ids.index(trace.span_ids[row]))
        counted = {semconv.SPANS_STARTED}
        assert {k: v for k, v in before.items() if k not in counted}.items() <= found.items()
        for event in trace.events(row):
            assert trace.start[row] <= event.time_ns <= trace.end[row]
        assert all(link.trace_id == trace.trace_id for link in trace.links(row))
    assert any(trace.links(row) for row in range(len(trace)))


def test_ids_and_values_of_foreign_traces_become_valid() -> None:
    """LangSmith's span ids are UUIDs, and an attribute may be anything."""
    trace = drawn(("run", 0, 9, [("a", 2, 5, [("b", 3, 4, [])])]))
    object.__setattr__(trace, "span_ids", tuple(f"{'9' * 8}-{each}" for each in trace.span_ids))
    trace._attributes[1] = {"odd": {"a": [1, None]}, "none": None, "nan": float("nan")}
    (there,) = parse(simulated_otlp(diagnose(trace, 0)).encode(), "export")
    assert list(there.parent) == list(trace.parent)
    assert all(len(each) == 16 for each in there.span_ids)


@pytest.mark.jaeger
def test_jaeger_takes_the_predicted_trace_and_gives_it_back(jaeger: JaegerProcess) -> None:
    report = slow_report()
    text = simulated_otlp(report.diagnosis)
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
    verdict = judge(there, default_gate())
    assert verdict.judged
    assert verdict.measures is not None
    assert verdict.measures.wall_ns == report.diagnosis.mended().wall_ns
    assert SERVICE in query.services()


def _path(trace: Trace) -> Any:
    return critical_path(call_tree(trace, 0))
