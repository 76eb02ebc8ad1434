"""What a run has spent of its budget, and the refusal of what would go beyond it.

A request is taken out of the budget before it is sent, so that requests made at once cannot overrun
it together. Once a limit is reached it stays reached: every later request is refused for it.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from opentelemetry.trace import Span

from trading_graph.graph.budget import Budget, Limit
from trading_graph.graph.errors import BudgetReached, OutOfTime
from trading_graph.graph.state import Usage
from trading_graph.otel.trace import semconv


class Spending:
    """The account of one run; its seconds begin when it is opened.

    `reached` is the limit that was reached first, `refused` are the agents that were denied an
    answer for it, in that order. `span` is the run's, which says so too.
    """

    def __init__(self, budget: Budget, span: Span) -> None:
        self.reached: Limit | None = None
        self.refused: list[str] = []
        self._budget = budget
        self._span = span
        self._deadline: float | None = None
        if budget.seconds is not None:
            self._deadline = asyncio.get_running_loop().time() + budget.seconds
        self._requests = 0
        self._tokens = 0
        self._unclaimed: defaultdict[str, list[Usage]] = defaultdict(list)

    @property
    def limits_tokens(self) -> bool:
        """Whether an answer must say how many tokens it took."""
        return self._budget.tokens is not None

    def reserve(self, agent: str) -> None:
        """Take one request of the agent's out of the budget; raises BudgetReached."""
        limit = self.reached or self._exhausted()
        if limit is not None:
            self._refuse(agent, limit)
            raise BudgetReached(self._budget.sentence(limit))
        self._requests += 1

    @asynccontextmanager
    async def in_time(self, agent: str) -> AsyncIterator[None]:
        """Cancel the block when the run's seconds are over; raises OutOfTime."""
        timeout = asyncio.timeout_at(self._deadline)
        try:
            async with timeout:
                yield
        except TimeoutError:
            # What timed out inside by itself is no matter of the budget.
            if not timeout.expired():
                raise
            self._refuse(agent, Limit.SECONDS)
            raise OutOfTime(self._budget.sentence(Limit.SECONDS)) from None

    def record(self, used: Usage) -> None:
        """Book what a call took; its requests are booked already."""
        self._tokens += used.input_tokens + used.output_tokens
        self._unclaimed[used.agent].append(used)

    def claim(self, agent: str) -> list[Usage]:
        """The agent's calls since it was last asked for them, for the run's state."""
        return self._unclaimed.pop(agent, [])

    def catch_up(self, known: Sequence[Usage], reached: str) -> None:
        """Count what an earlier life of a resumed run has spent, and stay at what it reached.

        The state never knows more than this account except at the start of such a life: within one
        it lacks what is under way.
        """
        if reached and self.reached is None:
            self._mark(Limit(reached))
        self._requests = max(self._requests, sum(used.requests for used in known))
        tokens = sum(used.input_tokens + used.output_tokens for used in known)
        self._tokens = max(self._tokens, tokens)

    def _exhausted(self) -> Limit | None:
        budget = self._budget
        if self._deadline is not None and asyncio.get_running_loop().time() >= self._deadline:
            return Limit.SECONDS
        if budget.llm_calls is not None and self._requests >= budget.llm_calls:
            return Limit.LLM_CALLS
        if budget.tokens is not None and self._tokens >= budget.tokens:
            return Limit.TOKENS
        return None

    def _refuse(self, agent: str, limit: Limit) -> None:
        if agent not in self.refused:
            self.refused.append(agent)
        if self.reached is None:
            self._mark(limit)
            self._span.add_event(
                "budget reached", {semconv.BUDGET_REACHED: limit, semconv.AGENT_NAME: agent}
            )

    def _mark(self, limit: Limit) -> None:
        self.reached = limit
        self._span.set_attribute(semconv.BUDGET_REACHED, limit)
