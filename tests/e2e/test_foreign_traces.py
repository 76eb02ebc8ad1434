"""Traces of a LangGraph program under the instrumentors that people use, judged by its own gate."""

import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.patience import PATIENCE_S
from trading_graph.otel.sources import read
from trading_graph.otel.trace import SpanTable
from trading_graph.otel.verdict import CheckResult, Gate, Outcome, judge
from trading_graph.otel.vocabularies import Role, agent_name, graph_task

ROOT = Path(__file__).parents[2]
INSTRUMENTORS = ("openinference", "openllmetry", "langsmith")

GATE = Gate.from_toml(
    """
    version = 1

    [sets.nodes]
    name = [
      "market", "social", "news",
      "execute_task market", "execute_task social", "execute_task news",
    ]

    [sets.calls]
    role = "llm"

    [sets.by_hand]
    name = ["by hand *"]

    [[checks]]
    id = "nodes"
    title = "Analysts run at once"
    relation = "overlap"
    set = "nodes"

    [[checks]]
    id = "calls"
    title = "LLM calls run at once"
    relation = "overlap"
    set = "calls"

    [[checks]]
    id = "by hand"
    title = "Spans opened by hand run at once"
    relation = "overlap"
    set = "by_hand"
    """,
    "the tests' gate",
)


@cache
def trace_under(instrumentor: str, *options: str) -> SpanTable:
    """Run the program in a process of its own, since an instrumentor changes all of it."""
    with TemporaryDirectory() as folder:
        out = Path(folder) / "trace.json"
        command = [sys.executable, "-m", "tests.foreign_graph", instrumentor, str(out), *options]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=PATIENCE_S)
        (trace,) = read(out)
        return trace


def results(trace: SpanTable) -> dict[str, CheckResult]:
    verdict = judge(trace, GATE)
    assert verdict.judged, verdict.missing
    return {result.id: result for result in verdict.checks}


ONE_QUICK = [
    pytest.param(each, marks=pytest.mark.full if number else [])
    for number, each in enumerate(INSTRUMENTORS)
]
"""All instrumentors, of which the first is in the quick part."""


@pytest.mark.parametrize("instrumentor", INSTRUMENTORS)
def test_calls_tools_and_langgraphs_steps_are_recognised(instrumentor: str) -> None:
    trace = trace_under(instrumentor)
    calls = [row for row, role in enumerate(trace.roles) if role is Role.LLM]
    tools = [row for row, role in enumerate(trace.roles) if role is Role.TOOL]
    assert (len(calls), len(tools)) == (3, 3)
    for row in (*calls, *tools):
        task = graph_task(trace.attributes(row))
        assert task is not None
        assert task.step == 2
    assert sorted(str(agent_name(trace.attributes(row))) for row in calls) == [
        "market",
        "news",
        "social",
    ]


@pytest.mark.parametrize("instrumentor", INSTRUMENTORS)
def test_at_once_overlaps_and_is_not_called_proven(instrumentor: str) -> None:
    found = results(trace_under(instrumentor))
    for check in ("nodes", "calls"):
        assert found[check].outcome is Outcome.PASS, found[check]
        assert found[check].grade == (
            "overlapping, not proven: no event-loop lag, CPU time or waits are recorded; functions "
            "that block the event loop in turn can look like this too"
        )


@pytest.mark.parametrize("instrumentor", ONE_QUICK)
def test_one_after_the_other_fails(instrumentor: str) -> None:
    found = results(trace_under(instrumentor, "--serial"))
    for check in ("nodes", "calls"):
        assert found[check].outcome is Outcome.FAIL, found[check]
        assert found[check].grade.startswith("serial: ")


@pytest.mark.parametrize("instrumentor", ONE_QUICK)
def test_spans_by_hand_that_the_instrumentor_leaves_empty_are_not_judged(
    instrumentor: str,
) -> None:
    """The calls are below the instrumentor's spans; those by hand hold nothing, and it is said."""
    trace = trace_under(instrumentor, "--manual")
    found = results(trace)
    assert found["nodes"].outcome is Outcome.PASS
    by_hand = trace.rows("by hand ")
    assert len(by_hand) == 3
    assert all(trace.children(row) == [] for row in by_hand)
    assert found["by hand"].outcome is Outcome.NOT_APPLICABLE
    assert "does not pass the context on" in found["by hand"].measured
