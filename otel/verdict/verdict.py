"""The verdict on a trace: incomplete (no verdict), passed or failed, check by check."""

from dataclasses import dataclass, replace

from trading_graph.otel.collection import collection_paused
from trading_graph.otel.trace import Trace
from trading_graph.otel.verdict.checks import Outcome, Result, evaluate
from trading_graph.otel.verdict.completeness import Completeness, completeness
from trading_graph.otel.verdict.gate import Gate
from trading_graph.otel.verdict.measures import Measures, measures
from trading_graph.otel.verdict.resumed import Interruption, interruptions, uninterrupted
from trading_graph.otel.verdict.scope import Scope


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a gate says of a trace; without completeness there are no results.

    `trace` is what was judged: of a resumed run its view as one that was never interrupted, while
    `spans` counts what was recorded. Rows are those of `trace`.
    """

    trace: Trace
    completeness: Completeness
    results: tuple[Result, ...]
    spans: int
    interruptions: tuple[Interruption, ...] = ()

    @property
    def judged(self) -> bool:
        """Whether there is a verdict at all."""
        return self.completeness.complete

    @property
    def measures(self) -> Measures | None:
        """What the judged run shows in numbers, measured at every use."""
        run = self.completeness.run
        return measures(self.trace, run) if self.judged and run is not None else None

    @property
    def passed(self) -> bool:
        """Whether the trace could be judged and no check failed."""
        return self.judged and all(result.outcome is not Outcome.FAIL for result in self.results)


@collection_paused()
def judge(trace: Trace, gate: Gate, run_id: str | None = None) -> Verdict:
    """Judge a trace by a gate."""
    found = completeness(trace, run_id)
    if not found.complete or found.run is None:
        return Verdict(trace, found, (), len(trace))
    deaths = interruptions(trace, found.run)
    seen, run = uninterrupted(trace, found.run)
    scope = Scope(seen, run, gate.sets, len(trace))
    results = tuple(evaluate(scope, check) for check in gate.checks)
    return Verdict(seen, replace(found, run=run), results, len(trace), deaths)
