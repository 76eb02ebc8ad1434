"""Turns whose tools take what a prefetch fetched: judged by the fetches, as far as they waited."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext

from tests.recorded_program import results, trace_of
from trading_graph.otel import spans
from trading_graph.otel.trace import SpanTable, semconv
from trading_graph.otel.verdict import CheckResult, Outcome
from trading_graph.toolkit.cache import CacheKey, SingleFlightCache
from trading_graph.toolkit.single_flight import note_load_span

UNIT_S = 0.1
EQUAL = {"prices": 2, "filings": 2, "macro": 2}
"""What is fetched, and for how many units."""

Limit = Callable[[], AbstractAsyncContextManager[object]]


class Program:
    """A prefetch, and an agent whose tools ask for the same `after` so many units.

    What is asked for before it is there is not there before it is asked for, however late that is.
    """

    def __init__(
        self, fetched: dict[str, int], *, after: float = 0.5, limit: Limit = nullcontext
    ) -> None:
        self._fetched = fetched
        self._after = after
        self._limit = limit
        self._cache = SingleFlightCache()
        self._asked: dict[str, asyncio.Event] = {}

    async def ask(self, what: str) -> None:
        async def load() -> str:
            async with self._limit():
                with spans.fetch(what):
                    note_load_span()  # as the pool does before each request
                    await asyncio.sleep(self._fetched[what] * UNIT_S)
                    if what in self._asked:
                        await self._asked[what].wait()
            return what

        await self._cache.get(CacheKey("test", what), load, ttl=60)

    async def prefetch(self) -> None:
        with spans.prefetch("everything"):
            await asyncio.gather(*(self.ask(what) for what in self._fetched))

    async def use(self, number: int, *whats: str) -> None:
        with spans.tool(f"tool {number}", call_id=str(number), args_hash=str(number), turn=1):
            await asyncio.gather(*(self._ask_as_tool(what) for what in whats))

    async def _ask_as_tool(self, what: str) -> None:
        if what in self._asked:
            self._asked[what].set()  # The fetch goes on in the loop's next turn, when it is shared.
        await self.ask(what)

    def run(self, *tools: Sequence[str], in_turn: bool = False) -> SpanTable:
        """The trace of the program with these tools, by what each asks for."""
        self._asked = {
            what: asyncio.Event()
            for whats in tools
            for what in whats
            if self._after < self._fetched[what]
        }

        async def program() -> None:
            beside = asyncio.create_task(self.prefetch())
            await asyncio.sleep(self._after * UNIT_S)
            with spans.agent("market"):
                calls = [self.use(number, *whats) for number, whats in enumerate(tools)]
                if in_turn:
                    for call in calls:
                        await call
                else:
                    await asyncio.gather(*calls)
            await beside

        return trace_of(program)


def turn(trace: SpanTable, *served: str) -> CheckResult:
    """What the gate says of the only turn, whose tools the cache has served like this."""
    found = [trace.attributes(row)[semconv.CACHE] for row in trace.rows("execute_tool ")]
    assert tuple(found) == served
    return results(trace)["turns"]


def test_shared_fetches_that_ran_at_once_are_a_proof() -> None:
    trace = Program(EQUAL).run(["prices"], ["filings"], ["macro"])
    found = turn(trace, "shared", "shared", "shared")
    assert found.outcome is Outcome.PASS
    assert found.grade == "proven"


def test_shared_fetches_that_ran_one_after_the_other_are_serial() -> None:
    """The tools overlap completely, and no span of theirs tells: only the linked fetches do."""
    held: list[asyncio.Lock] = []

    @asynccontextmanager
    async def one_at_a_time() -> AsyncIterator[None]:
        held.extend([] if held else [asyncio.Lock()])
        async with held[0]:
            yield

    program = Program(EQUAL, limit=one_at_a_time)
    found = turn(program.run(["prices"], ["filings"], ["macro"]), "shared", "shared", "shared")
    assert found.outcome is Outcome.FAIL
    assert found.grade.startswith("serial: ")


def test_tools_that_wait_in_turn_are_serial_though_the_fetches_were_not() -> None:
    program = Program({"prices": 2, "filings": 4, "macro": 6})
    found = turn(
        program.run(["prices"], ["filings"], ["macro"], in_turn=True), "shared", "shared", "shared"
    )
    assert found.outcome is Outcome.FAIL
    assert found.grade.startswith("serial: they wait for each other")


def test_tools_that_find_everything_are_not_applicable() -> None:
    trace = Program(EQUAL, after=4).run(["prices"], ["filings"], ["macro"])
    assert turn(trace, "hit", "hit", "hit").outcome is Outcome.NOT_APPLICABLE


def test_one_fetch_that_all_share_proves_nothing() -> None:
    trace = Program(EQUAL).run(["prices"], ["prices"], ["prices"])
    assert turn(trace, "shared", "shared", "shared").outcome is Outcome.NOT_APPLICABLE


def test_a_tool_that_shares_all_takes_no_fetch_from_the_others() -> None:
    """Asked first it could count for every fetch, and the others would seem to have none."""
    trace = Program(EQUAL).run(["prices", "filings", "macro"], ["prices"], ["filings"], ["macro"])
    found = turn(trace, "shared", "shared", "shared", "shared")
    assert found.outcome is Outcome.PASS


def test_a_fetch_of_the_turn_itself_is_no_second_one() -> None:
    """The leader and the one that shares its fetch did one piece of work between them."""
    program = Program({"prices": 2})

    async def nothing() -> None:
        return None

    program.prefetch = nothing  # type: ignore[method-assign]
    trace = program.run(["prices"], ["prices"])
    assert turn(trace, "miss", "shared").outcome is Outcome.NOT_APPLICABLE
