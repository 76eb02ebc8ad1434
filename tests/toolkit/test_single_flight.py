"""One load for all who ask at the same moment; nobody is harmed by another's end."""

import asyncio
import gc

import pytest

from tests.toolkit.upstream import KEY, Upstream, turns
from trading_graph.toolkit.cache import SingleFlightCache
from trading_graph.toolkit.errors import SourceUnavailableError

# Cancellation


async def test_a_cancelled_leader_harms_no_follower() -> None:
    cache, upstream = SingleFlightCache(), Upstream(waits=True)
    leader = asyncio.create_task(cache.get(KEY, upstream.load, ttl=60))
    await turns()
    followers = [asyncio.create_task(cache.get(KEY, upstream.load, ttl=60)) for _ in range(50)]
    await turns()
    leader.cancel()
    await turns()
    upstream.release.set()
    assert await asyncio.gather(*followers) == ["value"] * 50
    with pytest.raises(asyncio.CancelledError):
        await leader
    assert (upstream.calls, upstream.cancelled) == (1, 0)


async def test_of_a_thousand_callers_whose_leader_is_cancelled_nobody_else_fails() -> None:
    cache, upstream = SingleFlightCache(), Upstream(waits=True)
    leader, *followers = [
        asyncio.create_task(cache.get(KEY, upstream.load, ttl=60)) for _ in range(1000)
    ]
    await turns()
    leader.cancel()
    await turns()
    upstream.release.set()
    assert await asyncio.gather(*followers) == ["value"] * 999
    assert leader.cancelled()
    assert (upstream.calls, upstream.cancelled) == (1, 0)


async def test_a_leader_cancelled_before_its_load_began_harms_no_follower() -> None:
    """Leader and followers ask in the same turn of the loop; the load has not run a step yet."""
    cache, upstream = SingleFlightCache(), Upstream()
    leader = asyncio.create_task(cache.get(KEY, upstream.load, ttl=60))
    followers = [asyncio.create_task(cache.get(KEY, upstream.load, ttl=60)) for _ in range(50)]
    await asyncio.sleep(0)
    leader.cancel()
    assert await asyncio.gather(*followers) == ["value"] * 50
    assert leader.cancelled()
    assert upstream.calls == 1


async def test_a_cancelled_follower_harms_nobody() -> None:
    cache, upstream = SingleFlightCache(), Upstream(waits=True)
    tasks = [asyncio.create_task(cache.get(KEY, upstream.load, ttl=60)) for _ in range(20)]
    await turns()
    for follower in tasks[1::2]:
        follower.cancel()
    await turns()
    upstream.release.set()
    assert await asyncio.gather(*tasks[0::2]) == ["value"] * 10
    assert (upstream.calls, upstream.cancelled) == (1, 0)


async def test_the_last_one_to_leave_cancels_the_load_and_sees_it_end() -> None:
    cache, upstream = SingleFlightCache(), Upstream(waits=True)
    tasks = [asyncio.create_task(cache.get(KEY, upstream.load, ttl=60)) for _ in range(5)]
    await turns()
    for task in tasks[:-1]:
        task.cancel()
    await turns()
    assert upstream.cancelled == 0
    tasks[-1].cancel()
    with pytest.raises(asyncio.CancelledError):
        await tasks[-1]
    assert upstream.cancelled == 1  # at this moment, not some turns of the loop later


async def test_whoever_asks_after_an_abandoned_load_starts_anew() -> None:
    """An abandoned load takes a while to unwind, and must not be joined meanwhile."""
    cache = SingleFlightCache()
    unwinding = asyncio.Event()

    async def slow_to_unwind() -> str:
        try:
            await asyncio.sleep(60)
        finally:
            await unwinding.wait()
        return "never"

    abandoned = asyncio.create_task(cache.get(KEY, slow_to_unwind, ttl=60))
    await turns()
    abandoned.cancel()
    await turns()
    upstream = Upstream("anew")
    assert await cache.get(KEY, upstream.load, ttl=60) == "anew"
    unwinding.set()
    with pytest.raises(asyncio.CancelledError):
        await abandoned
    assert await cache.get(KEY, upstream.load, ttl=60) == "anew"
    assert upstream.calls == 1


async def test_a_deadline_around_a_get_is_the_callers_alone() -> None:
    cache, upstream = SingleFlightCache(), Upstream(waits=True)
    patient = asyncio.create_task(cache.get(KEY, upstream.load, ttl=60))
    await turns()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await cache.get(KEY, upstream.load, ttl=60)
    upstream.release.set()
    assert await patient == "value"


async def test_a_load_cancelled_from_outside_is_an_error_not_a_cancellation_of_its_waiters() -> (
    None
):
    cache = SingleFlightCache()

    async def cancels_itself() -> str:
        raise asyncio.CancelledError

    with pytest.raises(
        SourceUnavailableError, match="bars AAPL 2025-11-14 was cancelled from outside"
    ):
        await cache.get(KEY, cancels_itself, ttl=60)
    assert await cache.get(KEY, Upstream().load, ttl=60) == "value"


async def test_a_load_that_asks_for_its_own_key_is_refused_instead_of_hanging() -> None:
    cache = SingleFlightCache()

    async def ask_again() -> object:
        return await cache.get(KEY, ask_again, ttl=60)

    with pytest.raises(RuntimeError, match="waits for itself"):
        await cache.get(KEY, ask_again, ttl=60)


# Errors


async def test_an_error_reaches_all_who_wait_and_is_not_kept() -> None:
    cache, failing = SingleFlightCache(), Upstream(SourceUnavailableError("down"))
    outcomes = await asyncio.gather(
        *(cache.get(KEY, failing.load, ttl=60) for _ in range(100)), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [SourceUnavailableError] * 100
    assert failing.calls == 1
    assert await cache.get(KEY, Upstream().load, ttl=60) == "value"


async def test_no_error_is_ever_reported_as_forgotten() -> None:
    """Waiters that leave, loads that fail as they are cancelled: asyncio has no complaint."""
    complaints: list[str] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda loop, context: complaints.append(str(context["message"]))
    )
    cache = SingleFlightCache()

    async def fails_when_cancelled() -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise SourceUnavailableError("broke while it was cancelled") from None
        return "never"

    for leave_in_mid_unwinding in (False, True):
        waiter = asyncio.create_task(cache.get(KEY, fails_when_cancelled, ttl=60))
        await turns()
        waiter.cancel()
        if leave_in_mid_unwinding:
            await asyncio.sleep(0)
            waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter

    failing = Upstream(SourceUnavailableError("down"), waits=True)
    late = asyncio.create_task(cache.get(KEY, failing.load, ttl=60))
    await turns()
    failing.release.set()
    await turns(2)
    late.cancel()  # in the very turn in which the load fails
    await asyncio.gather(late, return_exceptions=True)

    del waiter, late, failing
    await turns()
    gc.collect()
    await turns()
    assert complaints == []
