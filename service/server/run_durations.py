"""How long runs take, and so when the next of those under way will have ended."""

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Sequence
from math import prod

CHANCE = 0.8
"""How likely it is that a run has ended when `next_end_s` says so."""

FIRST_GUESS_S = 60.0
"""Assumed duration of a run, until one has ended."""

_KEPT = 64
_ROUNDING = 1e-9


class RunDurations:
    """The durations of the last runs, in seconds."""

    def __init__(self) -> None:
        self._last: deque[float] = deque(maxlen=_KEPT)

    def __len__(self) -> int:
        return len(self._last)

    def add(self, seconds: float) -> None:
        """Take the duration of a run that has ended."""
        self._last.append(seconds)

    def next_end_s(self, ages: Sequence[float]) -> float:
        """In how many seconds one of the runs of these ages has ended, with a chance of 80 %.

        A run of some age is one of those that took longer: what these took beyond it is what it may
        still take. One that is older than any is taken to need half of its age again.
        """
        known = self._last or (FIRST_GUESS_S,)
        left = [sorted(each - age for each in known if each > age) or [age / 2] for age in ages]
        ends = sorted({end for each in left for end in each})

        def all_go_on(seconds: float) -> float:
            return prod(1 - bisect_right(each, seconds) / len(each) for each in left)

        # That chance only falls with time, and at the last end it is 0.
        return ends[
            bisect_left(ends, True, key=lambda end: all_go_on(end) <= 1 - CHANCE + _ROUNDING)
        ]
