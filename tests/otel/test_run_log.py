"""The log of a run, and a run that another process continues after a kill."""

import asyncio
import contextvars
import fcntl
import json
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from opentelemetry import trace as api
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider

from tests.run_lives import Life, of_an_earlier_release, provider
from trading_graph.otel import spans
from trading_graph.otel.export import TraceFile
from trading_graph.otel.files.run_log import JOURNAL, RunLog, as_spans, is_locked, is_open
from trading_graph.otel.files.span_lines import to_line
from trading_graph.otel.files.unfinished_run import bring_up, read_log, read_unfinished_run
from trading_graph.otel.sources import parse, read
from trading_graph.otel.spans import UnfinishedRun
from trading_graph.otel.trace import ERROR, SpanTable, semconv
from trading_graph.otel.verdict import completeness, interruptions


async def dies_in_the_second(
    life: Life,
    file: TraceFile,
    tracer_provider: TracerProvider,
    parent: Context | None,
    unfinished: UnfinishedRun | None = None,
) -> None:
    """A run whose process dies during its second agent's tool call."""
    run_scope = spans.run(
        "w",
        provider=tracer_provider,
        attributes={},
        parent=parent,
        unfinished=unfinished,
        listeners=[file],
    )
    run = await run_scope.__aenter__()
    with spans.agent("first"):
        pass
    # None of these is ever exited.
    for each in (
        spans.agent("second"),
        spans.tool("t", call_id="1", args_hash="key=s3cret-value", turn=1),
    ):
        each.__enter__()
    assert unfinished is not None or run.recording.spans_started == 4
    await asyncio.to_thread(life.die, file)


def in_own_context(program: Callable[[], object]) -> None:
    """Run in a context of its own, without what a dead process attached."""
    contextvars.Context().run(program)


def resume(life: Life) -> SpanTable:
    unfinished = read_unfinished_run(life.trace)
    assert unfinished is not None
    file, tracer_provider = life.take_up(), provider()

    async def program() -> None:
        async with spans.run(
            "w", provider=tracer_provider, attributes={}, unfinished=unfinished, listeners=[file]
        ):
            with spans.agent("second"):
                pass

    in_own_context(lambda: asyncio.run(program()))
    return life.end(file)


def first_life(folder: Path, parent: Context | None = None) -> Life:
    life = Life(folder, ("s3cret-value",))
    file, tracer_provider = life.begin(), provider()
    in_own_context(lambda: asyncio.run(dies_in_the_second(life, file, tracer_provider, parent)))
    return life


def test_what_was_open_is_ended_as_killed_with_its_own_ids(tmp_path: Path) -> None:
    life = first_life(tmp_path)
    (before,) = parse(as_spans(life.trace.read_bytes()), "log")
    trace = resume(life)
    assert completeness(trace).exact
    killed_rows = [row for row in range(len(trace)) if _error(trace, row) == semconv.KILLED]
    assert [trace.names[row] for row in killed_rows] == ["invoke_agent second", "execute_tool t"]
    for row in killed_rows:
        was = before.row_of[trace.span_ids[row]]
        assert trace.start[row] == before.start[was]
        assert before.end[was] == 0
        assert trace.status[row] == ERROR
    (run,) = trace.roots
    (was,) = before.roots
    assert trace.span_ids[run] == before.span_ids[was]
    assert trace.start[run] == before.start[was]
    assert trace.trace_id == before.trace_id
    assert trace.attributes(run)[semconv.RUN_ID] == before.attributes(was)[semconv.RUN_ID]
    assert trace.attributes(run)[semconv.SPANS_STARTED] == len(trace) == 6


def test_the_time_without_a_process_is_a_span_of_its_own(tmp_path: Path) -> None:
    life = first_life(tmp_path)
    unfinished = read_unfinished_run(life.trace)
    assert unfinished is not None
    time.sleep(0.1)
    resumed_at = time.time_ns()
    trace = resume(life)
    (run,) = trace.roots
    (death,) = interruptions(trace, run)
    assert death.killed_spans == 2
    assert death.at_ns == unfinished.last_sign_ns < resumed_at
    assert death.at_ns + death.dead_ns >= resumed_at
    ends = [int(trace.end[row]) for row in trace.rows("invoke_agent second")]
    assert ends[0] == death.at_ns < ends[1]


def test_a_run_under_a_caller_stays_under_it(tmp_path: Path) -> None:
    caller = api.SpanContext(1 << 100, 77, is_remote=True, trace_flags=api.TraceFlags(1))
    parent = api.set_span_in_context(api.NonRecordingSpan(caller))
    trace = resume(first_life(tmp_path, parent))
    assert trace.trace_id == f"{1 << 100:032x}"
    state = completeness(trace)
    assert state.exact
    assert state.run is not None
    assert trace.orphans == [state.run], "the caller's span is not here"


def test_the_log_of_a_run_says_whether_that_is_over(tmp_path: Path) -> None:
    life = first_life(tmp_path)
    assert is_open(life.trace)
    resume(life)
    assert not is_open(life.trace)


def test_a_log_that_was_copied_is_a_trace(tmp_path: Path) -> None:
    """Nobody resumes the copy, and its last sign of life is not when it was copied."""
    life = first_life(tmp_path)
    copy = tmp_path / "elsewhere" / "trace.jsonl"
    copy.parent.mkdir()
    copy.write_bytes(life.trace.read_bytes())
    assert not is_open(copy)


def test_the_log_holds_no_secret(tmp_path: Path) -> None:
    life = first_life(tmp_path)
    assert b"execute_tool" in life.trace.read_bytes()
    assert b"s3cret-value" not in life.trace.read_bytes()


def test_only_one_process_has_a_log(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    first = RunLog.begin(path)
    assert is_locked(path)
    assert RunLog.take_up(path) is None
    first.close(over=False)
    assert not is_locked(path)
    second = RunLog.take_up(path)
    assert second is not None
    assert is_locked(path)
    second.close(over=True)


def test_a_log_says_starts_and_ends_in_their_order(tmp_path: Path) -> None:
    """A reader of OTLP sees the ended spans alone, and none of them twice."""
    life = first_life(tmp_path)
    trace = resume(life)
    log = [(span.name, bool(span.end_time)) for span in read_log(life.trace)]
    root, second, tool = "invoke_workflow w", "invoke_agent second", "execute_tool t"
    assert log == [
        (root, False),
        ("invoke_agent first", False),
        ("invoke_agent first", True),
        (second, False),
        (tool, False),
        # The next process opens them again, to end them.
        (root, False),
        (second, False),
        (second, True),
        (tool, False),
        (tool, True),
        ("interruption", False),
        ("interruption", True),
        (second, False),
        (second, True),
        (root, True),
    ]
    ended = [
        span
        for line in life.trace.read_text().splitlines()
        for resource in json.loads(line)["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]
    assert [each["name"] for each in ended] == [name for name, has_ended in log if has_ended]
    assert all(int(each["endTimeUnixNano"]) for each in ended)
    assert len(trace) == len(ended)


def test_the_two_files_of_an_earlier_release_become_a_log(tmp_path: Path) -> None:
    life = first_life(tmp_path)
    log, unfinished = read_log(life.trace), read_unfinished_run(life.trace)
    of_an_earlier_release(life.trace)
    sign = (life.trace.with_name(JOURNAL)).stat().st_mtime_ns
    assert bring_up(life.trace)
    assert not life.trace.with_name(JOURNAL).exists()
    assert life.trace.stat().st_mtime_ns == sign, "the last sign of life"
    assert [to_line([span]) for span in read_log(life.trace)] == [to_line([span]) for span in log]
    again = read_unfinished_run(life.trace)
    assert unfinished is not None
    assert again is not None
    assert [span.name for span in again.open_spans] == [span.name for span in unfinished.open_spans]
    assert completeness(resume(life)).exact


def test_a_live_process_of_an_earlier_release_keeps_its_files(tmp_path: Path) -> None:
    life = first_life(tmp_path)
    of_an_earlier_release(life.trace)
    with life.trace.with_name(JOURNAL).open("ab") as journal:
        fcntl.flock(journal, fcntl.LOCK_EX)
        assert not bring_up(life.trace)
        assert life.trace.with_name(JOURNAL).exists()


def test_a_trace_of_an_earlier_release_is_read_as_if_it_were_a_log(tmp_path: Path) -> None:
    life = first_life(tmp_path)
    resume(life)
    of_an_earlier_release(life.trace)
    life.trace.with_name(JOURNAL).unlink()
    log = [(span.name, bool(span.end_time)) for span in read_log(life.trace)]
    assert log[0] == ("invoke_workflow w", False)
    assert log[-1] == ("invoke_workflow w", True)
    times = [span.end_time or span.start_time or 0 for span in read_log(life.trace)]
    assert times == sorted(times)
    assert len(log) == 2 * len(read(life.trace)[0])


def test_a_run_that_has_ended_is_not_unfinished(tmp_path: Path) -> None:
    """The process died between the end of the run's span and the last line of its log."""
    life = Life(tmp_path)
    file, tracer_provider = life.begin(), provider()

    async def program() -> None:
        async with spans.run("w", provider=tracer_provider, attributes={}, listeners=[file]):
            pass

    asyncio.run(program())
    life.die(file)
    assert read_unfinished_run(life.trace) is None


@pytest.mark.parametrize("part", [b'{"resourceSpans":[{"scopeSp', b'{"resourceSpans":[],"sta'])
def test_a_line_that_was_cut_off_is_dropped_and_written_over(tmp_path: Path, part: bytes) -> None:
    life = first_life(tmp_path)
    with life.trace.open("ab") as file:
        file.write(part)
    trace = resume(life)
    assert completeness(trace).exact
    assert not trace.flaws


ROOT = Path(__file__).parents[2]

PROGRAM = textwrap.dedent(
    """
    import asyncio, random, sys
    from pathlib import Path
    from tests.run_lives import Life, provider
    from trading_graph.otel import spans
    from trading_graph.otel.files.unfinished_run import read_unfinished_run

    folder, seed = Path(sys.argv[1]), int(sys.argv[2])
    life, done = Life(folder), folder / "done"
    unfinished = read_unfinished_run(life.trace) if life.trace.exists() else None
    file = life.take_up() if life.trace.exists() else life.begin()
    chance = random.Random(seed)

    async def work(depth):
        for number in range(chance.randint(1, 3)):
            with spans.tool(f"t{depth}", call_id=str(number), args_hash="", turn=number):
                await asyncio.sleep(chance.random() * 0.02)
                if depth:
                    await asyncio.gather(*(work(depth - 1) for _ in range(chance.randint(0, 3))))

    async def main():
        async with spans.run(
            "w", provider=provider(), attributes={}, unfinished=unfinished, listeners=[file]
        ):
            print("begun", flush=True)
            for name in ("a", "b", "c"):
                if (folder / name).exists():
                    continue
                with spans.agent(name):
                    await work(3)
                (folder / name).touch()

    asyncio.run(main())
    life.end(file)
    """
)


@pytest.mark.parametrize(
    "case", [0, *(pytest.param(each, marks=pytest.mark.full) for each in range(1, 4))]
)
def test_a_program_killed_at_any_moment_leaves_a_trace_that_becomes_whole(
    tmp_path: Path, case: int
) -> None:
    """Whatever was open, and however often: every declared span is there, and none is an orphan."""
    chance = random.Random(case)
    folder = tmp_path
    kills = 0
    while True:
        command = [sys.executable, "-c", PROGRAM, str(folder), str(case * 100 + kills)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT)
        assert process.stdout is not None
        if kills < 2 and process.stdout.readline():
            time.sleep(chance.random() * 0.3)
            process.send_signal(signal.SIGKILL)
            kills += process.wait() == -signal.SIGKILL
            process.stdout.close()
            if is_open(folder / "trace.jsonl"):
                continue
        else:
            process.communicate()
            assert process.returncode == 0
        break
    (trace,) = read(folder / "trace.jsonl")
    state = completeness(trace)
    assert state.exact, state.missing
    (run,) = trace.roots
    dead = interruptions(trace, run)
    assert len(dead) <= kills
    killed_rows = [row for row in range(len(trace)) if _error(trace, row) == semconv.KILLED]
    assert len(killed_rows) == sum(each.killed_spans for each in dead)


def _error(trace: SpanTable, row: int) -> object:
    return trace.attributes(row).get(semconv.ERROR_TYPE)


class BrokenError(Exception):
    """What a run fails with."""


def failed_life(folder: Path) -> Life:
    """A run that ended in an error after its first agent."""
    life = Life(folder)
    file, tracer_provider = life.begin(), provider()

    async def program() -> None:
        async with spans.run("w", provider=tracer_provider, attributes={}, listeners=[file]):
            with spans.agent("first"):
                pass
            with spans.agent("second"):
                raise BrokenError

    with pytest.raises(BrokenError):
        in_own_context(lambda: asyncio.run(program()))
    life.die(file)
    return life


def test_a_run_that_failed_is_gone_on_with_in_the_same_trace(tmp_path: Path) -> None:
    life = failed_life(tmp_path)
    (before,) = read(life.trace)
    assert completeness(before).exact
    unfinished = read_unfinished_run(life.trace)
    assert unfinished is not None
    assert unfinished.open_spans == ()
    assert unfinished.failure.endswith("BrokenError")
    (was,) = before.roots
    assert unfinished.last_sign_ns >= before.end[was]

    trace = resume(life)
    assert completeness(trace).exact
    assert not trace.flaws
    (run,) = trace.roots
    assert trace.span_ids[run] == before.span_ids[was]
    assert trace.start[run] == before.start[was]
    assert trace.end[run] > before.end[was]
    assert trace.status[run] != ERROR, "its last end counts"
    (interruption,) = interruptions(trace, run)
    assert (interruption.killed_spans, interruption.failure) == (0, unfinished.failure)


@pytest.mark.parametrize("backwards", [False, True])
def test_the_last_end_of_a_resumed_run_counts_in_any_order(tmp_path: Path, backwards: bool) -> None:
    life = failed_life(tmp_path)
    whole = resume(life)
    lines = life.trace.read_bytes().splitlines(keepends=True)
    life.trace.write_bytes(b"".join(lines[::-1] if backwards else lines))
    (trace,) = read(life.trace)
    assert not trace.flaws
    assert list(trace.end) == list(whole.end)
    assert list(trace.status) == list(whole.status)


def test_a_failed_run_that_is_killed_when_it_goes_on_was_killed(tmp_path: Path) -> None:
    life = failed_life(tmp_path)
    unfinished = read_unfinished_run(life.trace)
    file, tracer_provider = life.take_up(), provider()
    in_own_context(
        lambda: asyncio.run(dies_in_the_second(life, file, tracer_provider, None, unfinished))
    )
    again = read_unfinished_run(life.trace)
    assert again is not None
    assert [span.name for span in again.open_spans] == [
        "invoke_agent second",
        "execute_tool t",
    ]
    assert again.failure == ""
    trace = resume(life)
    assert completeness(trace).exact
    (run,) = trace.roots
    first, second = interruptions(trace, run)
    assert (first.killed_spans, second.killed_spans) == (0, 2)
    assert first.failure
    assert not second.failure
