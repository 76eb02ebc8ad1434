"""Limits in play, and the lines in front of them: first come, first served.

Limits of which something is granted together share one line, as the requests and the tokens of a
model do. Of a rate no more begins within its window than its capacity; what exceeds the capacity
alone begins when nothing else is in use.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence

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
        self._window_ns = int(declared.window_s * 1e9)
        self._used = 0.0
        self._booked: deque[tuple[int, float]] = deque()

    def room_at(self, now: int, amount: float) -> int | None:
        """When there is room for so much; None for when something is given back."""
        if not self._window_ns:
            return now if not self._used or self._used + amount <= self._capacity else None
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
        """Use so much no longer; what a rate has counted it forgets by itself."""
        if not self._window_ns:
            self._used -= amount


class _Line:
    """The grants that are waited for, in order of asking, and when to look at them again."""

    def __init__(self) -> None:
        self.waiting: deque[tuple[Grant, Act]] = deque()
        self.next_look = -1


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

    def _join(self, names: Sequence[str]) -> None:
        """Let limits of which something is granted together have one line."""
        lines = {id(self._lines[name]) for name in names}
        if len(lines) > 1:
            one = self._lines[names[0]]
            for name, line in self._lines.items():
                if id(line) in lines:
                    self._lines[name] = one

    def ask(self, grant: Grant, now: int, begin: Act) -> None:
        """Stand in line; `begin` is called when it is granted, now or later."""
        line = self._line_of(grant)
        if line is None:
            begin(now)
            return
        line.waiting.append((grant, begin))
        self._serve(line, now)

    def give_back(self, grant: Grant, now: int) -> None:
        """Give back what was granted, and book what more it took."""
        for name, amount in grant.amounts.items():
            if name in self._limits:
                self._limits[name].give_back(amount)
        for name, amount in grant.more.items():
            if amount and name in self._limits:
                self._limits[name].take(now, amount)
        if (line := self._line_of(grant)) is not None:
            self._serve(line, now)

    def _line_of(self, grant: Grant) -> _Line | None:
        return next((self._lines[name] for name in grant.amounts if name in self._lines), None)

    def _serve(self, line: _Line, now: int) -> None:
        """Grant what there is room for, in order."""
        while line.waiting:
            grant, begin = line.waiting[0]
            amounts = {n: much for n, much in grant.amounts.items() if n in self._limits}
            times = [self._limits[name].room_at(now, much) for name, much in amounts.items()]
            known = [time for time in times if time is not None]
            if len(known) < len(times):
                return  # until something is given back
            if (at := max(known)) > now:
                if not now < line.next_look <= at:
                    line.next_look = at
                    self._schedule(at, lambda time: self._serve(line, time))
                return
            line.waiting.popleft()
            for name, much in amounts.items():
                self._limits[name].take(now, much)
            begin(now)
