"""What the evaluation of a check works on, and what it gives."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from itertools import pairwise

import msgspec

from trading_graph.otel.trace import Evidence, Span, SpanTable, spans_at
from trading_graph.otel.trace.blocks import LoopBlock
from trading_graph.otel.trace.dependencies import Relation, ShownOrder
from trading_graph.otel.trace.structure import SeenRun, are_independent
from trading_graph.otel.verdict import gate as g
from trading_graph.otel.verdict.causes import Cause
from trading_graph.otel.verdict.gate import SpanSet
from trading_graph.otel.verdict.parallelism import Parallelism, Strength
from trading_graph.otel.verdict.parallelism import reason as cause_in_words


class Scope:
    """The spans of a run in order of start; the selection of each named set is cached.

    `span_count` is the number of recorded spans, where the trace is a view with fewer. `seen` are
    more runs of the program, and `shown` is what interventions showed of its order.
    """

    def __init__(
        self,
        trace: SpanTable,
        run: int,
        sets: Mapping[str, SpanSet],
        span_count: int | None = None,
        seen: Sequence[SeenRun] = (),
        shown: ShownOrder | None = None,
    ) -> None:
        self.trace = trace
        self.run = run
        self.span_count = len(trace) if span_count is None else span_count
        self.seen = seen
        self.shown = shown
        self._sets = sets
        self._selections: dict[str, list[int]] = {}

    def select(self, spans: str | SpanSet) -> list[int]:
        """The rows of a set in order of start; `spans` is the set or its name."""
        if isinstance(spans, SpanSet):
            return spans.select(self.trace, self.run)
        if spans not in self._selections:
            self._selections[spans] = self._sets[spans].select(self.trace, self.run)
        return self._selections[spans]


SHOWN = 5
"""The most names or notes that a check shows."""


class Outcome(StrEnum):
    """The outcome of a check."""

    PASS = "pass"
    FAIL = "fail"
    NOT_APPLICABLE = "not applicable"


class Projection(msgspec.Struct, frozen=True):
    """What a run with simulated latencies takes with `call_s` an LLM call; in seconds."""

    call_s: float
    run_s: float


class CheckResult(msgspec.Struct, frozen=True):
    """What was measured against which limit, how strong the proof is, and which spans show it.

    `reason` says in words what the strength rests on or lacks. `causes` are set where the check is
    about parallel spans; there are several where the trace does not tell them apart. `blocks` are
    the recorded blocks of event loops that it speaks of, the longest first. `evidence` is what the
    statement rests on. `spans` show a failure, and `advice` says what to do about it.
    `notes` are sentences about spans that the check did not judge. `projection` is set where a time
    is compared as projected.
    """

    id: str
    title: str
    outcome: Outcome
    measured: str
    limit: str = ""
    strength: Strength | None = None
    reason: str = ""
    causes: tuple[Cause, ...] = ()
    spans: Sequence[Span] = ()
    advice: str = ""
    evidence: Evidence | None = None
    notes: tuple[str, ...] = ()
    projection: Projection | None = None
    blocks: tuple[LoopBlock, ...] = ()

    @property
    def grade(self) -> str:
        """Strength and reason in one text; empty where there is neither."""
        return ": ".join(each for each in (self.strength, self.reason) if each)

    def __repr__(self) -> str:
        return f"<CheckResult {self.id!r} {self.outcome}: {self.measured}>"


class Evaluation(msgspec.Struct, frozen=True):
    """A check under evaluation, with the rows of its set."""

    scope: Scope
    check: g.AnyCheck
    rows: list[int]

    @property
    def trace(self) -> SpanTable:
        """The trace."""
        return self.scope.trace

    @property
    def run(self) -> int:
        """The row of the run's span."""
        return self.scope.run

    def apart(self, rows: Sequence[int]) -> Evidence | None:
        """What shows that these spans do not need each other: another run, or an intervention."""
        scope = self.scope
        if scope.seen and are_independent(scope.seen, SeenRun(self.trace, self.run), rows):
            return Evidence.SEEN
        if scope.shown and len(rows) > 1:
            relations = {scope.shown.relation(*pair) for pair in pairwise(rows)}
            if relations == {Relation.FREE}:
                return Evidence.SHOWN
        return None

    def select(self, spans: str | g.SpanSet) -> list[int]:
        """The rows of another set that the check names."""
        return self.scope.select(spans)

    def result(
        self,
        holds: bool,
        measurement: str,
        limit: str,
        judgement: Parallelism | None = None,
        reason: str = "",
        spans: Sequence[int] = (),
        advice: str = "",
        evidence: Evidence | None = Evidence.RECORDED,
        notes: Sequence[str] = (),
        blocks: Sequence[LoopBlock] = (),
    ) -> CheckResult:
        """The result of the check; spans and advice are given for failures only.

        A check that holds is proven, unless a judgement or a reason says otherwise.
        """
        proven = Strength.PROVEN if holds and not reason else None
        return CheckResult(
            id=self.check.id,
            title=self.check.title,
            outcome=Outcome.PASS if holds else Outcome.FAIL,
            measured=measurement,
            limit=limit,
            strength=judgement.strength if judgement else proven,
            reason=cause_in_words(judgement) if judgement else reason,
            causes=judgement.causes if judgement else (),
            spans=() if holds else spans_at(self.trace, spans),
            advice="" if holds else advice,
            evidence=evidence,
            notes=tuple(notes),
            blocks=tuple(judgement.blocks if judgement else blocks),
        )


def not_applicable(
    check: g.AnyCheck,
    reason: str,
    judgement: Parallelism | None = None,
    notes: Sequence[str] = (),
) -> CheckResult:
    """The result of a check that does not apply, and why."""
    return CheckResult(
        check.id,
        check.title,
        Outcome.NOT_APPLICABLE,
        reason,
        strength=Strength.NOT_APPLICABLE,
        causes=judgement.causes if judgement else (),
        notes=tuple(notes),
    )


def seconds(nanoseconds: float) -> str:
    """A duration in seconds, as checks write it."""
    return f"{nanoseconds / 1e9:.3f} s"
