"""Limits in play, and the lines in front of them: first come, first served.

Limits of which something is granted together share one line, as the requests and the tokens of a
model do. Of a rate no more begins within its window than its capacity; what exceeds the capacity
alone begins when nothing else is in use.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence

import msgspec

from trading_graph.otel.trace.grants import Grant
from trading_graph.otel.vocabularies.limits import DeclaredLimit

Act = Callable[[int], None]
"""What happens at a time, in nanoseconds."""

_ROUNDING = 1e-9


class _Limit:
    """How much of a limit is in use: at once, or because it began within the window of a rate."""

    def __init__(self, declared: DeclaredLimit, factor: float) -> None:
        self._capacity = declared.capacity * factor + _ROUNDING
        if not declared.is_rate:
            self._capacity = max(int(self._capacity), 1) + _ROUNDING
        self.is_at_once = not declared.is_rate
        self._window_ns = int(declared.window_s * 1e9)
        self._used = 0.0
        self._booked: deque[tuple[int, float]] = deque()

    def room_at(self, now: int, amount: float) -> int | None:
        """When there is room for so much; None for when something is given back."""
        if not self._window_ns:
            is_free = self._used <= _ROUNDING or self._used + amount <= self._capacity
            return now if is_free else None
        while self._booked and self._booked[0][0] + self._window_ns <= now:
            self._used -= self._booked.popleft()[1]
        used, at = self._used, now
        for booked, much in self._booked:
            if used + amount <= self._capacity:
                break
            used, at = used - much, booked + self._window_ns
        return at

    def take(self, now: int, amount: float) -> None:
        """Use so much from now on."""
        self._used += amount
        if self._window_ns:
            self._booked.append((now, amount))

    def give_back(self, amount: float) -> None:
        """Use so much no longer; only of a limit on what is under way at once."""
        self._used -= amount


class _Line:
    """What stands in one line, in order of asking, and when to look at the first of it again."""

    def __init__(self) -> None:
        self.waiting: deque[tuple[_Request, Act]] = deque()
        self.next_look = -1


class _Request(msgspec.Struct, frozen=True):
    """A grant in play: its line, and how much of which limits it takes, and then books."""

    line: _Line
    amounts: tuple[tuple[_Limit, float], ...]
    more: tuple[tuple[_Limit, float], ...]


class Lines:
    """All limits of a run in play; `schedule` calls something at a time.

    `raised` are the limits whose capacity is multiplied, by name.
    """

    def __init__(
        self,
        declared: Mapping[str, DeclaredLimit],
        grants: Sequence[Grant],
        raised: Mapping[str, float],
        schedule: Callable[[int, Act], None],
    ) -> None:
        self._limits = {
            name: _Limit(limit, raised.get(name, 1.0)) for name, limit in declared.items()
        }
        self._lines = {name: _Line() for name in declared}
        self._schedule = schedule
        for names in dict.fromkeys(tuple(grant.amounts) for grant in grants):
            self._join([name for name in names if name in declared])
        self._requests = {id(grant): self._request(grant) for grant in grants}

    def _join(self, names: Sequence[str]) -> None:
        """Let limits of which something is granted together have one line."""
        lines = {id(self._lines[name]) for name in names}
        if len(lines) > 1:
            one = self._lines[names[0]]
            for name, line in self._lines.items():
                if id(line) in lines:
                    self._lines[name] = one

    def _request(self, grant: Grant) -> _Request | None:
        """A grant in play; None where none of its limits is declared."""
        names = [name for name in grant.amounts if name in self._limits]
        if not names:
            return None
        more = [(self._limits[name], grant.more.get(name, 0.0)) for name in names]
        return _Request(
            self._lines[names[0]],
            tuple([(self._limits[name], grant.amounts[name]) for name in names]),
            tuple([each for each in more if each[1]]),
        )

    def ask(self, grant: Grant, now: int, begin: Act) -> None:
        """Stand in line; `begin` is called when it is granted, now or later."""
        request = self._requests[id(grant)]
        if request is None:
            begin(now)
            return
        line = request.line
        line.waiting.append((request, begin))
        if len(line.waiting) == 1:
            self._serve(line, now)

    def give_back(self, grant: Grant, now: int) -> None:
        """Give back what was granted, and book what more it took."""
        request = self._requests[id(grant)]
        if request is None:
            return
        for limit, amount in request.more:
            limit.take(now, amount)
        # A rate forgets by itself, and whoever waits for it looks again by then.
        at_once = [each for each in request.amounts if each[0].is_at_once]
        for limit, amount in at_once:
            limit.give_back(amount)
        if at_once:
            self._serve(request.line, now)

    def relent(self, now: int) -> bool:
        """Grant the first in a line although there is no room; False where nobody waits.

        It had been granted: the program does not keep the limit that it declares.
        """
        for line in self._lines.values():
            if line.waiting:
                self._grant(line, now)
                return True
        return False

    def _serve(self, line: _Line, now: int) -> None:
        """Grant what there is room for, in order."""
        while line.waiting:
            request, _ = line.waiting[0]
            at = now
            for limit, amount in request.amounts:
                room_at = limit.room_at(now, amount)
                if room_at is None:
                    return  # until something is given back
                at = max(at, room_at)
            if at > now:
                if not now < line.next_look <= at:
                    line.next_look = at
                    self._schedule(at, lambda time: self._serve(line, time))
                return
            self._grant(line, now)

    def _grant(self, line: _Line, now: int) -> None:
        request, begin = line.waiting.popleft()
        for limit, amount in request.amounts:
            limit.take(now, amount)
        begin(now)
