"""The verdict on a trace: incomplete (no verdict), passed or failed, check by check."""

from collections.abc import Sequence

import msgspec

from trading_graph.otel.gc_pause import pause_collection
from trading_graph.otel.trace import Span, SpanTable, Trace, row_of, table_of
from trading_graph.otel.trace.dependencies import Dependencies, ShownOrder
from trading_graph.otel.trace.structure import SeenRun
from trading_graph.otel.verdict.completeness import called_note, completeness
from trading_graph.otel.verdict.concurrency import ONE_TOOL
from trading_graph.otel.verdict.evaluation import CheckResult, Outcome, Scope
from trading_graph.otel.verdict.gate import AnyCheck, Gate, LeafParallelism, Overlap
from trading_graph.otel.verdict.limit_use import LimitUse, limit_uses
from trading_graph.otel.verdict.measures import Measures, measures_of
from trading_graph.otel.verdict.relations import evaluate
from trading_graph.otel.verdict.resumed import Interruption, interruptions
from trading_graph.otel.verdict.run_view import run_view
from trading_graph.otel.vocabularies import Role


class Verdict(msgspec.Struct, frozen=True):
    """What a gate says about a trace; an incomplete trace has no checks.

    `trace` is what was judged: the run as `run_view` shows it. `span_count` is the number of
    recorded spans. `run` is the span that was judged, with everything below it. `missing` has a
    sentence for each thing that the trace lacks, and `exact` says that the run declared its span
    count and that it holds. `notes` are sentences about how its times were read. `nothing_to_judge`
    says why no check of concurrency applied, where the gate has such checks. `unrecognised` is set
    where the gate asks for structure and nothing in the trace has any: there is no verdict, and it
    says what to do.
    """

    trace: Trace
    run: Span | None
    missing: tuple[str, ...]
    exact: bool
    span_count: int
    checks: tuple[CheckResult, ...] = ()
    nothing_to_judge: str = ""
    unrecognised: str = ""
    interruptions: tuple[Interruption, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def judged(self) -> bool:
        """Whether there is a verdict at all."""
        return self.is_complete and not self.unrecognised

    @property
    def is_complete(self) -> bool:
        """Whether the trace lacks nothing."""
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

    @property
    def limits(self) -> Sequence[LimitUse]:
        """The use of each limit that the run declares; none without a verdict."""
        if not self.judged or self.run is None:
            return ()
        return limit_uses(table_of(self.trace), row_of(self.run))

    def __repr__(self) -> str:
        if not self.judged:
            missing = f"{len(self.missing)} things missing"
            why = "nothing recognised" if self.is_complete else missing
            return f"<Verdict on {self.trace.id}: not judged, {why}>"
        checks = f"{len(self.checks)} check{'' if len(self.checks) == 1 else 's'}"
        if self.passed:
            return f"<Verdict on {self.trace.id}: passed, {checks}>"
        ids = ", ".join(each.id for each in self.failures[:5])
        count = f"{len(self.failures)} of {checks}"
        return f"<Verdict on {self.trace.id}: failed, {count} ({ids})>"


UNRECOGNISED = (
    "Nothing here could be judged: no span has an attribute of a known vocabulary (GenAI, "
    "OpenInference, OpenLLMetry, LangSmith, Langfuse, Vercel AI, logfire, LangGraph, HTTP, RPC, "
    "databases, messaging, MCP), and no two spans are siblings, so nothing could run at once. "
    "Instrument the program's calls (docs/traces.md), or name your own spans in a gate with --gate."
)


def unrecognised(trace: SpanTable, run: int) -> str:
    """A sentence if nothing in a run is recognised, and what to do; empty otherwise."""
    rows = trace.below(run)
    if any(trace.roles[row] is not Role.OTHER for row in rows):
        return ""
    return "" if any(len(trace.child_rows[row]) > 1 for row in rows) else UNRECOGNISED


def _is_structural(check: AnyCheck) -> bool:
    return isinstance(check, LeafParallelism) and check.structure is not None


def _nothing_to_judge(gate: Gate, results: Sequence[CheckResult]) -> str:
    """Why no check of concurrency applied; empty where one did, or where there is none."""
    concurrency = [
        result
        for check, result in zip(gate.checks, results, strict=True)
        if isinstance(check, LeafParallelism | Overlap)
    ]
    if not concurrency or any(r.outcome is not Outcome.NOT_APPLICABLE for r in concurrency):
        return ""
    if any(result.notes for result in concurrency):
        return "what ran one after the other may have had to"
    turns_asked = concurrency[0].measured
    return turns_asked if turns_asked == ONE_TOOL else "no two calls that could run at once"


def seen_runs(seen: Sequence[SpanTable]) -> tuple[SeenRun, ...]:
    """The runs of other traces, without interruptions.

    An incomplete one counts as far as it goes: what overlaps in it did overlap.
    """
    runs = [(each, completeness(each).run) for each in seen]
    views = [run_view(each, at) for each, at in runs if at is not None]
    return tuple(SeenRun(view.trace, view.run) for view in views)


@pause_collection()
def judge(
    trace: SpanTable,
    gate: Gate,
    run_id: str | None = None,
    seen: Sequence[SpanTable] = (),
    dependencies: Dependencies | None = None,
) -> Verdict:
    """Judge a trace by a gate; `run_id` selects one of several runs.

    `seen` are more runs of the program: what overlapped in one of them does not need each other.
    `dependencies` are who waits for whom, as `probe` found out.
    """
    whole = completeness(trace, run_id)
    if not whole.complete or whole.run is None:
        run = None if whole.run is None else Span(trace, whole.run)
        return Verdict(Trace(trace), run, whole.missing, exact=False, span_count=len(trace))
    view = run_view(trace, whole.run)
    if whole.is_called:
        note = called_note(trace, whole.run)
        view = msgspec.structs.replace(view, notes=(note, *view.notes))
    if (sentence := unrecognised(view.trace, view.run)) and any(map(_is_structural, gate.checks)):
        return Verdict(
            trace=Trace(view.trace),
            run=Span(view.trace, view.run),
            missing=(),
            exact=whole.exact,
            span_count=len(trace),
            unrecognised=sentence,
            notes=view.notes,
        )
    shown = None if dependencies is None else ShownOrder(dependencies, view.trace, view.run)
    scope = Scope(view.trace, view.run, gate.sets, len(trace), seen_runs(seen), shown)
    results = tuple(evaluate(scope, check) for check in gate.checks)
    return Verdict(
        trace=Trace(view.trace),
        run=Span(view.trace, view.run),
        missing=(),
        exact=whole.exact,
        span_count=len(trace),
        checks=results,
        nothing_to_judge=_nothing_to_judge(gate, results),
        interruptions=interruptions(trace, whole.run),
        notes=view.notes,
    )
