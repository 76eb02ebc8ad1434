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
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Lock

from langchain_core.messages import BaseMessage

from trading_graph.graph.backend_choice import ModelService
from trading_graph.otel.vocabularies.witness import Wait
from trading_graph.otel.witness import waiting

# Two requests that were sent a minute apart may arrive a little closer.
WINDOW_S = 60.5


@dataclass(frozen=True, slots=True)
class RateLimits:
    """The most that a model may be asked for in a minute; None is no limit."""

    requests: int | None = None
    tokens: int | None = None


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
class _Sent:
    """What is booked at a time: one request, or none where tokens are added later."""

    at: float
    tokens: int
    requests: int = 1


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

    `now` is the clock, in seconds.
    """

    def __init__(self, limits: RateLimits, now: Callable[[], float] = time.monotonic) -> None:
        self.limits = limits
        self._now = now
        self._lock = Lock()
        self._sent: deque[_Sent] = deque()
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
            if isinstance(sent := self._try(ticket), _Sent):
                return Turn(self, sent)
            announce(sent)
            with waiting(Wait.RATE_LIMIT):
                while not isinstance(sent, _Sent):
                    budget = left()
                    if sent >= budget.seconds:
                        raise LongWait(self._source, sent, budget)
                    ticket.moved.clear()
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(sent):
                            await ticket.moved.wait()
                    sent = self._try(ticket)
            return Turn(self, sent)
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

    def _try(self, ticket: _Ticket) -> "_Sent | float":
        """Send the ticket's request, or say how many seconds it has to wait at least."""
        with self._lock:
            now = self._now()
            delay = self._when(ticket, now) - now
            if delay > 0:
                return delay
            self._queue.remove(ticket)
            self._sent.append(sent := _Sent(now, ticket.tokens))
            while self._sent[0].at < now - WINDOW_S:
                self._sent.popleft()
        self._wake_first()
        return sent

    def _when(self, ticket: _Ticket, now: float) -> float:
        """When the ticket's turn is, if all that are ahead of it take theirs."""
        booked = list(self._sent)
        at = max(now, self._pause_end)
        for each in self._queue:
            if each.loop.is_closed():
                continue
            at = max(at, self._earliest(booked, each.tokens))
            if each is ticket:
                break
            booked.append(_Sent(at, each.tokens))
        return at

    def _earliest(self, booked: list[_Sent], tokens: int) -> float:
        """When a request fits in behind those that are booked, in order of time."""
        limits = self.limits
        requests = 1
        for each in reversed(booked):
            requests += each.requests
            tokens += each.tokens
            over = limits.requests is not None and requests > limits.requests
            if over or (limits.tokens is not None and tokens > limits.tokens):
                return each.at + WINDOW_S
        return -math.inf

    def _leave(self, ticket: _Ticket) -> None:
        with self._lock:
            if ticket not in self._queue:
                return
            self._queue.remove(ticket)
        self._wake_first()

    def settle(self, sent: _Sent, tokens: int) -> None:
        """Book what a request really took; what exceeds the expectation counts from now on."""
        with self._lock:
            more = tokens - sent.tokens
            if more <= 0:
                sent.tokens = tokens
            elif self.limits.tokens is not None:
                self._sent.append(_Sent(self._now(), more, requests=0))
        self._wake_first()

    def _wake_first(self) -> None:
        """Let the first in line look again: nobody behind it has a turn before it has.

        With all of them looking, a settled request would cost the square of the line's length.
        """
        with self._lock:
            first = next((each for each in self._queue if not each.loop.is_closed()), None)
        if first is not None:
            first.wake()


class Turn:
    """The turn of one request that may be sent now."""

    __slots__ = ("_rate", "_sent")

    def __init__(self, rate: ModelRate, sent: _Sent | None) -> None:
        self._rate = rate
        self._sent = sent

    def settle(self, tokens: int) -> None:
        """Correct the expected tokens."""
        if self._sent is not None:
            self._rate.settle(self._sent, tokens)


_NO_LIMITS = RateLimits()
EVERY_MODEL = "*"
"""The name in limits that stands for every model that they do not name."""
_rates: dict[tuple[str | None, str, RateLimits], ModelRate] = {}


def model_rate(service: ModelService, name: str) -> ModelRate:
    """The turns of a model, the same for all runs of the process."""
    limits = RateLimits(
        *(
            limit.get(name, limit.get(EVERY_MODEL))
            for limit in (service.requests_per_minute, service.tokens_per_minute)
        )
    )
    key = (service.base_url, name, limits)
    # One dict operation, so threads agree on one.
    return _rates.get(key) or _rates.setdefault(key, ModelRate(limits))


def expected_tokens(messages: Sequence[BaseMessage]) -> int:
    """About how many tokens a prompt will take: one for four characters, as English text has."""
    return sum(len(each.text) for each in messages) // 4
