"""The dependencies of a program, from all that its runs showed."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from trading_graph.otel.diagnosis import Schedule, call_tree
from trading_graph.otel.probe.limits import Findings
from trading_graph.otel.probe.runs import ProbeRun, Runs
from trading_graph.otel.probe.speed_ups import play_holds, played_speed_ups
from trading_graph.otel.trace.dependencies import (
    Dependencies,
    ProbedSpan,
    ShownLimit,
    ShownOrder,
    ShownWait,
    SpeedUp,
)

LEAST_NOISE = 0.005
"""Two equal runs differ by this share at least."""


@dataclass(frozen=True)
class Probed:
    """The runs of a program so far, `plain` of them undisturbed, and what they show."""

    program: tuple[str, ...]
    plain: int
    probe_runs: Sequence[ProbeRun]
    runs: Runs
    findings: Findings

    @property
    def base(self) -> int:
        """The number of the undisturbed run from which others are predicted: the quickest."""
        return int(self.runs.wall_s[: self.plain].argmin())

    @property
    def plain_s(self) -> float:
        """The median duration of the undisturbed runs."""
        return float(np.median(self.runs.wall_s[: self.plain]))

    def dependencies(self, measured: Mapping[int, float] | None = None) -> Dependencies:
        """What the file says; `measured` are runs with a faster call in seconds, by its span."""
        dependencies = self._without_predictions()
        schedule, rows = self.schedule(dependencies), self.rows
        errors = [
            abs(play_holds(schedule, self.runs, run, rows) / float(self.runs.wall_s[run]) - 1)
            for run in range(self.plain, len(self.probe_runs))
            if not self.probe_runs[run].plan.tasks_s and self._has_same_order(run)
        ]
        spread = float(np.ptp(self.runs.wall_s[: self.plain])) / self.plain_s
        noise = max(LEAST_NOISE, spread, 2 * float(np.median(errors or [0.0])))
        # Where it is open who waits for a call, the run may not become any shorter with it.
        open_spans = {each for span in dependencies.spans for each in span.open}
        base_s = float(self.runs.wall_s[self.base])
        speed_ups = tuple(
            SpeedUp(
                span=each.span - 1,
                share=round(each.less_s / self._length_s(each.span), 3),
                run_s=each.run_s,
                low_s=each.run_s * (1 - noise),
                high_s=(base_s if each.span - 1 in open_spans else each.run_s) * (1 + noise),
                measured_s=(measured or {}).get(each.span),
            )
            for each in played_speed_ups(schedule, rows)
        )
        return msgspec.structs.replace(dependencies, noise=round(noise, 5), speed_ups=speed_ups)

    def schedule(self, dependencies: Dependencies | None = None) -> Schedule:
        """The undisturbed run, with the order that was shown."""
        base = self.probe_runs[self.base]
        order = ShownOrder(dependencies or self._without_predictions(), base.trace, base.run)
        return Schedule(call_tree(base.trace, base.run), order)

    @property
    def rows(self) -> Sequence[int]:
        """The row of each span in the trace of the undisturbed run."""
        return self.runs.rows[self.base]

    def _has_same_order(self, run: int) -> bool:
        """Whether the slots of all limits went to the same spans in turn as without delays."""
        work = self.runs.work
        return all(
            np.array_equal(
                work[run, list(limit.spans)].argsort(), work[self.base, list(limit.spans)].argsort()
            )
            for limit in self.findings.limits
        )

    def _length_s(self, span: int) -> float:
        return float(self.runs.end[self.base, span] - self.runs.start[self.base, span])

    def _without_predictions(self) -> Dependencies:
        estimate, numbers = self.findings.estimate, self._numbers()
        return Dependencies(
            schema_version=1,
            program=self.program,
            runs=len(self.probe_runs),
            plain=self.plain,
            wall_s=round(self.plain_s, 6),
            total_s=round(float(self.runs.wall_s.sum()), 6),
            tolerance_s=round(estimate.tolerance_s, 6),
            noise=0.0,
            # The run itself, number 0, is none of them.
            spans=tuple(
                ProbedSpan(
                    path=tuple(name for name, _ in self.runs.places[span]),
                    numbers=numbers[span],
                    waits_for=tuple(
                        ShownWait(
                            span=before - 1,
                            order=each.order,
                            runs=each.runs,
                            confidence=round(each.confidence, 4),
                        )
                        for before, each in sorted(estimate.waits_for(span).items())
                    ),
                    open=tuple(sorted(each - 1 for each in self._open(span))),
                )
                for span in range(1, len(self.runs))
            ),
            limits=tuple(
                ShownLimit(
                    spans=tuple(span - 1 for span in each.spans),
                    at_once=each.at_once,
                    handovers=each.handovers,
                )
                for each in self.findings.limits
            ),
            speed_ups=(),
            left_out=self.runs.left_out,
        )

    def _open(self, span: int) -> set[int]:
        """The spans of which it is not settled whether one waits for them.

        That includes siblings that cannot be told from others in another run: nothing is known.
        """
        runs = self.runs
        reasons = self.findings.estimate.of_span.get(span, ())
        known = runs.is_known_again
        return {before for reason in reasons for before in reason.open} | {
            each
            for each in runs.children.get(runs.parents[span], ())
            if each != span and not (known[span] and known[each])
        }

    def _numbers(self) -> dict[int, tuple[int, ...]]:
        """The number of each span, and of those above it, among siblings of one name."""
        families: dict[tuple[int, str], list[int]] = defaultdict(list)
        for span in range(1, len(self.runs)):
            families[self.runs.parents[span], self.runs.places[span][-1][0]].append(span)
        number = {}
        for family in families.values():
            for at, span in enumerate(sorted(family, key=lambda each: self.rows[each])):
                number[span] = at
        numbers: dict[int, tuple[int, ...]] = {0: ()}
        for span in range(1, len(self.runs)):
            numbers[span] = (*numbers[self.runs.parents[span]], number[span])
        return numbers
