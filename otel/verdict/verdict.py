"""The verdict on a trace: incomplete (no verdict), passed or failed, check by check."""

from dataclasses import dataclass

from trading_graph.otel.gc_pause import pause_collection
from trading_graph.otel.trace import Span, SpanTable, Trace, row_of, table_of
from trading_graph.otel.verdict.checks import CheckResult, Outcome, Scope, evaluate
from trading_graph.otel.verdict.completeness import completeness
from trading_graph.otel.verdict.gate import Gate
from trading_graph.otel.verdict.measures import Measures, measures_of
from trading_graph.otel.verdict.resumed import Interruption, interruptions
from trading_graph.otel.verdict.run_view import run_view


@dataclass(frozen=True, slots=True, repr=False)
class Verdict:
    """What a gate says about a trace; an incomplete trace has no checks.

    `trace` is what was judged: the run as `run_view` shows it. `span_count` is the number of
    recorded spans. `run` is the span that was judged, with everything below it. `missing` has a
    sentence for each thing that the trace lacks, and `exact` says that the run declared its span
    count and that it holds. `notes` are sentences about how its times were read.
    """

    trace: Trace
    run: Span | None
    missing: tuple[str, ...]
    exact: bool
    span_count: int
    checks: tuple[CheckResult, ...] = ()
    interruptions: tuple[Interruption, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def judged(self) -> bool:
        """Whether there is a verdict at all."""
        return self.run is not None and not self.missing

    @property
    def passed(self) -> bool:
        """Whether the trace could be judged and no check failed."""
        return self.judged and not self.failures

    @property
    def failures(self) -> tuple[CheckResult, ...]:
        """The checks that failed."""
        return tuple(each for each in self.checks if each.outcome is Outcome.FAIL)

    @property
    def measures(self) -> Measures | None:
        """What the run shows in numbers, computed at each use; None without a verdict."""
        if not self.judged or self.run is None:
            return None
        return measures_of(table_of(self.trace), row_of(self.run))

    def __repr__(self) -> str:
        if not self.judged:
            return f"<Verdict on {self.trace.id}: not judged, {len(self.missing)} things missing>"
        checks = f"{len(self.checks)} check{'' if len(self.checks) == 1 else 's'}"
        if self.passed:
            return f"<Verdict on {self.trace.id}: passed, {checks}>"
        ids = ", ".join(each.id for each in self.failures[:5])
        count = f"{len(self.failures)} of {checks}"
        return f"<Verdict on {self.trace.id}: failed, {count} ({ids})>"


@pause_collection()
def judge(trace: SpanTable, gate: Gate, run_id: str | None = None) -> Verdict:
    """Judge a trace by a gate; `run_id` selects one of several runs."""
    whole = completeness(trace, run_id)
    if not whole.complete or whole.run is None:
        run = None if whole.run is None else Span(trace, whole.run)
        return Verdict(Trace(trace), run, whole.missing, exact=False, span_count=len(trace))
    view = run_view(trace, whole.run)
    scope = Scope(view.trace, view.run, gate.sets, len(trace))
    return Verdict(
        trace=Trace(view.trace),
        run=Span(view.trace, view.run),
        missing=(),
        exact=whole.exact,
        span_count=len(trace),
        checks=tuple(evaluate(scope, check) for check in gate.checks),
        interruptions=interruptions(trace, whole.run),
        notes=view.notes,
    )
