"""How the samples of a turn become blocks, and what the shares of the time say."""

import pytest

from trading_graph.otel.vocabularies.witness import BlockState
from trading_graph.otel.witness.blocks import (
    MAX_STRETCHES,
    Block,
    Mark,
    Place,
    Turn,
    state_by_account,
    state_without_account,
)
from trading_graph.otel.witness.cpu_time import Reading
from trading_graph.otel.witness.stacks import Line, Stack

MS = 1_000_000
PERIOD = 50
AGENT = Line("agents.py", 10, "agent")
TOOL = Line("tools.py", 31, "fetch")
PARSE = Line("tools.py", 52, "parse")
SOCKET = Line("socket.py", 718, "readinto")
SSL = Line("ssl.py", 1166, "read")
TASK = 1, "Task-1"


def _mark(at: int, cpu: int = 0, queue: int = 0, runs: int = 0, others: int = 0) -> Mark:
    return Mark(at * MS, (cpu + others) * MS, 0, Reading(cpu * MS, queue * MS, runs))


def _place(*own: Line, task: tuple[int, str] | None = TASK, library: Line | None = None) -> Place:
    return Place(task, Stack(own, library))


def _blocks(turn: Turn, after: Mark, threshold: int = 100, collected: int = 0) -> list[Block]:
    return turn.blocks(1, after.time_ns, after, threshold * MS, lambda *_: collected * MS)


def _turn(*places: Place) -> Turn:
    """A turn that begins at 0, with a sample every 50 ms."""
    turn = Turn(0, _mark(-PERIOD))
    for number, place in enumerate(places, 1):
        turn.add(_mark(number * PERIOD), place)
    return turn


def test_the_time_of_other_programs_is_subtracted_before_a_block_is_long_enough() -> None:
    """350 ms of own work lasted 2.4 s: it is both."""
    turn = Turn(0, _mark(0))
    for at in range(100, 2_400, 100):
        turn.add(_mark(at, cpu=at * 350 // 2_400, queue=at * 2_050 // 2_400), _place(AGENT))
    after = _mark(2_400, cpu=350, queue=2_050)
    [block] = _blocks(turn, after)
    assert block.state is BlockState.STARVED
    assert (block.end_ns - block.start_ns, block.starved_ns) == (2_400 * MS, 2_050 * MS)
    assert block.cpu_share == pytest.approx(350 / 2_400)
    assert _blocks(turn, after, threshold=351) == []


def test_a_wait_for_a_cpu_that_is_counted_after_the_last_sample_is_subtracted_too() -> None:
    """The scheduler counts a wait when it is over: at the sample the thread seemed to sleep."""
    turn = Turn(0, _mark(0))
    turn.add(_mark(310), _place(AGENT))
    assert turn.blocks(1, 330 * MS, _mark(360, queue=320), 100 * MS, lambda *_: 0) == []


def test_a_thread_that_has_ended_is_judged_by_its_last_account() -> None:
    turn = Turn(0, _mark(0))
    turn.add(_mark(200, cpu=200), _place(AGENT))
    [block] = _blocks(turn, _mark(220)._replace(thread=None))
    assert block.state is BlockState.COMPUTING


def test_a_part_has_its_own_state() -> None:
    """One task sleeps, the next one computes, in one turn."""
    turn = Turn(0, _mark(0))
    for number in range(1, 9):
        at = number * PERIOD
        place = _place(TOOL) if at <= 200 else _place(PARSE, task=(2, "Task-2"))
        turn.add(_mark(at, cpu=max(at - 200, 0)), place)
    sleeping, computing = _blocks(turn, _mark(400, cpu=200))
    assert (sleeping.state, sleeping.line, sleeping.task) == (BlockState.SLEEPING, TOOL, "Task-1")
    assert (computing.state, computing.line) == (BlockState.COMPUTING, PARSE)


def test_two_tasks_that_block_at_one_line_are_two_blocks() -> None:
    places = [_place(TOOL, task=(number, f"Task-{number}")) for number in (1, 1, 1, 2, 2, 2)]
    assert [block.task for block in _blocks(_turn(*places), _mark(325))] == ["Task-1", "Task-2"]


def test_lines_that_take_turns_are_one_block_at_the_line_that_took_longest() -> None:
    other = TOOL._replace(number=32)
    places = [_place(AGENT, each) for each in (TOOL, other, TOOL, TOOL, other, TOOL)]
    [block] = _blocks(_turn(*places), _mark(350))
    assert block.line == TOOL
    assert (block.start_ns, block.end_ns) == (0, 350 * MS)


def test_functions_that_take_turns_are_one_block_of_their_caller() -> None:
    places = [_place(AGENT, each) for each in (TOOL, PARSE, TOOL, PARSE)]
    [block] = _blocks(_turn(*places), _mark(250))
    assert block.line == AGENT


def test_what_has_no_line_in_common_is_no_block() -> None:
    places = [_place(TOOL, task=None), _place(PARSE, task=None)] * 3
    assert _blocks(_turn(*places), _mark(300)) == []


def test_a_short_step_beside_a_block_is_not_part_of_it() -> None:
    places = [_place(AGENT, TOOL)] * 5 + [_place(AGENT, PARSE)]
    [block] = _blocks(_turn(*places), _mark(310))
    assert block.line == TOOL
    assert block.end_ns < 300 * MS


def test_the_library_line_is_the_one_of_most_samples() -> None:
    leaves = [SSL, SOCKET, SOCKET, SSL, SOCKET, SOCKET]
    [block] = _blocks(_turn(*(_place(TOOL, library=each) for each in leaves)), _mark(350))
    assert block.library == SOCKET


def test_library_code_alone_has_no_own_line() -> None:
    [block] = _blocks(_turn(*[_place(library=SOCKET)] * 4), _mark(250))
    assert (block.line, block.library) == (None, SOCKET)


def test_a_block_is_in_collection_if_most_of_it_was() -> None:
    turn = _turn(*[_place(TOOL)] * 4)
    assert [
        _blocks(turn, _mark(250), collected=each)[0].in_collection for each in (0, 100, 200)
    ] == [
        False,
        False,
        True,
    ]


def test_a_turn_that_never_ends_stays_small() -> None:
    turn = Turn(0, _mark(0))
    for number in range(1, 20_000):
        turn.add(_mark(number), _place(AGENT, TOOL._replace(number=number % 7)))
    assert len(turn._stretches) <= MAX_STRETCHES
    [block] = _blocks(turn, _mark(20_000))
    assert block.end_ns - block.start_ns == 20_000 * MS
    assert block.line is not None
    assert block.line.function == TOOL.function


# Shares of the time as measured, the first figures of each line of the table.
@pytest.mark.parametrize(
    ("queue", "cpu", "others", "runs_per_s", "state"),
    [
        (0.81, 0.14, 0.0, 100, BlockState.STARVED),
        (0.02, 0.0, 0.0, 9, BlockState.SLEEPING),
        (0.04, 0.0, 1.0, 88, BlockState.SLEEPING),
        (0.06, 0.03, 0.83, 217, BlockState.INTERPRETER_LOCK),
        (0.02, 0.94, 0.0, 153, BlockState.COMPUTING),
        (0.6, 0.55, 0.9, 300, BlockState.STARVED),
        (0.0, 0.6, 0.9, 300, BlockState.COMPUTING),
    ],
)
def test_what_a_thread_did_by_the_schedulers_account(
    queue: float, cpu: float, others: float, runs_per_s: float, state: BlockState
) -> None:
    assert state_by_account(queue, cpu, others, runs_per_s) is state


@pytest.mark.parametrize(
    ("process", "late", "state"),
    [
        (0.0, 0.01, BlockState.SLEEPING),
        (0.1, 0.15, BlockState.SLEEPING),
        (0.14, 0.23, BlockState.STARVED),
        (0.1, 0.17, BlockState.UNKNOWN),
        (0.95, 0.96, BlockState.UNKNOWN),  # Whoever holds the interpreter makes the watchdog late.
    ],
)
def test_what_a_thread_did_where_there_is_no_account(
    process: float, late: float, state: BlockState
) -> None:
    assert state_without_account(process, late) is state


def test_without_an_account_a_starved_turn_is_no_block() -> None:
    turn = Turn(0, Mark(0, 0, 0, None))
    turn.add(Mark(150 * MS, 20 * MS, 60 * MS, None), _place(AGENT))
    assert _blocks(turn, Mark(200 * MS, 30 * MS, 80 * MS, None)) == []
