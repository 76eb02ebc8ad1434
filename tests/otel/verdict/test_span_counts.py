"""Each process of a trace declares how many spans it started, and each count is checked."""

from typing import Any

import pytest

from tests.otel.watched import AGENT, QUIET, Watched
from trading_graph.otel.trace import SpanTable
from trading_graph.otel.verdict import Gate, completeness, judge
from trading_graph.otel.vocabularies import witness

RUN = {"gen_ai.operation.name": "invoke_workflow"}
CLIENT: dict[str, Any] = {"service.name": "client", "service.instance.id": "a"}
SERVICE: dict[str, Any] = {"service.name": "service", "service.instance.id": "b"}
NAMELESS: dict[str, Any] = {"service.name": "unknown_service"}


def two_processes(
    of_run: object,
    *of_calls: object,
    run: dict[str, Any] | None = None,
    client: dict[str, Any] | None = None,
    service: dict[str, Any] | None = None,
) -> SpanTable:
    """A run with three spans of its own; each call is answered with three spans of a service."""
    here, there = client or CLIENT, service or SERVICE
    drawing = Watched()
    for number, declared in enumerate(of_calls):
        call = drawing.add(f"call {number}", 0, 90, resource=here)
        said = {**QUIET} if declared is None else {**QUIET, witness.SPANS_STARTED: declared}
        answer = drawing.add(f"answer {number}", 10, 80, said, parent=call, resource=there)
        agent = drawing.add(f"agent {number}", 10, 80, AGENT, parent=answer, resource=there)
        drawing.add(f"tool {number}", 20, 30, parent=agent, resource=there)
    drawing.add("own", 0, 90, resource=here)
    whole = {} if of_run is None else {witness.SPANS_STARTED: of_run}
    return drawing.trace(100, {**(run if run is not None else RUN), **whole}, resource=here)


@pytest.mark.parametrize("run", [RUN, {}])
@pytest.mark.parametrize("service", [SERVICE, NAMELESS])
def test_each_process_counts_its_own_spans(run: dict[str, Any], service: dict[str, Any]) -> None:
    """Spawned processes may have equal resources; only their declarations tell them apart."""
    client = NAMELESS if service is NAMELESS else CLIENT
    found = completeness(two_processes(4, 3, 3, run=run, client=client, service=service))
    assert found.complete
    assert found.exact


@pytest.mark.parametrize("run", [RUN, {}])
def test_a_span_that_is_missing_is_missed_in_its_process(run: dict[str, Any]) -> None:
    assert completeness(two_processes(5, 3, 3, run=run)).missing == (
        "1 of the 5 spans that the run started are missing.",
    )
    assert completeness(two_processes(4, 3, 5, run=run)).missing == (
        "2 of the 5 spans that the process of 'answer 1' started are missing.",
    )
    (sentence,) = completeness(two_processes(4, 2, 3, run=run)).missing
    assert sentence == "The process of 'answer 0' declares 2 spans, and 3 are here."
    (sentence,) = completeness(two_processes(4, "many", 3, run=run)).missing
    assert sentence == "The process of 'answer 0' declares 'many' spans, which is no number."


def test_one_missing_here_is_not_made_up_for_by_one_too_many_there() -> None:
    assert len(completeness(two_processes(5, 2)).missing) == 2


def test_one_declaration_counts_all_below_the_run() -> None:
    """A run that was resumed declares the spans of all its processes."""
    found = completeness(two_processes(6, None))
    assert found.complete
    assert found.exact
    assert completeness(two_processes(8, None)).missing == (
        "2 of the 8 spans that the run started are missing.",
    )


@pytest.mark.parametrize("run", [RUN, {}])
def test_a_process_that_declares_nothing_leaves_the_count_of_its_caller(
    run: dict[str, Any],
) -> None:
    found = completeness(two_processes(3, None, run=run))
    assert found.complete
    assert not found.exact


def test_a_run_inside_a_process_that_counts_its_spans_too() -> None:
    drawing = Watched()
    request = drawing.add("request", 0, 90, resource=NAMELESS)
    said = {**QUIET, witness.SPANS_STARTED: 2}
    part = drawing.add("part", 0, 90, said, parent=request, resource=NAMELESS)
    drawing.add("tool", 0, 90, parent=part, resource=NAMELESS)
    trace = drawing.trace(100, {witness.SPANS_STARTED: 4}, resource=NAMELESS)
    assert completeness(trace).exact


def test_a_called_run_is_a_part_of_the_run_that_called_it() -> None:
    drawing = Watched()
    call = drawing.add("call", 0, 90, resource=CLIENT)
    inner = {**QUIET, **RUN, witness.SPANS_STARTED: 1}
    drawing.add("called run", 10, 80, inner, parent=call, resource=SERVICE)
    trace = drawing.trace(100, {**RUN, witness.SPANS_STARTED: 2}, resource=CLIENT)
    found = completeness(trace)
    assert found.run == trace.roots[0]
    assert found.exact


def test_a_process_whose_caller_is_not_here_can_be_judged() -> None:
    drawing = Watched()
    said = {**QUIET, witness.SPANS_STARTED: 2}
    answer = drawing.add("answer", 0, 90, said, parent="caller", resource=SERVICE)
    drawing.add("tool", 0, 80, parent=answer, resource=SERVICE)
    found = completeness(drawing.part())
    assert found.complete
    assert found.exact


def test_the_check_of_completeness_sums_what_all_processes_declare() -> None:
    gate = Gate.from_dict({"checks": [{"relation": "complete", "set": {"name": ["*"]}}]})
    (check,) = judge(two_processes(4, 3, 3), gate).checks
    assert check.measured == "10 spans of 10 declared"
