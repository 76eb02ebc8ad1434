"""Programs of plain asyncio whose trace is easy to get wrong; they run in asyncio's environment.

Where something stands in the way it is none of the classes that a witness would patch first, or one
that is older than the witness. Elsewhere nothing stands in the way, though much is waited for.
"""

import asyncio

EARLY = asyncio.Lock()
ACQUIRE_EARLY = EARLY.acquire
"""A method that was bound before the witness came."""

from setting import told

SETTING = told()
SETTING.install_witness()

import time
from collections import deque
from collections.abc import Awaitable, Callable

import anyio
from pathologies import CITIES, LIMIT, Fetch, Task, aiohttp_client, performance, rehearsal
from tracing import span

Tool = Callable[[], Awaitable[object]]


class Turnstile:
    """A semaphore that is made at home: whoever is late awaits a future of its own."""

    def __init__(self, free: int) -> None:
        self.free = free
        self.queue: deque[asyncio.Future[None]] = deque()

    async def __aenter__(self) -> None:
        if self.free:
            self.free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self.queue.append(turn)
        await turn

    async def __aexit__(self, *failure: object) -> None:
        if self.queue:
            self.queue.popleft().set_result(None)
        else:
            self.free += 1


async def agent(tool: Tool, city: str) -> None:
    with span("invoke_agent", f"{city} reporter"), span("execute_tool", "weather"):
        await tool()


async def agents(tool: Tool, cities: tuple[str, ...] = CITIES) -> None:
    """Let an agent report on each city, all at once."""
    with span("invoke_workflow", "news room"):
        await asyncio.gather(*(agent(tool, city) for city in cities))


async def in_turns(task: Task, fetch: Fetch) -> None:
    """Let agents pass a limit that is none of asyncio's, or is older than the witness."""
    turnstile, limiter = Turnstile(LIMIT), anyio.CapacityLimiter(LIMIT)

    async def weather() -> str:
        match task.pathology:
            case "home-made semaphore":
                async with turnstile:
                    return await fetch(task.url)
            case "capacity limiter":
                async with limiter:
                    return await fetch(task.url)
            case "early lock":
                await ACQUIRE_EARLY()
                try:
                    return await fetch(task.url)
                finally:
                    EARLY.release()
            case _:
                return await fetch(task.url)

    await agents(weather)


async def with_workers(task: Task, fetch: Fetch, count: int) -> None:
    """Let two agents hand their questions to workers, through a queue."""
    questions: asyncio.Queue[asyncio.Future[str]] = asyncio.Queue()

    async def work() -> None:
        while True:
            answer = await questions.get()
            answer.set_result(await fetch(task.url))

    async def weather() -> str:
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        await questions.put(answer)
        return await answer

    workers = [asyncio.create_task(work()) for _ in range(count)]
    await asyncio.sleep(0)
    await agents(weather, CITIES[:2])
    for worker in workers:
        worker.cancel()


async def beside_a_consumer(task: Task, fetch: Fetch) -> None:
    """Let a bookkeeper wait at its queue while all others work at once."""
    reports: asyncio.Queue[str] = asyncio.Queue()

    async def keep_books() -> None:
        with span("invoke_agent", "bookkeeper"):
            for _ in CITIES:
                await reports.get()

    async def weather() -> None:
        await reports.put(await fetch(task.url))

    with span("invoke_workflow", "news room"):
        await asyncio.gather(keep_books(), *(agent(weather, city) for city in CITIES))


async def blocking(task: Task, fetch: Fetch) -> None:
    """Gather what blocks, after a step that lets all spans open at once."""

    async def weather() -> None:
        await asyncio.sleep(0)
        time.sleep(task.seconds)  # the line that blocks

    await agents(weather)


async def one_tool_a_turn(task: Task, fetch: Fetch) -> None:
    """Let an agent ask the model, call one tool, and ask again."""
    with span("invoke_agent", "reporter"):
        for _ in CITIES:
            with span("chat", "model"):
                await asyncio.sleep(task.seconds / 3)
            with span("execute_tool", "weather"):
                await fetch(task.url)
        with span("chat", "model"):
            await asyncio.sleep(task.seconds / 3)


async def run(task: Task) -> None:
    async with aiohttp_client(task) as fetch:
        match task.pathology:
            case "one worker":
                await with_workers(task, fetch, 1)
            case "two workers":
                await with_workers(task, fetch, 2)
            case "idle consumer":
                await beside_a_consumer(task, fetch)
            case "blocking gather":
                await blocking(task, fetch)
            case "one tool a turn":
                await one_tool_a_turn(task, fetch)
            case _:
                await in_turns(task, fetch)


async def main() -> None:
    await run(rehearsal(SETTING))
    await run(performance(SETTING))


if __name__ == "__main__":
    asyncio.run(main())
