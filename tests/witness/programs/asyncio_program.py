# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "aiohttp==3.14.5",
#   "anyio==4.16.0",
#   "httpx==0.28.1",
#   "msgspec==0.22.0",
#   "pandas==3.1.1",
#   "opentelemetry-sdk==1.45.2",
#   "uvloop==0.23.0",
# ]
# ///
"""Four agents at once on one event loop, each with a tool, and spans that are opened by hand.

In place of an instrumentor stands the kind of loop: `own`, `uvloop`, or `eager` tasks (3.12).
"""

from setting import told

SETTING = told()
SETTING.install_witness()

import asyncio

from pathologies import CITIES, Task, Work, aiohttp_client, performance, rehearsal
from tracing import span


async def report(work: Work, city: str) -> str:
    with span("invoke_agent", f"{city} reporter"), span("execute_tool", "weather"):
        return await work.weather()


async def run(task: Task) -> None:
    async with aiohttp_client(task) as fetch:
        work = Work(task, fetch)
        with span("invoke_workflow", "news room"):
            await asyncio.gather(*(report(work, city) for city in CITIES))


async def main() -> None:
    if SETTING.instrumentor == "eager":
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
    await run(rehearsal(SETTING))
    await run(performance(SETTING))


if __name__ == "__main__":
    if SETTING.instrumentor == "uvloop":
        import uvloop

        uvloop.run(main())
    else:
        asyncio.run(main())
