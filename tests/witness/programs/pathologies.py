"""What the tools of a program do: they ask a source, and one thing is wrong around it.

A rehearsal comes first, short and with nothing wrong: what is imported and connected for the first
time would hold the event loop of the run, whose truth would then be another. The line that blocks
a loop is found by the comment that it bears.
"""

import asyncio
import threading
import time
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import count

from setting import Setting

CITIES = ("Oslo", "Rome", "Lima", "Quito")
TOOL_S = 0.3
REHEARSAL_S = 0.01
LIMIT = 2
"""Of semaphores, pools and executors: half of what is asked for at once."""

Fetch = Callable[[str], Awaitable[str]]


@dataclass(frozen=True)
class Task:
    """What one run of a program is to do."""

    pathology: str
    url: str
    seconds: float


def rehearsal(setting: Setting) -> Task:
    """Return the task that comes first."""
    return Task("clean", f"{setting.source}/weather/rehearsal?seconds={REHEARSAL_S}", REHEARSAL_S)


def performance(setting: Setting) -> Task:
    """Return the task that counts."""
    url = f"{setting.source}/weather/{setting.run}?seconds={TOOL_S}"
    return Task(setting.pathology, url, TOOL_S)


@dataclass
class Work:
    """The work of the tools of one run on one event loop, by its client's `fetch`."""

    task: Task
    fetch: Fetch
    semaphore: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(LIMIT))
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    executor: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(LIMIT))

    async def weather(self) -> str:
        """Ask the source, with what is wrong around it; a pool's limit is the client's."""
        match self.task.pathology:
            case "blocked loop":
                with urllib.request.urlopen(self.task.url) as answer:  # the line that blocks
                    return str(answer.read())
            case "computing loop":
                end = time.thread_time() + 2 * self.task.seconds
                late = any(time.thread_time() > end for _ in count())  # the line that computes
                return str(late)
            case "interpreter lock":
                return await asyncio.to_thread(compute, self.task.seconds)
            case "semaphore":
                async with self.semaphore:
                    return await self.fetch(self.task.url)
            case "lock":
                async with self.lock:
                    return await self.fetch(self.task.url)
            case "small executor":
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(self.executor, ask, self.task.url)
            case "cold import":
                import pandas

                return f"{await self.fetch(self.task.url)} {pandas.__version__}"
            case "clean" | "connection pool":
                return await self.fetch(self.task.url)
            case other:
                raise ValueError(other)


@dataclass
class ThreadedWork:
    """The work of the tools of one run, each in a thread of its own, by its client's `fetch`."""

    task: Task
    fetch: Callable[[str], str]
    semaphore: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(LIMIT))
    lock: threading.Lock = field(default_factory=threading.Lock)
    executor: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(LIMIT))

    def weather(self) -> str:
        """Ask the source, with what is wrong around it; a pool's limit is the client's."""
        match self.task.pathology:
            case "interpreter lock":
                return compute(self.task.seconds)
            case "semaphore":
                with self.semaphore:
                    return self.fetch(self.task.url)
            case "lock":
                with self.lock:
                    return self.fetch(self.task.url)
            case "small executor":
                return self.executor.submit(self.fetch, self.task.url).result()
            case "cold import":
                import pandas

                return f"{self.fetch(self.task.url)} {pandas.__version__}"
            case "clean" | "connection pool":
                return self.fetch(self.task.url)
            case other:
                raise ValueError(other)


def ask(url: str) -> str:
    """Ask the source, and hold the thread meanwhile."""
    with urllib.request.urlopen(url) as answer:
        return str(answer.read())


def compute(seconds: float) -> str:
    """Take processor time in Python code, and hold the interpreter's lock meanwhile."""
    last, total = time.thread_time() + seconds, 0
    while time.thread_time() < last:
        total += sum(range(1000))
    return str(total)


@asynccontextmanager
async def aiohttp_client(task: Task) -> AsyncIterator[Fetch]:
    """Open a session of aiohttp."""
    from aiohttp import ClientSession, TCPConnector

    limit = LIMIT if task.pathology == "connection pool" else 100
    async with ClientSession(connector=TCPConnector(limit=limit)) as session:

        async def fetch(url: str) -> str:
            async with session.get(url) as answer:
                return await answer.text()

        yield fetch


@asynccontextmanager
async def httpx2_client(task: Task) -> AsyncIterator[Fetch]:
    """Open a client of httpx2, which the model's client uses too."""
    from httpx2 import AsyncClient, Limits

    limit = LIMIT if task.pathology == "connection pool" else 100
    async with AsyncClient(limits=Limits(max_connections=limit), timeout=60) as client:

        async def fetch(url: str) -> str:
            return str((await client.get(url)).text)

        yield fetch


@contextmanager
def httpx_client(task: Task) -> Iterator[Callable[[str], str]]:
    """Open a client of httpx for threads."""
    from httpx import Client, Limits

    limit = LIMIT if task.pathology == "connection pool" else 100
    with Client(limits=Limits(max_connections=limit), timeout=60) as client:
        yield lambda url: client.get(url).text
