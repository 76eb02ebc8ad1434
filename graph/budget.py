"""The account of a run's budget: what the run has spent, and which requests it refuses.

Each request is reserved before it is sent, so concurrent requests cannot overrun the budget
together. A limit that is reached stays reached: the account refuses every later request for it.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

from opentelemetry.trace import Span

from trading_graph.graph.agent_time import AgentTime, until
from trading_graph.graph.chat.rate_limits import TimeLeft
from trading_graph.graph.errors import BudgetReachedError, OutOfTimeError
from trading_graph.graph.options import Budget, Limit
from trading_graph.graph.state import Usage
from trading_graph.otel.trace import semconv


class Spending:
    """The account of one run; its seconds start when it is created.

    `limit` is the limit that was reached first. `refusals` are the agents that got no answer
    because of it, in order. The run's `span` records the limit and the first refusal. `earlier` are
    calls of agents that had not ended when an earlier process of the run failed.
    """

    def __init__(self, budget: Budget, span: Span, earlier: Sequence[Usage] = ()) -> None:
        self.limit: Limit | None = None
        self.refusals: list[str] = []
        self._budget = budget
        self._span = span
        self._deadline: float | None = None
        if budget.seconds is not None:
            self._deadline = asyncio.get_running_loop().time() + budget.seconds
        self._requests = 0
        self._tokens = 0
        self._notes: defaultdict[str, list[str]] = defaultdict(list)
        self._times: dict[str, AgentTime] = {}
        self._unclaimed: defaultdict[str, list[Usage]] = defaultdict(list)
        self._earlier = list(earlier)

    @property
    def limits_tokens(self) -> bool:
        """Whether an answer must report its tokens."""
        return self._budget.tokens is not None

    def time_left(self, agent: str) -> TimeLeft:
        """What the run's seconds and the agent's leave, whichever is less."""
        now = asyncio.get_running_loop().time()
        time = self._times.get(agent)
        due = None if time is None else time.due()
        ends = [(self._deadline, "--max-seconds"), (due, "--agent-budget")]
        left = [TimeLeft(max(0.0, end - now), flag) for end, flag in ends if end is not None]
        return min(left, key=lambda each: each.seconds, default=TimeLeft())

    def reserve(self, agent: str) -> None:
        """Reserve one request for the agent; raises BudgetReachedError."""
        limit = self.limit or self._exhausted_limit()
        if limit is not None:
            self._refuse(agent, limit)
            raise BudgetReachedError(self._budget.sentence(limit))
        self._requests += 1

    def give_back(self) -> None:
        """Give back a request that was reserved and not sent."""
        self._requests -= 1

    @asynccontextmanager
    async def in_time(self, agent: str) -> AsyncIterator[None]:
        """Cancel the block when the run's seconds are over; raises OutOfTimeError."""
        timeout = asyncio.timeout_at(self._deadline)
        try:
            async with timeout:
                yield
        except TimeoutError:
            # A timeout of the block's own has nothing to do with the budget.
            if not timeout.expired():
                raise
            self._refuse(agent, Limit.SECONDS)
            raise OutOfTimeError(self._budget.sentence(Limit.SECONDS)) from None

    @asynccontextmanager
    async def agent_time(self, agent: str, seconds: float) -> AsyncIterator[None]:
        """Cancel the block when the agent's own seconds are over; raises TimeoutError."""
        time = self._times[agent] = AgentTime(seconds)
        async with until(time.due):
            yield

    @contextmanager
    def in_line(self, agent: str, last_life: Callable[[], float]) -> Iterator[Callable[[], None]]:
        """A wait in a service's line, which is not the agent's own time; see `AgentTime`."""
        if time := self._times.get(agent):
            with time.in_line(last_life) as leave:
                yield leave
        else:
            yield lambda: None

    def record(self, usage: Usage) -> None:
        """Add the tokens of a call; its requests were added when they were reserved."""
        self._tokens += usage.input_tokens + usage.output_tokens
        self._unclaimed[usage.agent].append(usage)

    def claim(self, agent: str) -> list[Usage]:
        """Hand over the agent's calls since the last claim, for the run's state."""
        return self._unclaimed.pop(agent, [])

    @property
    def unclaimed(self) -> list[Usage]:
        """The calls of agents that have not ended."""
        return [*self._earlier, *(usage for each in self._unclaimed.values() for usage in each)]

    def note(self, agent: str, sentence: str) -> None:
        """Note what became of an agent's call, for the warnings of the run."""
        self._notes[agent].append(sentence)

    def claim_notes(self, agent: str) -> list[str]:
        """Hand over the notes of the agent's calls since the last claim."""
        return self._notes.pop(agent, [])

    def catch_up(self, usage: Sequence[Usage], limit: str) -> None:
        """Add what an earlier process of a resumed run spent, and keep the limit it reached.

        Only at the start of a process can the state know more than this account; later it lacks
        the calls in progress.
        """
        if limit and self.limit is None:
            self._mark(Limit(limit))
        self._requests = max(self._requests, sum(call.requests for call in usage))
        tokens = sum(call.input_tokens + call.output_tokens for call in usage)
        self._tokens = max(self._tokens, tokens)
        # A process between that one and this may have claimed them.
        earlier, self._earlier = [each for each in self._earlier if each not in usage], []
        for each in earlier:
            self._requests += each.requests
            self.record(each)

    def _exhausted_limit(self) -> Limit | None:
        budget = self._budget
        if self._deadline is not None and asyncio.get_running_loop().time() >= self._deadline:
            return Limit.SECONDS
        if budget.llm_calls is not None and self._requests >= budget.llm_calls:
            return Limit.LLM_CALLS
        if budget.tokens is not None and self._tokens >= budget.tokens:
            return Limit.TOKENS
        return None

    def _refuse(self, agent: str, limit: Limit) -> None:
        if agent not in self.refusals:
            self.refusals.append(agent)
        if self.limit is None:
            self._mark(limit)
            self._span.add_event(
                "budget reached", {semconv.BUDGET_REACHED: limit, semconv.AGENT_NAME: agent}
            )

    def _mark(self, limit: Limit) -> None:
        self.limit = limit
        self._span.set_attribute(semconv.BUDGET_REACHED, limit)
