"""Which spans the next run holds, and for how long, so that it settles most of what is open.

To hold a span beyond the start of a later one tells whether that one waits for it: either it starts
before the end, or it moves. Where a span has slack that costs nothing. So many random plans are
drawn and played by what is likely so far; of those that make the run little longer, the one that
settles most is taken.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from trading_graph.otel.probe.estimate import Estimate, Reason
from trading_graph.otel.probe.events import MomentKind
from trading_graph.otel.probe.limits import Findings
from trading_graph.otel.probe.plan import Plan
from trading_graph.otel.probe.play import Played
from trading_graph.otel.probe.runs import Runs

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

DRAWN = 160
"""So many plans are drawn for each run."""

WORST_SHARE = 0.4
"""By this share a run may take longer if all that is open turns out to wait."""

SALTS = 40
"""So many orders of tasks are drawn for each run."""

HELD_SCORE = 0.1
"""What it is worth to hold a span in the hope that it ends last, as may be behind a limit."""

HOLD_TOLERANCES = 12
"""The least hold of a span, in tolerances: so that what moved with it hardly did so by chance."""

MOST_HOLD_SHARE = 0.02
"""The least hold is no more than this share of a run, or else four tolerances."""


@dataclass(frozen=True)
class Design:
    """Chooses the holds of the next run of a program by what is known from those before."""

    findings: Findings

    @property
    def estimate(self) -> Estimate:
        """What each moment waits for."""
        return self.findings.estimate

    @cached_property
    def hold_s(self) -> float:
        """The least time for which a span is held."""
        tolerance, wall = self.estimate.tolerance_s, float(np.median(self._runs.wall_s))
        return max(4 * tolerance, min(HOLD_TOLERANCES * tolerance, MOST_HOLD_SHARE * wall))

    @property
    def _runs(self) -> Runs:
        return self.estimate.runs

    @cached_property
    def _open(self) -> list[tuple[int, int]]:
        """What is not settled: an earlier span, and the number of the moment."""
        return [
            (before, number)
            for number, reason in enumerate(self.estimate.reasons)
            for before in _unsettled(reason)
        ]

    @property
    def is_settled(self) -> bool:
        """Whether a further run has nothing to settle."""
        return not self._open

    def next_plan(self, token: str, process: int, rng: "Generator", allowed_s: float) -> Plan:
        """The plan of the next run, which may take longer by so many seconds."""
        runs, tasks_s = self._runs, round(float(min(self.hold_s, allowed_s / 4)), 6)
        paths = self._tasks(tasks_s, allowed_s / 2, rng)
        tasks = (tasks_s, self._salt(tasks_s, rng), paths, round(allowed_s / 4, 6))
        if not self._open:
            return Plan(token, process, {}, *tasks)
        holds = self._draw(rng)
        played = Played(self.findings, holds)
        at_worst = Played(self.findings, holds, at_worst=True)
        # Nothing is held in the first plan.
        is_allowed = played.end[:, 0] <= played.end[0, 0] + allowed_s
        most_s = WORST_SHARE * float(np.median(runs.wall_s))
        is_allowed &= at_worst.end[:, 0] <= at_worst.end[0, 0] + max(most_s, allowed_s)
        best = int(np.where(is_allowed, self._scores(played), -1.0).argmax())
        holds_s = {
            runs.keys[span]: round(float(seconds), 6)
            for span, seconds in enumerate(holds[best])
            if seconds
        }
        return Plan(token, process, holds_s, *tasks)

    def _tasks(self, tasks_s: float, most_s: float, rng: "Generator") -> frozenset[str]:
        """Tasks that are made together and lead to spans: all, or some in so many seconds."""
        runs = self._runs
        tasks_of: dict[str, set[str]] = defaultdict(set)
        for each in runs.activities:
            for path in set(each):
                while path and path != each[0] and not each[0].startswith(f"{path}."):
                    creator = path.rpartition(".")[0]
                    tasks_of[creator].add(path)
                    path = creator
        together = [paths for _, paths in sorted(tasks_of.items()) if len(paths) > 1]
        count = max(int(most_s / tasks_s), 1) if tasks_s else 0
        numbers = rng.permutation(len(together))[:count].tolist()
        return frozenset(path for each in numbers for path in together[each])

    def _salt(self, tasks_s: float, rng: "Generator") -> int:
        """The salt that lets most tasks come before others that were always before them."""
        salts = rng.integers(2**31, size=SALTS).tolist()
        pairs = list(self._always_before())
        if not pairs:
            return int(salts[0])
        apart = self.estimate.tolerance_s

        def score(salt: int) -> int:
            plan = Plan("", 0, {}, tasks_s, salt)
            holds = {path: plan.of_task(path) for pair in pairs for path in pair}
            return sum(holds[first] > holds[second] + apart for first, second in pairs)

        return int(max(salts, key=score))

    def _always_before(self) -> Iterator[tuple[str, str]]:
        """The paths of tasks made at one moment of which one always ended before the other."""
        paths = self._runs.activities[0]
        for reason in self.estimate.reasons:
            if reason.moment.kind is not MomentKind.BIRTH:
                continue
            together = reason.moment.spans
            for span in together:
                for work in self.estimate.of_span[span]:
                    for before in work.moment.earlier.intersection(together):
                        if paths[before] != paths[span]:
                            yield paths[before], paths[span]

    def _draw(self, rng: "Generator") -> "NDArray[np.float64]":
        """Random holds of each span, by plan; none in the first."""
        runs, least = self._runs, self.hold_s
        slack: dict[int, list[float]] = {}
        for before, number in self._open:
            late = float(self.estimate.reasons[number].moment.at[0] - runs.end[0, before])
            slack.setdefault(before, []).append(max(late, 0.0))
        holds = np.zeros((DRAWN, len(runs)))
        share = rng.uniform(0.02, 0.8, DRAWN)
        for span, some in slack.items():
            chosen = rng.random(DRAWN) < share
            reach = rng.choice(some, DRAWN) * (rng.random(DRAWN) < 0.6)
            holds[:, span] = chosen * (reach + least * rng.uniform(1, 2, DRAWN))
        holds[0] = 0
        return holds

    def _scores(self, played: Played) -> "NDArray[np.float64]":
        """How much of what is open each plan settles."""
        scores, apart = np.zeros(DRAWN), 2 * self.estimate.tolerance_s
        for number, reason in enumerate(self.estimate.reasons):
            unsettled = _unsettled(reason)
            if not unsettled:
                continue
            others = sorted(reason.moment.earlier)
            ends = played.end[:, others]
            latest = ends.max(axis=1)
            for before in unsettled:
                end = played.end[:, before]
                implied = self.estimate.implied[before]
                rivals = [
                    at for at, each in enumerate(others) if each != before and each not in implied
                ]
                rival = ends[:, rivals].max(axis=1) if rivals else np.full(DRAWN, -np.inf)
                is_held = played.held[:, before] >= self.hold_s
                is_likely = before in played.likely[number]
                # What does not wait for it starts before its end, or no later than without it.
                is_beyond = is_held & (not is_likely) & (end > played.at[number] + apart)
                is_last = is_held & (end >= latest) & (end > rival + apart)
                is_last &= is_likely | (end + reason.gap_s > played.at[number] + apart)
                scores += np.where(is_last | is_beyond, 1.0, HELD_SCORE * is_held)
        return scores


def _unsettled(reason: Reason) -> list[int]:
    """What could be a reason: what is open, and what a single run shows, which may be chance."""
    return [*reason.open, *(each.before for each in reason.waits_for if each.runs == 1)]
