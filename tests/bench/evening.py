"""An evening of many tickers as discrete events, on a virtual clock.

Each ticker plays a measured run. So many are made at once, by one process or by workers that take
them from a line, and the calls of each model keep its limits a minute: in order of request, and in
no window more than a limit says. The same evening and seed always give the same.
"""

import heapq
import itertools
import math
import random
from collections import Counter, defaultdict, deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tests.bench.scripts import Call, Script
from trading_graph.graph.chat import rate_limits
from trading_graph.graph.chat.rate_limits import Bound, RateLimits, SentRequest
from trading_graph.service.shared.tables import SLOTS

Process = Generator[float | None, None, None]
"""What happens one after the other: it yields for how long it waits, or None to be woken."""


class VirtualClock:
    """Plays processes; times are in seconds from 0, and what is due at once keeps its order."""

    def __init__(self) -> None:
        self.now = 0.0
        self._due: list[tuple[float, int, Process]] = []
        self._numbers = itertools.count()
        self._playing: Process | None = None

    @property
    def playing(self) -> Process:
        """The process that is being played."""
        assert self._playing is not None
        return self._playing

    def start(self, process: Process, at: float | None = None) -> None:
        """Play a process from a time on, or wake it."""
        due = self.now if at is None else at
        heapq.heappush(self._due, (due, next(self._numbers), process))

    def run(self) -> None:
        """Play until nothing is due."""
        while self._due:
            self.now, _, self._playing = heapq.heappop(self._due)
            wait_s = next(self._playing, None)
            if wait_s is not None:
                self.start(self._playing, self.now + wait_s)


class ModelLine:
    """The calls of a model that wait for its limits a minute.

    In a house, what is sent counts until a window after the end of its slot, as in the database.
    """

    def __init__(
        self, clock: VirtualClock, limits: RateLimits, window_s: float, slot_s: float
    ) -> None:
        self.sent: list[SentRequest] = []
        """What was sent, and what answers took beyond what was expected, in order of time."""
        self.waited: dict[Bound, float] = defaultdict(float)
        self._clock = clock
        self._limits = limits
        self._window_s = window_s
        self._slot_s = slot_s
        self._counted: deque[SentRequest] = deque()
        self._requests = self._tokens = 0
        self._waiting: deque[tuple[Process, int]] = deque()

    def ask(self, tokens: int) -> None:
        """Let the process that is being played wait until its call is sent."""
        self._waiting.append((self._clock.playing, tokens))
        if len(self._waiting) == 1:
            self._clock.start(self._serve())

    def settle(self, tokens: int) -> None:
        """Count what an answer took beyond what was expected, from now on."""
        if tokens > 0:
            self._count(SentRequest(self._clock.now, tokens, requests=0))

    def _serve(self) -> Process:
        while self._waiting:
            process, tokens = self._waiting[0]
            fits_at, bound = self._earliest(tokens)
            if fits_at > self._clock.now:
                self.waited[bound] += fits_at - self._clock.now
                yield fits_at - self._clock.now
                continue
            self._waiting.popleft()
            self._count(SentRequest(self._clock.now, tokens))
            self._clock.start(process)

    def _earliest(self, tokens: int) -> tuple[float, Bound]:
        """When a call of so many tokens fits in, and what it waits for until then."""
        now, bound = self._clock.now, Bound.REQUESTS
        while self._counted and self._end(self._counted[0]) <= now:
            over = self._counted.popleft()
            self._requests -= over.requests
            self._tokens -= over.tokens
        requests, taken, fits_at = self._requests, self._tokens, now
        for each in self._counted:
            many = _exceeds(requests + 1, self._limits.requests)
            if not many and not _exceeds(taken + tokens, self._limits.tokens):
                break
            bound = Bound.REQUESTS if many else Bound.TOKENS
            requests, taken, fits_at = (
                requests - each.requests,
                taken - each.tokens,
                self._end(each),
            )
        return fits_at, bound

    def _end(self, sent: SentRequest) -> float:
        """Until when something counts."""
        if not self._slot_s:
            return sent.at + self._window_s
        return math.ceil(sent.at / self._slot_s) * self._slot_s + self._window_s

    def _count(self, sent: SentRequest) -> None:
        self.sent.append(sent)
        self._counted.append(sent)
        self._requests += sent.requests
        self._tokens += sent.tokens


def _exceeds(amount: int, limit: int | None) -> bool:
    return limit is not None and amount > limit


@dataclass(frozen=True, slots=True)
class WorkLine:
    """What workers lose by taking runs from a line: seconds.

    `between_s` is the time in which two runs come into the line. `empty_s` is for how long a place
    is empty before a run begins that is in line: one of these, by chance.
    """

    between_s: float
    empty_s: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Evening:
    """What is played: so many tickers, some at once, under limits a minute by model.

    With a `line` those at once are of several workers, which share the limits of a house.
    """

    scripts: tuple[Script, ...]
    tickers: int
    at_once: int
    limits: Mapping[str, RateLimits]
    line: WorkLine | None = None

    @property
    def models(self) -> list[str]:
        """The models that are asked."""
        return sorted({call.model for script in self.scripts for call in script.calls})

    def all_scripts(self) -> Iterator[Script]:
        """The script of each ticker."""
        return itertools.islice(itertools.cycle(self.scripts), self.tickers)

    def bounds(self) -> dict[str, float]:
        """What each resource alone makes the evening take at least, in seconds, by its name."""
        requests, tokens = Counter[str](), Counter[str]()
        alone_s = 0.0
        for script in self.all_scripts():
            alone_s += script.alone_s
            for call in script.calls:
                requests[call.model] += 1
                tokens[call.model] += call.tokens
        bounds = {AT_ONCE: alone_s / self.at_once}
        window_s = rate_limits.WINDOW_S
        for model, limits in self.limits.items():
            for what, used in ((Bound.REQUESTS, requests), (Bound.TOKENS, tokens)):
                if (most := getattr(limits, what)) is not None:
                    # The first minute's share is there at once, and the last may go in an instant.
                    bounds[limit_words(model, what)] = window_s * max(used[model] / most - 1, 0)
        return bounds

    def with_limit(self, model: str, what: Bound, most: int) -> "Evening":
        """The same with another limit."""
        limits = replace(self.limits[model], **{what: most})
        return replace(self, limits={**self.limits, model: limits})


AT_ONCE = "runs at once"
LINE = "the line"


def limit_words(model: str, what: Bound) -> str:
    """What a limit is called."""
    return f"{model}: {what} a minute"


@dataclass(slots=True)
class Played:
    """What happened in an evening; times are in seconds from its begin.

    `calls` and `agents` are when calls and agents ended, `tokens` what each of these calls took.
    `waited_s` is for how long some call waited for a limit, by its name, and for how long a place
    was empty on average because nothing was in line; `sent` is what was sent to each model with
    limits.
    """

    seconds: float = 0.0
    first_call_s: float = math.inf
    calls: list[float] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    agents: list[float] = field(default_factory=list)
    runs: list[float] = field(default_factory=list)
    waited_s: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    sent: dict[str, Sequence[SentRequest]] = field(default_factory=dict)


def play(evening: Evening, seed: int = 0) -> Played:
    """Play an evening to its end."""
    stage = _Stage(evening, random.Random(seed))
    for _ in range(min(evening.at_once, evening.tickers)):
        stage.clock.start(stage.place())
    stage.clock.run()
    played = stage.played
    played.seconds = stage.clock.now
    for model, line in stage.lines.items():
        played.sent[model] = line.sent
        for bound, seconds in line.waited.items():
            played.waited_s[limit_words(model, bound)] = seconds
    return played


class _Stage:
    """The evening while it is played."""

    def __init__(self, evening: Evening, chance: random.Random) -> None:
        self.clock = VirtualClock()
        self.played = Played()
        window_s = rate_limits.WINDOW_S
        slot_s = 0.0 if evening.line is None else window_s / SLOTS
        self.lines = {
            model: ModelLine(self.clock, limits, window_s, slot_s)
            for model, limits in evening.limits.items()
        }
        self._chance = chance
        self._line = evening.line
        self._scripts = enumerate(evening.all_scripts())
        self._places = min(evening.at_once, evening.tickers)

    def place(self) -> Process:
        """Make runs one after the other while there are any."""
        for number, script in self._scripts:
            if self._line is not None:
                late_s = max(number * self._line.between_s - self.clock.now, 0.0)
                self.played.waited_s[LINE] += late_s / self._places
                yield late_s
                yield self._chance.choice(self._line.empty_s)
            yield from self._run(script)
            self.played.runs.append(self.clock.now)

    def _run(self, script: Script) -> Process:
        whole = self.clock.playing
        missing = [len(agent.after) for agent in script.agents]
        after = [
            [n for n, agent in enumerate(script.agents) if number in agent.after]
            for number in range(len(script.agents))
        ]
        left = len(script.agents)

        def work(number: int) -> Process:
            nonlocal left
            agent = script.agents[number]
            yield agent.lead_s
            for call in agent.calls:
                yield from self._call(call)
            yield agent.rest_s
            self.played.agents.append(self.clock.now)
            left -= 1
            if not left:
                self.clock.start(whole)
            for other in after[number]:
                missing[other] -= 1
                if not missing[other]:
                    self.clock.start(work(other))

        for number, agent in enumerate(script.agents):
            if not agent.after:
                self.clock.start(work(number))
        yield None
        yield script.rest_s

    def _call(self, call: Call) -> Process:
        yield call.lead_s
        line = self.lines.get(call.model)
        if line is not None:
            line.ask(call.prompt)
            yield None
        self.played.first_call_s = min(self.played.first_call_s, self.clock.now)
        yield call.seconds
        if line is not None:
            line.settle(call.tokens - call.prompt)
        self.played.calls.append(self.clock.now)
        self.played.tokens.append(call.tokens)
