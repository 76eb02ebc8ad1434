"""How often a model may be asked: requests and tokens a minute, shared by all runs of the process.

A request takes its turn before it is sent. Turns go in the order of arrival, across the threads and
event loops of the process, so no state here belongs to a loop. In any minute no more requests are
sent than the limit says; a leaky bucket would let up to twice as many through. What a request will
take in tokens is known only when it has been answered, so it is expected first and corrected then.
"""

import asyncio
import contextlib
import math
import time
from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import accumulate
from threading import Lock
from typing import TYPE_CHECKING

from opentelemetry.trace import Span

from trading_graph.graph.backend_choice import ModelService
from trading_graph.otel import spans
from trading_graph.otel.vocabularies.limits import DeclaredLimit
from trading_graph.otel.vocabularies.witness import Wait
from trading_graph.otel.witness import waiting
from trading_graph.otel.witness.clock import now_ns

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage

# Two requests that were sent a minute apart may arrive a little closer.
WINDOW_S = 60.5


@dataclass(frozen=True, slots=True)
class RateLimits:
    """The most that a model may be asked for in a minute; None is no limit."""

    requests: int | None = None
    tokens: int | None = None


class Bound(StrEnum):
    """What makes a request wait for its turn: a limit of the settings, or the service's own."""

    REQUESTS = "requests"
    TOKENS = "tokens"
    SERVICE = "service"


@dataclass(frozen=True, slots=True)
class TimeLeft:
    """Seconds that a budget leaves, and the flag that sets this budget; infinite without one."""

    seconds: float = math.inf
    flag: str = ""


class LongWait(Exception):
    """The next request may be sent only when the budget is over; `source` says who makes it wait.

    Its message continues a sentence that begins with the model.
    """

    def __init__(self, source: str, wait_s: float, left: TimeLeft) -> None:
        at = time.strftime("%H:%M:%S UTC", time.gmtime(time.time() + wait_s))
        super().__init__(
            f"{source} in {in_words(wait_s)} (at {at}), and {in_words(left.seconds)} are left of "
            f"{left.flag}; raise it, or run it again then."
        )
        self.wait_s = wait_s


def in_words(seconds: float) -> str:
    """Seconds for people: `40 s`, `6 min 5 s`, `3 h 20 min`."""
    whole = max(1, math.ceil(seconds))
    if whole < 100:
        return f"{whole} s"
    units = ((whole // 3600, "h"), (whole // 60 % 60, "min"), (whole % 60, "s"))
    first = 0 if units[0][0] else 1
    return " ".join(f"{number} {unit}" for number, unit in units[first : first + 2] if number)


@dataclass(slots=True)
class SentRequest:
    """What is booked at a time: one request, or none where tokens are added later."""

    at: float
    tokens: int
    requests: int = 1


class Bookings:
    """What is booked, in order of time, and when one more request fits in behind it."""

    def __init__(self, limits: RateLimits, sent: Collection[SentRequest], window_s: float) -> None:
        self._limits = limits
        self._window_s = window_s
        self._times = [each.at for each in sent]
        # What was booked before each, and at the end all: only sums, so that a look is a search.
        self._requests = [0, *accumulate([each.requests for each in sent])]
        self._tokens = [0, *accumulate([each.tokens for each in sent])]

    def add(self, sent: SentRequest) -> None:
        """Book something at the end."""
        self._times.append(sent.at)
        self._requests.append(self._requests[-1] + sent.requests)
        self._tokens.append(self._tokens[-1] + sent.tokens)

    def earliest(self, tokens: int) -> tuple[float, Bound]:
        """When a request of so many tokens fits in, and which limit says so."""
        over_requests = _last_over(self._requests, 1, self._limits.requests)
        over_tokens = _last_over(self._tokens, tokens, self._limits.tokens)
        last = max(over_requests, over_tokens)
        bound = Bound.REQUESTS if over_requests == last else Bound.TOKENS
        return (self._times[last] + self._window_s if last >= 0 else -math.inf), bound


def _last_over(sums: list[int], more: int, limit: int | None) -> int:
    """The last booking with which all from there on and `more` exceed a limit; -1 for none."""
    if limit is None:
        return -1
    return min(bisect_left(sums, sums[-1] + more - limit) - 1, len(sums) - 2)


@dataclass(frozen=True, slots=True)
class _Delay:
    """How many seconds a request has to wait at least, and what for."""

    seconds: float
    bound: Bound


@dataclass(slots=True, eq=False)
class _Ticket:
    """A request that waits for its turn on its event loop."""

    tokens: int
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    moved: asyncio.Event = field(default_factory=asyncio.Event)

    def wake(self) -> None:
        """Let it look again at when its turn is; from any thread."""
        with contextlib.suppress(RuntimeError):  # its loop is closed
            self.loop.call_soon_threadsafe(self.moved.set)


class ModelRate:
    """The turns of one model of one service; safe in all threads.

    `now` is the clock, in seconds; `model` is the model's name.
    """

    def __init__(
        self, limits: RateLimits, now: Callable[[], float] = time.monotonic, model: str = ""
    ) -> None:
        self.limits = limits
        self.model = model
        self._now = now
        self._lock = Lock()
        self._sent: deque[SentRequest] = deque()
        self._queue: deque[_Ticket] = deque()
        self._pause_end = -math.inf

    def pause(self, seconds: float) -> None:
        """Give no turn for that long: the service has said when it answers again."""
        with self._lock:
            self._pause_end = max(self._pause_end, self._now() + seconds)
            tickets = tuple(self._queue)
        for ticket in tickets:
            ticket.wake()

    async def turn(
        self,
        tokens: int = 0,
        left: Callable[[], TimeLeft] = TimeLeft,
        announce: Callable[[float], object] = lambda seconds: None,
    ) -> "Turn":
        """Wait for a turn of that many tokens; a cancelled wait gives its place to the next.

        `announce` is told the seconds of the wait, once, if there is one. Raises LongWait when
        `left` is too little for it.
        """
        with self._lock:
            if self.limits == _NO_LIMITS and self._pause_end <= self._now():
                return Turn(self, None)
            ticket = _Ticket(tokens)
            self._queue.append(ticket)
        try:
            if isinstance(outcome := self._try(ticket), SentRequest):
                return Turn(self, outcome)
            announce(outcome.seconds)
            waits: dict[Bound, float] = defaultdict(float)
            with waiting(Wait.RATE_LIMIT):
                while not isinstance(outcome, SentRequest):
                    budget = left()
                    if outcome.seconds >= budget.seconds:
                        raise LongWait(self._source, outcome.seconds, budget)
                    ticket.moved.clear()
                    began = self._now()
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(outcome.seconds):
                            await ticket.moved.wait()
                    waits[outcome.bound] += self._now() - began
                    outcome = self._try(ticket)
            return Turn(self, outcome, waits)
        finally:
            self._leave(ticket)

    @property
    def _source(self) -> str:
        limits = [
            f"{number} {what} a minute"
            for number, what in ((self.limits.requests, "requests"), (self.limits.tokens, "tokens"))
            if number is not None
        ]
        limit = f"within {' and '.join(limits)}, as the settings say," if limits else ""
        return " ".join(part for part in ("may be asked again", limit) if part)

    def _try(self, ticket: _Ticket) -> "SentRequest | _Delay":
        """Send the ticket's request, or say how long it has to wait at least."""
        with self._lock:
            now = self._now()
            at, bound = self._when(ticket, now)
            if at > now:
                return _Delay(at - now, bound)
            self._queue.remove(ticket)
            self._sent.append(sent := SentRequest(now, ticket.tokens))
            while self._sent[0].at < now - WINDOW_S:
                self._sent.popleft()
        self._wake_first()
        return sent

    def _when(self, ticket: _Ticket, now: float) -> tuple[float, Bound]:
        """When the ticket's turn is, if all that are ahead of it take theirs, and why then."""
        bookings = Bookings(self.limits, self._sent, WINDOW_S)
        at, bound = max(now, self._pause_end), Bound.SERVICE
        for each in self._queue:
            if each.loop.is_closed():
                continue
            earliest, limit = bookings.earliest(each.tokens)
            if earliest > at:
                at, bound = earliest, limit
            if each is ticket:
                break
            bookings.add(SentRequest(at, each.tokens))
        return at, bound

    def _leave(self, ticket: _Ticket) -> None:
        with self._lock:
            if ticket not in self._queue:
                return
            self._queue.remove(ticket)
        self._wake_first()

    def settle(self, sent: SentRequest, tokens: int) -> int:
        """Book what a request really took; what exceeds the expectation counts from now on.

        Returns that excess.
        """
        with self._lock:
            more = tokens - sent.tokens
            if more <= 0:
                sent.tokens = tokens
            elif self.limits.tokens is not None:
                self._sent.append(SentRequest(self._now(), more, requests=0))
        self._wake_first()
        return max(more, 0)

    def limit_name(self, bound: Bound) -> str:
        """What a limit of the model is called in traces."""
        return limit_name(self.model, bound)

    def _wake_first(self) -> None:
        """Let the first in line look again: nobody behind it has a turn before it has.

        With all of them looking, a settled request would cost the square of the line's length.
        """
        with self._lock:
            first = next((each for each in self._queue if not each.loop.is_closed()), None)
        if first is not None:
            first.wake()


class Turn:
    """The turn of one request that may be sent now; `waits` are seconds by what it waited for."""

    __slots__ = ("_given_ns", "_more", "_rate", "_sent", "waits")

    def __init__(
        self, rate: ModelRate, sent: SentRequest | None, waits: Mapping[Bound, float] | None = None
    ) -> None:
        self.waits = waits or {}
        self._rate = rate
        self._sent = sent
        self._more = 0
        self._given_ns = now_ns()

    def settle(self, tokens: int) -> None:
        """Correct the expected tokens."""
        if self._sent is not None:
            self._more = self._rate.settle(self._sent, tokens)

    @property
    def amounts(self) -> Mapping[str, float]:
        """What it took of each limit, by the limit's name."""
        if self._sent is None:
            return {}
        named, limits = self._rate.limit_name, self._rate.limits
        amounts: dict[str, float] = {}
        if limits.requests is not None:
            amounts[named(Bound.REQUESTS)] = self._sent.requests
        if limits.tokens is not None:
            amounts[named(Bound.TOKENS)] = self._sent.tokens
        if Bound.SERVICE in self.waits:
            amounts[named(Bound.SERVICE)] = 1
        return amounts

    @property
    def more(self) -> Mapping[str, float]:
        """What was booked beyond that when the request had been answered."""
        return {self._rate.limit_name(Bound.TOKENS): self._more}

    def record(self, span: Span) -> None:
        """Record the turn, which is over, on the span of its call; nothing without a limit."""
        if not (amounts := self.amounts):
            return
        longest = max(self.waits, key=self.waits.__getitem__, default=None)
        attributes = spans.grant_attributes(
            amounts,
            wait_s=sum(self.waits.values()),
            waited_for="" if longest is None else self._rate.limit_name(longest),
            held_s=(now_ns() - self._given_ns) / 1e9,
            more=self.more,
        )
        spans.record_grant(span, self._given_ns, attributes)


_NO_LIMITS = RateLimits()
EVERY_MODEL = "*"
"""The name in limits that stands for every model that they do not name."""
_rates: dict[tuple[str | None, str, RateLimits], ModelRate] = {}


def model_rate(service: ModelService, name: str) -> ModelRate:
    """The turns of a model, the same for all runs of the process."""
    limits = limits_of(service, name)
    key = (service.base_url, name, limits)
    # One dict operation, so threads agree on one.
    return _rates.get(key) or _rates.setdefault(key, ModelRate(limits, model=name))


def limits_of(service: ModelService, name: str) -> RateLimits:
    """The limits a minute of a model, as the settings say."""
    return RateLimits(
        *(
            limit.get(name, limit.get(EVERY_MODEL))
            for limit in (service.requests_per_minute, service.tokens_per_minute)
        )
    )


def limit_name(model: str, bound: Bound) -> str:
    """What a limit of a model is called in traces, such as `gpt-5-mini tokens`."""
    return f"{model} {bound}"


def declared_limits(service: ModelService) -> list[DeclaredLimit]:
    """The limits a minute of both models of a service, as traces declare them."""
    declared = []
    for model in dict.fromkeys((service.quick, service.deep)):
        limits = limits_of(service, model)
        for bound, most in ((Bound.REQUESTS, limits.requests), (Bound.TOKENS, limits.tokens)):
            if most is not None:
                declared.append(DeclaredLimit(limit_name(model, bound), most, WINDOW_S, bound))
    return declared


def expected_tokens(messages: "Sequence[BaseMessage]") -> int:
    """About how many tokens a prompt will take: one for four characters, as English text has."""
    return sum(len(each.text) for each in messages) // 4
