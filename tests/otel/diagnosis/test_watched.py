"""What the witness recorded, in findings: the same causes as the verdict's, and exact gains."""

from typing import Any

import pytest

from tests.otel.watched import AGENT, BEGIN, CHAT, MS, QUIET, Watched, blocked, waited
from trading_graph.otel.diagnosis import (
    Diagnosis,
    Finding,
    FindingKind,
    PathClass,
    Schedule,
    call_tree,
    diagnose,
)
from trading_graph.otel.diagnosis.blocked_loop import Block, blocks
from trading_graph.otel.report.documents.diagnosis import diagnosis_document
from trading_graph.otel.report.page import diagnosis_markdown
from trading_graph.otel.report.time_use import time_of_largest
from trading_graph.otel.trace import Event, SpanTable
from trading_graph.otel.verdict import Cause, Outcome, neutral_gate
from trading_graph.otel.vocabularies import witness

TOOL = {"gen_ai.operation.name": "execute_tool"}
LATE = {**QUIET, witness.LOOP_LAG_MAX_MS: 400.0}


def diagnosed(trace: SpanTable) -> Diagnosis:
    found = diagnose(trace, neutral_gate())
    assert isinstance(found, Diagnosis), found.missing
    return found


def finding(found: Diagnosis, kind: FindingKind) -> Finding:
    (only,) = [each for each in found.findings if each.kind is kind]
    return only


def tools_in_turn(kind: str, *, outside: bool = False) -> SpanTable:
    """Four tools that an answer asks for, and do their work one after the other."""
    drawing = Watched()
    places = [(100, 100 * number) for number in range(2, 5)]
    around = waited(kind, *places) if outside else {}
    agent = drawing.add("agent", 0, 500, {**QUIET, **AGENT, **around})
    drawing.add("chat", 0, 100, {**QUIET, **CHAT}, parent=agent)
    for number in range(4):
        begin, end = 100 * (number + 1), 100 * (number + 2)
        said = {**QUIET, **TOOL, "gen_ai.tool.call.id": f"call {number}"}
        if not outside and number:
            said |= waited(kind, (0, begin - 100))
        drawing.add(f"tool {number}", begin if outside else 100, end, said, parent=agent)
    return drawing.trace(500)


@pytest.mark.parametrize(
    ("wait", "kind", "cause", "words"),
    [
        ("", FindingKind.QUEUE, Cause.CONNECTION_LIMIT, "waited"),
        ("connection_pool", FindingKind.QUEUE, Cause.CONNECTION_LIMIT, "for a free connection"),
        ("rate_limit", FindingKind.QUEUE, Cause.CONNECTION_LIMIT, "for a rate limit"),
        ("semaphore", FindingKind.LIMIT, Cause.SEMAPHORE, "for a semaphore"),
        ("lock", FindingKind.LIMIT, Cause.SEMAPHORE, "for a lock"),
        ("executor", FindingKind.LIMIT, Cause.EXECUTOR, "for a thread of an executor"),
        ("queue", FindingKind.WORKERS, Cause.WORKERS, "for a worker"),
        ("task", FindingKind.LIMIT, Cause.TASK, "for each other"),
        ("callback", FindingKind.CALLBACKS, Cause.CALLBACK, "instrumentor's own callbacks"),
    ],
)
def test_a_finding_names_the_wait_that_the_verdict_names(
    wait: str, kind: FindingKind, cause: Cause, words: str
) -> None:
    found = diagnosed(tools_in_turn(wait))
    about = finding(found, kind)
    assert about.causes == (cause,)
    assert words in about.evidence
    judged = [check for check in found.verdict.checks if check.outcome is Outcome.FAIL]
    assert [check.causes for check in judged] == [(cause,)]
    assert [each.kind for each in found.findings if each.causes] == [kind]


def test_all_that_wait_at_a_limit_pass_it_in_the_run_that_is_played_again() -> None:
    """The last waited 300 ms. Without its wait alone, the third would end the run after 400."""
    about = finding(diagnosed(tools_in_turn("semaphore")), FindingKind.LIMIT)
    assert about.wall.likely_s == pytest.approx(0.2)
    assert about.wall.high_s == pytest.approx(0.51)
    assert not about.proven


def test_spans_that_open_after_their_wait_could_all_start_at_once() -> None:
    found = diagnosed(tools_in_turn("lock", outside=True))
    about = finding(found, FindingKind.LIMIT)
    assert "4 spans ran one after the other: a lock lets them in" in about.evidence
    assert about.causes == (Cause.SEMAPHORE,)
    assert about.wall.likely_s == pytest.approx(0.2)


def test_a_wait_between_the_parts_of_a_span_is_taken_from_the_pause() -> None:
    drawing = Watched()
    tool = drawing.add("tool", 0, 500, {**QUIET, **TOOL, **waited("lock", (110, 390))})
    drawing.add("first", 0, 100, {**QUIET, **CHAT}, parent=tool)
    drawing.add("second", 400, 500, {**QUIET, **CHAT}, parent=tool)
    found = diagnosed(drawing.trace(500))
    about = finding(found, FindingKind.LIMIT)
    assert about.wall.likely_s == pytest.approx(0.22)
    assert found.by_class[PathClass.WAITING] == pytest.approx(0.28)


def test_callbacks_that_wait_are_in_no_plan() -> None:
    found = diagnosed(tools_in_turn("callback"))
    assert finding(found, FindingKind.CALLBACKS).gain.low_s == 0
    assert FindingKind.CALLBACKS not in [step.kind for step in found.steps]


def three_tools(*events: Event, lag_ms: float = 412.0) -> SpanTable:
    """Three tools of one turn, open together, on a loop that was blocked three times."""
    drawing = Watched()
    lag = {witness.LOOP_LAG_MAX_MS: lag_ms}
    agent = drawing.add("agent", 0, 1400, {**QUIET, **AGENT, **lag}, events=events)
    drawing.add("chat", 0, 100, {**QUIET, **CHAT}, parent=agent)
    for number in range(3):
        said = {**QUIET, **TOOL, **lag, "gen_ai.tool.call.id": f"call {number}"}
        inside = [e for e in events if e.time_ns < BEGIN + (510 + 412 * number) * MS]
        end = 513 + 412 * number
        drawing.add(f"tool {number}", 100, end, said, parent=agent, events=inside)
    return drawing.trace(1400, events=events)


IN_TURN = [blocked(101, 411), blocked(513, 411), blocked(925, 411)]
LIBRARY: dict[str, Any] = {witness.BLOCKED_LIBRARY: "requests/sessions.py:589"}


def test_recorded_blocks_are_where_and_when_they_were() -> None:
    trace = three_tools(*IN_TURN)
    tree = call_tree(trace, trace.roots[0])
    (periods,) = blocks(tree).by_loop.values()
    assert periods == [
        Block(BEGIN + start * MS, BEGIN + (start + 411) * MS, trace.names.index(name))
        for start, name in ((101, "tool 0"), (513, "tool 1"), (925, "tool 2"))
    ]


def test_the_finding_names_the_line_that_the_verdict_names() -> None:
    trace = three_tools(blocked(101, 411), blocked(513, 412, **LIBRARY), blocked(925, 410))
    found = diagnosed(trace)
    about = finding(found, FindingKind.BLOCKED_LOOP)
    line = "blocked for 412 ms by requests/sessions.py:589, called from tools/prices.py:31 fetch"
    assert line in about.evidence
    judged = [check for check in found.verdict.checks if check.causes == (Cause.BLOCKED_LOOP,)]
    assert judged
    assert all(line in check.grade for check in judged)
    assert len(about.blocks) == 3
    assert about.wall.likely_s < 0.8
    (document,) = [
        each for each in diagnosis_document(found).findings if each.kind == "blocked event loop"
    ]
    assert [each.line for each in document.blocks] == [31, 31, 31]


def test_a_starved_loop_is_blocked_by_no_span() -> None:
    said: dict[str, Any] = {witness.BLOCKED_STARVED_MS: 380.0, witness.BLOCKED_CPU_SHARE: 0.1}
    starved = blocked(101, 411, "starved", **said)
    trace = three_tools(starved)
    assert Schedule(call_tree(trace, trace.roots[0])).blocks.rows == ()
    assert FindingKind.BLOCKED_LOOP not in [each.kind for each in diagnosed(trace).findings]


def test_the_time_of_other_programs_is_no_part_of_a_block() -> None:
    said: dict[str, Any] = {witness.BLOCKED_STARVED_MS: 111.0}
    trace = three_tools(blocked(101, 411, **said))
    (periods,) = blocks(call_tree(trace, trace.roots[0])).by_loop.values()
    (period,) = periods
    assert period.end_ns - period.start_ns == 300 * MS


def test_threads_that_hold_the_interpreter_are_a_finding_of_their_own() -> None:
    held = [blocked(at, 411, "interpreter_lock") for at in (101, 513, 925)]
    trace = three_tools(*held)
    assert Schedule(call_tree(trace, trace.roots[0])).blocks.rows == ()
    found = diagnosed(trace)
    about = finding(found, FindingKind.INTERPRETER_LOCK)
    assert about.causes == (Cause.INTERPRETER_LOCK,)
    assert "held up for 411 ms by threads that hold the interpreter lock" in about.evidence


def test_the_time_of_the_largest_span_is_divided_where_that_is_recorded() -> None:
    drawing = Watched()
    parts = {witness.RUNNING_MS: 40.0, witness.SOCKET_MS: 700.0, witness.TIMER_MS: 2.0}
    drawing.add("fetch", 0, 1000, {**QUIET, **TOOL, **parts, **waited("lock", (0, 250))})
    drawing.add("short", 1000, 1100, {**QUIET, **TOOL, witness.RUNNING_MS: 100.0})
    found = diagnosed(drawing.trace(1100))
    sentence = (
        "The largest there is 'fetch', 1.00 s: 0.70 s waiting for input or output, 0.25 s waiting "
        "for its turn, 40 ms running."
    )
    assert time_of_largest(found) == sentence
    assert sentence.replace("'", "") in diagnosis_markdown(found).replace("'", "")
    assert time_of_largest(diagnosed(tools_in_turn("lock"))) == ""
