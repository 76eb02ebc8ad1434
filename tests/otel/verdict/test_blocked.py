"""A blocked event loop has a line, and one that got no CPU is said to have starved."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.otel.watched import CHAT, QUIET, Watched, blocked, rows
from trading_graph.otel.report.documents.verdict import verdict_document
from trading_graph.otel.trace import Event, SpanTable
from trading_graph.otel.trace.blocks import CodeLine, loop_blocks
from trading_graph.otel.verdict import (
    Cause,
    CheckResult,
    Gate,
    Outcome,
    Strength,
    judge,
    parallelism,
)
from trading_graph.otel.verdict.blocked import in_words
from trading_graph.otel.vocabularies import witness

LIBRARY: dict[str, Any] = {witness.BLOCKED_LIBRARY: "requests/sessions.py:589"}
GATE = Gate.from_dict(
    {"checks": [{"relation": "loop_lag", "set": {"name": ["*"]}, "limit_ms": 100}]}
)


def in_turn(*events: Event, lag_ms: float = 400.0, **more: Any) -> SpanTable:
    """Three calls that are open together while the loop is blocked; all carry the events."""
    return together(412, 824, 1236, events=events, lag_ms=lag_ms, **more)


def together(*ends: float, events: Sequence[Event], lag_ms: float, **more: Any) -> SpanTable:
    """Calls that start at once and end as given."""
    drawing = Watched()
    said = {**QUIET, **CHAT, witness.LOOP_LAG_MAX_MS: lag_ms, **more}
    for number, end in enumerate(ends):
        drawing.add(f"call {number}", 0, end, said, events=events)
    return drawing.trace(max(ends), events=events)


def said_of(trace: SpanTable) -> tuple[Strength, Cause | None, str]:
    found = parallelism(trace, rows(trace))
    return found.strength, found.cause, str(found)


def lag_check(trace: SpanTable) -> CheckResult:
    (result,) = judge(trace, GATE).checks
    return result


def test_the_line_that_blocked_is_named_with_the_library_that_it_called() -> None:
    trace = in_turn(blocked(0, 412, **LIBRARY))
    strength, cause, words = said_of(trace)
    assert (strength, cause) == (Strength.SERIAL, Cause.BLOCKED_LOOP)
    assert words == (
        "serial: the event loop was blocked for 412 ms by requests/sessions.py:589, called from "
        "tools/prices.py:31 fetch"
    )


def test_own_code_that_blocks_is_named_alone() -> None:
    words = said_of(in_turn(blocked(0, 412)))[2]
    assert words.endswith("was blocked for 412 ms at tools/prices.py:31 fetch")


def test_a_block_that_every_span_carries_counts_once() -> None:
    """A span that ended meanwhile has a part of it."""
    drawing = Watched()
    said = {**QUIET, **CHAT, witness.LOOP_LAG_MAX_MS: 412.0}
    drawing.add("early", 0, 200, said, events=[blocked(10, 190)])
    drawing.add("late", 5, 500, said, events=[blocked(10, 412), blocked(450, 30)])
    trace = drawing.trace(500)
    first, second = loop_blocks(trace, trace.roots[0])
    assert (first.own_ns, second.own_ns) == (412_000_000, 30_000_000)
    assert {trace.names[row] for row in first.rows} == {"early", "late"}


def test_several_blocks_are_summed_and_the_longest_is_named() -> None:
    later: dict[str, Any] = {witness.CODE_LINE: 44, witness.CODE_FUNCTION: "parse"}
    trace = in_turn(blocked(0, 200), blocked(300, 412, **later), blocked(900, 150))
    assert "412 ms at tools/prices.py:44 parse (3 blocks, 762 ms in all)" in said_of(trace)[2]


def test_the_check_of_the_lag_names_lines_and_says_others_in_notes() -> None:
    other: dict[str, Any] = {witness.CODE_LINE: 44}
    found = lag_check(in_turn(blocked(0, 412, **LIBRARY), blocked(500, 120, **other)))
    assert found.outcome is Outcome.FAIL
    assert found.measured == (
        "at most 400 ms: blocked for 412 ms by requests/sessions.py:589, called from "
        "tools/prices.py:31 fetch"
    )
    assert found.notes == ("The event loop was blocked for 120 ms at tools/prices.py:44 fetch.",)


def test_a_block_of_a_loop_that_the_members_do_not_run_on_is_not_theirs() -> None:
    drawing = Watched()
    said = {**QUIET, **CHAT, witness.LOOP_LAG_MAX_MS: 400.0, witness.LOOP_ID: 1}
    for number in range(3):
        drawing.add(f"call {number}", 0, 412 * (number + 1), said)
    elsewhere = {**QUIET, witness.LOOP_ID: 2}
    drawing.add("elsewhere", 0, 412, elsewhere, events=[blocked(0, 412)])
    trace = drawing.trace(1236)
    found = parallelism(trace, rows(trace, "call 0", "call 1", "call 2"))
    assert str(found) == "serial: the event loop was blocked"


def test_a_block_inside_a_collection_says_so() -> None:
    collecting: dict[str, Any] = {witness.BLOCKED_GC: True}
    words = said_of(in_turn(blocked(0, 412, **collecting)))[2]
    assert "blocked for 412 ms in a garbage collection at tools/prices.py:31" in words


def test_a_loop_that_waits_for_the_interpreter_lock_has_the_threads_cause() -> None:
    strength, cause, words = said_of(in_turn(blocked(0, 412, "interpreter_lock")))
    assert (strength, cause) == (Strength.SERIAL, Cause.INTERPRETER_LOCK)
    assert "blocked" not in words


STARVED: dict[str, Any] = {witness.BLOCKED_STARVED_MS: 800.0, witness.BLOCKED_CPU_SHARE: 0.12}


@pytest.mark.parametrize("lag_ms", [150, 600])
def test_a_starved_loop_is_never_blocked_by_anything(lag_ms: float) -> None:
    starved = [blocked(0, 830, "starved", **STARVED)]
    trace = together(840, 850, 870, events=starved, lag_ms=lag_ms)
    strength, cause, words = said_of(trace)
    assert (strength, cause) == (Strength.OVERLAPPING, Cause.BUSY_MACHINE)
    assert words.endswith("starved by other programs for 800 ms: the process got 12 % of a CPU")
    assert "blocked" not in words


def test_a_starved_loop_is_told_although_the_check_passes() -> None:
    found = lag_check(in_turn(blocked(0, 830, "starved", **STARVED), lag_ms=30))
    assert found.outcome is Outcome.PASS
    (note,) = found.notes
    assert note == (
        "The event loop was starved by other programs for 800 ms: the process got 12 % of a CPU."
    )


@pytest.mark.parametrize("state", ["sleeping", "starved"])
def test_a_loop_that_was_blocked_and_starved_is_said_to_be_both(state: str) -> None:
    trace = in_turn(blocked(0, 1212, state, **STARVED))
    words = said_of(trace)[2]
    assert "blocked for 412 ms at tools/prices.py:31 fetch, and starved by other" in words


def test_a_starved_loop_without_figures_is_starved_all_the_time() -> None:
    trace = in_turn(blocked(0, 500, "starved"))
    (block,) = loop_blocks(trace, trace.roots[0])
    assert in_words(block) == "starved by other programs for 500 ms"


@pytest.mark.parametrize(
    "odd",
    [
        {witness.BLOCKED_DURATION_MS: "long"},
        {witness.BLOCKED_DURATION_MS: -3.0},
        {witness.BLOCKED_DURATION_MS: float("inf")},
        {witness.BLOCKED_DURATION_MS: None},
    ],
)
def test_an_event_that_does_not_say_for_how_long_is_ignored(odd: dict[str, Any]) -> None:
    trace = in_turn(blocked(0, 412, **odd))
    assert said_of(trace)[2] == "serial: the event loop was blocked"


def test_an_event_that_knows_no_line_still_says_for_how_long() -> None:
    odd: dict[str, Any] = {witness.CODE_FILE: 7, witness.CODE_LINE: "x", witness.BLOCKED_STATE: 3}
    trace = in_turn(blocked(0, 412, **odd))
    assert said_of(trace)[2] == "serial: the event loop was blocked for 412 ms"


@pytest.mark.parametrize(
    ("file", "shown"),
    [
        ("{here}/tools/prices.py", "tools/prices.py"),
        ("/elsewhere/app/tools/prices.py", "tools/prices.py"),
        ("/prices.py", "prices.py"),
        ("tools/prices.py", "tools/prices.py"),
        ("C:\\app\\tools\\prices.py", "tools/prices.py"),
    ],
)
def test_files_are_shown_from_the_folder_or_by_their_last_two_parts(
    file: str, shown: str, tmp_path: Path
) -> None:
    line = CodeLine(file.format(here=tmp_path), 31, "fetch")
    assert line.shown(str(tmp_path)) == f"{shown}:31 fetch"


def test_a_document_has_the_line_as_fields() -> None:
    said = LIBRARY | {witness.BLOCKED_TASK: "Task-3"}
    trace = in_turn(blocked(0, 412, **said))
    (check,) = verdict_document(judge(trace, GATE)).checks
    (block,) = check.blocks
    assert (block.file, block.line, block.function) == ("/srv/app/tools/prices.py", 31, "fetch")
    assert (block.duration_s, block.state) == (0.412, "sleeping")
    assert (block.library, block.task) == ("requests/sessions.py:589", "Task-3")
