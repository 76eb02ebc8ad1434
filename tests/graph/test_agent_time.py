"""Time limits that move, and the time of an agent that waits in its service's line."""

import asyncio

import pytest

from trading_graph.graph.agent_time import AgentTime, until

STEP_S = 0.05


async def test_a_block_ends_at_its_moment() -> None:
    loop = asyncio.get_running_loop()
    due = loop.time() + STEP_S
    with pytest.raises(TimeoutError):
        async with until(lambda: due):
            await asyncio.Event().wait()
    assert loop.time() >= due


async def test_a_moment_that_moves_is_waited_for() -> None:
    loop = asyncio.get_running_loop()
    start, moves = loop.time(), iter((1, 2, 3))
    due = start + STEP_S

    def moving() -> float:
        nonlocal due
        if loop.time() >= due and next(moves, None):
            due += STEP_S
        return due

    with pytest.raises(TimeoutError):
        async with until(moving):
            await asyncio.Event().wait()
    assert loop.time() - start >= 4 * STEP_S


async def test_a_block_that_ends_in_time_leaves_nothing_behind() -> None:
    loop = asyncio.get_running_loop()
    calls = 0

    def due() -> float:
        nonlocal calls
        calls += 1
        return loop.time() + STEP_S

    async with until(due):
        pass
    await asyncio.sleep(2 * STEP_S)
    assert calls == 1


async def test_a_cancellation_is_no_timeout() -> None:
    async def wait() -> None:
        async with until(lambda: asyncio.get_running_loop().time() + 60):
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_waiting_in_line_does_not_count_while_the_service_is_alive() -> None:
    loop = asyncio.get_running_loop()
    life = loop.time()
    own = AgentTime(10)
    before = own.due()
    with own.in_line(lambda: life) as answer_begins:
        assert own.due() == pytest.approx(before, abs=1e-3)
        life += 7
        assert own.due() == pytest.approx(before + 7, abs=0.01)
        answer_begins()
        life += 5
        assert own.due() == pytest.approx(before + 7, abs=0.01), "its own answer takes its time"
    assert own.due() == pytest.approx(before + 7, abs=0.01)


async def test_a_silent_service_takes_the_agents_time() -> None:
    own = AgentTime(STEP_S)

    async def wait() -> None:
        async with until(own.due):
            with own.in_line(lambda: 0.0):
                await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await wait()
