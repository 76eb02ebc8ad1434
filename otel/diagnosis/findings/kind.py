"""The kinds of finding, each with a task, its theme, advice, and an example of code.

A kind's own advice fits any program; `advice_in` speaks the dialect of the one that was judged, and
code is Python. A new kind needs a member here, a detector beside this module, and its place in
`DETECTORS`.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Self

from trading_graph.otel.verdict.dialect import Dialect


class Theme(StrEnum):
    """The subject of a priority in the report."""

    PARALLEL = "Enable true parallel execution"
    TOOLS = "Run tool calls at once"
    CACHE = "Add caching and connection pooling"
    CHAIN = "Shorten the chain of LLM calls"
    WAITS = "Remove waits, failures and long poles"


_SEND = """\
from langgraph.types import Command, Send

async def dispatcher(state):
    return Command(goto=[Send(name, state) for name in branches])"""

_GATHER = """\
async with asyncio.TaskGroup() as group:
    tasks = [group.create_task(tool.ainvoke(call)) for call in message.tool_calls]
results = [task.result() for task in tasks]"""

_CALLS = """\
first, second = await asyncio.gather(fetch(a), fetch(b))"""

_THREAD = """\
# before: result = client.get(url)
result = await asyncio.to_thread(client.get, url)"""

_PROCESS = """\
with ProcessPoolExecutor() as processes:
    result = await loop.run_in_executor(processes, compute, data)"""

_FLIGHT = """\
async def fetch_once(key):
    if key not in flights:  # who asks meanwhile awaits the same task
        flights[key] = asyncio.create_task(fetch(key))
    return await asyncio.shield(flights[key])"""

_SESSION = """\
connector = aiohttp.TCPConnector(limit=100, limit_per_host=30)
session = aiohttp.ClientSession(connector=connector)  # one for the whole run"""


class FindingKind(StrEnum):
    """What is wrong; `code` is empty where code does not help."""

    task: str
    theme: Theme
    advice: str
    code: str

    SERIAL_FAN_OUT = (
        "serial fan-out",
        "Send all branches at once",
        Theme.PARALLEL,
        "Send all branches at once, and wait for all of them.",
        _SEND,
    )
    BLOCKED_LOOP = (
        "blocked event loop",
        "Keep the event loop free",
        Theme.PARALLEL,
        "Find the call that blocks there, and await it or move it off the event loop.",
        _THREAD,
    )
    POSSIBLE_BLOCK = (
        "possibly blocked event loop",
        "See whether the event loop is blocked",
        Theme.PARALLEL,
        "Record the lag of the event loop (docs/proven.md says how): there is something to mend "
        "only where the loop is late.",
    )
    INTERPRETER_LOCK = (
        "interpreter lock",
        "Move CPU work to processes",
        Theme.PARALLEL,
        "Move the CPU work to processes, or to code that releases the interpreter lock; more "
        "threads change nothing.",
        _PROCESS,
    )
    BARRIER = (
        "superstep barrier",
        "Give each branch a loop of its own",
        Theme.PARALLEL,
        "Give each branch one node (or a subgraph) with a loop of its own.",
    )
    LIMIT = (
        "limit",
        "Raise the limit",
        Theme.PARALLEL,
        "Raise the limit: a semaphore, a pool, or the threads of an executor.",
    )
    RATE_LIMIT = (
        "rate limit",
        "Raise the rate limit",
        Theme.PARALLEL,
        "Ask whoever sets it for more, ask for less (fewer or shorter calls), or spread the calls "
        "over several.",
    )
    WORKERS = (
        "few workers",
        "Start more workers",
        Theme.PARALLEL,
        "Start more workers for that queue, or do the work where it is asked for.",
    )
    CALLBACKS = (
        "late callbacks",
        "Give the instrumentor's callbacks threads of their own",
        Theme.WAITS,
        "Give the loop's default executor more threads (loop.set_default_executor), or judge the "
        "program with another instrumentor: the spans are late, and say less about the program.",
    )
    LATE_BRANCH = (
        "late branch",
        "Start the late branch with the others",
        Theme.PARALLEL,
        "Start it together with the others; see what held it back.",
    )
    SERVER = (
        "serial server",
        "Let the server answer at once",
        Theme.PARALLEL,
        "Find what makes the server answer one request after the other: a handler that blocks its "
        "event loop, one worker, or a lock.",
    )
    SERIAL_AGENTS = (
        "serial agents",
        "Start independent agents at once",
        Theme.PARALLEL,
        "Start those at once that need nothing of each other.",
    )
    SERIAL_TOOLS = (
        "serial tools",
        "Run the tools of a turn at once",
        Theme.TOOLS,
        "Start all tool calls of one turn at once, and wait for all of them.",
        _GATHER,
    )
    SERIAL_CALLS = (
        "serial calls",
        "Start independent calls at once",
        Theme.TOOLS,
        "Start the calls at once, if none needs another's result.",
        _CALLS,
    )
    MANY_SMALL_CALLS = (
        "many small calls",
        "Ask once for many",
        Theme.TOOLS,
        "Ask for all of them in one request, or at once.",
    )
    DUPLICATES = (
        "duplicates",
        "Fetch once what is asked for again",
        Theme.CACHE,
        "Cache the result, and let those who ask at the same time share one request (single "
        "flight).",
        _FLIGHT,
    )
    QUEUE = (
        "queue",
        "Widen the connection pool",
        Theme.CACHE,
        "Raise the pool's limit for that host, or ask it for less.",
        _SESSION,
    )
    COLD_CONNECTIONS = (
        "cold connections",
        "Keep connections open",
        Theme.CACHE,
        "Keep one session for all requests, and keep its connections alive.",
        _SESSION,
    )
    TURNS = (
        "serial LLM turns",
        "Save LLM turns",
        Theme.CHAIN,
        "Ask for all tool calls in the first turn, and for the answer in the second.",
    )
    TOKENS = (
        "token-heavy turns",
        "Ask for shorter answers",
        Theme.CHAIN,
        "Ask for a shorter answer, or set max_tokens.",
    )
    RETRIES = (
        "retries",
        "Avoid failed attempts",
        Theme.WAITS,
        "Read their errors: a limit that is asked too much of, a timeout that is too short, or a "
        "source that is down.",
    )
    GAP = (
        "gap",
        "Close the gap",
        Theme.WAITS,
        "Find what the program does there (a pause, work without a span, a queue) and open a span "
        "around it, or leave it out.",
    )
    DOMINANT_SPAN = (
        "dominant span",
        "Shorten the dominant span",
        Theme.WAITS,
        "Find what it does in that time (a wait for a pool or a lock, work), and shorten it, or "
        "open spans inside it.",
    )
    STRAGGLER = (
        "straggler",
        "Shorten the straggler, or start it first",
        Theme.WAITS,
        "See in its own trace what took so long; what is known to take long, start first.",
    )
    LONG_POLE = (
        "long pole",
        "Shorten the long pole",
        Theme.WAITS,
        "Shorten it, split it, or ask for an answer twice and take the first (a hedged request).",
    )

    def __new__(cls, name: str, task: str, theme: Theme, advice: str, code: str = "") -> Self:
        """Make a member that equals the string `name`."""
        member = str.__new__(cls, name)
        member._value_ = name
        member.task, member.theme, member.advice, member.code = task, theme, advice, code
        return member

    def advice_in(self, dialect: Dialect) -> str:
        """The advice in the words of a dialect, or what fits any program."""
        return _SPOKEN.get(self, {}).get(dialect, self.advice)

    def code_in(self, dialect: Dialect) -> str:
        """An example of code; empty for programs that are not known to be Python."""
        return self.code if dialect in (Dialect.LANGGRAPH, Dialect.ASYNCIO) else ""


_THREADS = "Start each on a thread or a routine of its own, and wait for all of them."

_SPOKEN: Mapping[FindingKind, Mapping[Dialect, str]] = {
    FindingKind.SERIAL_FAN_OUT: {
        Dialect.LANGGRAPH: "Send all branches at once: return Command(goto=[Send(...), ...]) from "
        "the dispatcher, or start them with asyncio.gather.",
        Dialect.ASYNCIO: "Start all branches at once with asyncio.gather or a TaskGroup.",
        Dialect.NODE: "Start all branches at once, and await Promise.all.",
        Dialect.THREADS: _THREADS,
    },
    FindingKind.BLOCKED_LOOP: {
        Dialect.LANGGRAPH: "Await an async client there, or move the call to a thread with "
        "asyncio.to_thread.",
        Dialect.ASYNCIO: "Await an async client there, or move the call to a thread with "
        "asyncio.to_thread.",
        Dialect.NODE: "Use the asynchronous form of the call there, or move it to a worker thread.",
    },
    FindingKind.LIMIT: {
        Dialect.LANGGRAPH: "Raise the limit (max_concurrency, a semaphore, the threads of an "
        "executor), or make the calls async.",
        Dialect.ASYNCIO: "Raise the limit (a semaphore, the threads of an executor), or make the "
        "calls async.",
    },
    FindingKind.SERIAL_AGENTS: {
        Dialect.LANGGRAPH: "Start those at once that need nothing of each other: edges from one "
        "node, Send, or asyncio.gather in a node.",
        Dialect.ASYNCIO: "Start those at once that need nothing of each other, with "
        "asyncio.gather or a TaskGroup.",
        Dialect.NODE: "Start those at once that need nothing of each other, and await Promise.all.",
        Dialect.THREADS: _THREADS,
    },
    FindingKind.SERIAL_TOOLS: {
        Dialect.LANGGRAPH: "Run all tool calls of one turn with asyncio.gather or a TaskGroup.",
        Dialect.ASYNCIO: "Run all tool calls of one turn with asyncio.gather or a TaskGroup.",
        Dialect.NODE: "Start all tool calls of one turn, and await Promise.all.",
        Dialect.THREADS: _THREADS,
    },
    FindingKind.SERIAL_CALLS: {
        Dialect.LANGGRAPH: "Start the calls at once with asyncio.gather, if none needs another's "
        "result.",
        Dialect.ASYNCIO: "Start the calls at once with asyncio.gather, if none needs another's "
        "result.",
        Dialect.NODE: "Start the calls at once and await Promise.all, if none needs another's "
        "result.",
        Dialect.THREADS: _THREADS,
    },
}
