"""What to do about each kind of finding: the task, the theme it belongs to, and how it is written.

The snippets are for any asyncio or LangGraph program; where a program knows its own place for a
change, it says so beside them.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from trading_graph.otel.diagnosis import Kind, Ranked


class Theme(StrEnum):
    """What a priority of the report is about."""

    PARALLEL = "Enable true parallel execution"
    TOOLS = "Run tool calls at once"
    CACHE = "Add caching and connection pooling"
    CHAIN = "Shorten the chain of LLM calls"
    WAITS = "Remove waits, failures and long poles"


@dataclass(frozen=True, slots=True)
class Remedy:
    """A task in a few words, its theme, and the code of it; none where that says nothing."""

    task: str
    theme: Theme
    code: str = ""


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

REMEDIES: Mapping[Kind, Remedy] = {
    Kind.SERIAL_FAN_OUT: Remedy("Send all branches at once", Theme.PARALLEL, _SEND),
    Kind.BLOCKED_LOOP: Remedy("Keep the event loop free", Theme.PARALLEL, _THREAD),
    Kind.INTERPRETER_LOCK: Remedy("Move CPU work to processes", Theme.PARALLEL, _PROCESS),
    Kind.BARRIER: Remedy("Give each branch a loop of its own", Theme.PARALLEL),
    Kind.LIMIT: Remedy("Raise the limit", Theme.PARALLEL),
    Kind.SERIAL_TOOLS: Remedy("Run the tools of a turn at once", Theme.TOOLS, _GATHER),
    Kind.SERIAL_CALLS: Remedy("Start independent calls at once", Theme.TOOLS, _CALLS),
    Kind.MANY_SMALL_CALLS: Remedy("Ask once for many", Theme.TOOLS),
    Kind.DUPLICATES: Remedy("Fetch once what is asked for again", Theme.CACHE, _FLIGHT),
    Kind.QUEUE: Remedy("Widen the connection pool", Theme.CACHE, _SESSION),
    Kind.COLD_CONNECTIONS: Remedy("Keep connections open", Theme.CACHE, _SESSION),
    Kind.TURNS: Remedy("Save LLM turns", Theme.CHAIN),
    Kind.TOKENS: Remedy("Ask for shorter answers", Theme.CHAIN),
    Kind.RETRIES: Remedy("Avoid failed attempts", Theme.WAITS),
    Kind.GAP: Remedy("Close the gap", Theme.WAITS),
    Kind.LONG_POLE: Remedy("Shorten the long pole", Theme.WAITS),
}


def by_theme(findings: Sequence[Ranked]) -> Mapping[Theme, Sequence[Ranked]]:
    """Findings by theme, in the order of each theme's greatest gain."""
    found: dict[Theme, list[Ranked]] = defaultdict(list)
    for each in findings:
        found[REMEDIES[each.finding.kind].theme].append(each)
    return found
