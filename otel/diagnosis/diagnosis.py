"""The diagnosis of a trace: where its time went, what each fix would gain, and its target."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from trading_graph.otel.diagnosis.call_tree import DOUBT, LATE_SHARE, call_tree
from trading_graph.otel.diagnosis.critical_path import PathClass, by_class
from trading_graph.otel.diagnosis.findings import FindingKind
from trading_graph.otel.diagnosis.ranking import (
    Prediction,
    RankedCandidate,
    Ranking,
    rank,
    replay,
)
from trading_graph.otel.diagnosis.schedule import Schedule, slack_ns
from trading_graph.otel.diagnosis.target import LlmChain, Target, TargetFigures, target_figures
from trading_graph.otel.gc_pause import pause_collection
from trading_graph.otel.trace import (
    Evidence,
    Span,
    Spans,
    SpanTable,
    Trace,
    row_of,
    spans_at,
    table_of,
)
from trading_graph.otel.trace.blocks import LoopBlock
from trading_graph.otel.trace.dependencies import Dependencies
from trading_graph.otel.verdict import (
    Cause,
    Verdict,
    judge,
    seen_runs,
    with_target,
)
from trading_graph.otel.verdict.dialect import dialect
from trading_graph.otel.verdict.gate import Duration, Gate


class Interval(msgspec.Struct, frozen=True):
    """A predicted time in seconds: between low and high, likely in between."""

    low_s: float
    likely_s: float
    high_s: float


class Finding(msgspec.Struct, frozen=True):
    """A reason why a run is slow, what to do about it, and what that fix alone gains.

    `evidence` is a sentence with the measured values, and `spans` are the spans that show it.
    `proven` says that the trace itself shows that the change is possible; otherwise the fix may
    gain nothing, and `only_if` says what it requires. `on_path_s` is the time of these spans on the
    critical path, and `wall` the predicted duration of the run. `here` names the place in the
    program's own code to change, where it is known. `advice` and `code`, which is empty where code
    does not help, speak the language of the program. `blocks` are the recorded blocks of event
    loops that it speaks of, the longest first. `limit` is the declared limit that it raises.
    """

    kind: FindingKind
    place: str
    evidence: str
    proven: bool
    only_if: str
    on_path_s: float
    gain: Interval
    wall: Interval
    spans: Spans
    causes: tuple[Cause, ...] = ()
    here: str = ""
    advice: str = ""
    code: str = ""
    blocks: tuple[LoopBlock, ...] = ()
    limit: str = ""

    def __repr__(self) -> str:
        gain = f"{self.gain.low_s:.3f} to {self.gain.high_s:.3f} s"
        return f"<Finding {self.kind} in {self.place[:60]!r}, gains {gain}>"


class Step(msgspec.Struct, frozen=True):
    """A finding fixed on top of those before it, and the duration of the run afterwards.

    `target_s` is the time to compare with the target: projected, where latencies were simulated.
    """

    kind: FindingKind
    place: str
    wall: Interval
    target_s: float


class WhatIf(msgspec.Struct, frozen=True):
    """The duration of a run with some findings fixed together, and what that gains.

    `target_s` is the time to compare with the target: projected, where latencies were simulated.
    `start_ns` and `end_ns` are those of every span, by row and on the run's own clock.
    """

    wall: Interval
    gain: Interval
    target_s: float
    start_ns: Sequence[int]
    end_ns: Sequence[int]


class Segment(msgspec.Struct, frozen=True):
    """A stretch of the critical path, in nanoseconds since the epoch, and its span.

    `evidence` says how it is known that the run waited for the span here: it is INFERRED where its
    place among siblings rests on times alone.
    """

    span: Span
    start_ns: int
    end_ns: int
    evidence: Evidence


@dataclass(frozen=True, repr=False)
class Diagnosis:
    """Where a run's time went and what each fix would gain, with the verdict of a gate.

    `findings` are sorted by gain, the greatest first. `steps` fix them one on top of the other, so
    that gains are never added. `by_class` and `by_name` divide the critical path, in seconds, the
    greatest first; they sum to `wall_s`, the duration of the run. `title` says what was run, and
    `commands` are shell lines that watch further runs, where the program that made it knows some.
    `notes` are sentences about how times were read.
    """

    trace: Trace
    run: Span
    wall_s: float
    target: Target
    by_class: Mapping[PathClass, float]
    by_name: Mapping[str, float]
    findings: tuple[Finding, ...]
    steps: tuple[Step, ...]
    verdict: Verdict
    title: str
    commands: tuple[str, ...]
    notes: tuple[str, ...]
    _ranking: Ranking = field(compare=False)
    _figures: TargetFigures = field(compare=False)

    @property
    def critical_path(self) -> tuple[Segment, ...]:
        """The span that the run was waiting for at each instant: an exact partition of its time."""
        table = table_of(self.trace)
        schedule = self._ranking.schedule
        return tuple(
            Segment(Span(table, row), start, end, schedule.evidence(row))
            for row, start, end in schedule.path.segments
        )

    @property
    def inferred_s(self) -> float:
        """How much of the critical path is in spans whose place on it rests on times alone."""
        schedule = self._ranking.schedule
        inferred = [
            time_ns
            for row, time_ns in schedule.path.self_ns.items()
            if not schedule.evidence(row).proves
        ]
        return sum(inferred) / 1e9

    @property
    def slack_s(self) -> Mapping[Span, float]:
        """How much later each span could have ended without delaying the run's end, in seconds.

        0.0 on the critical path; spans that nobody waited for are left out.
        """
        table = table_of(self.trace)
        slack = slack_ns(self._ranking.schedule)
        return {Span(table, row): room / 1e9 for row, room in slack.items()}

    @property
    def llm_chain(self) -> LlmChain:
        """The serial LLM calls of the run with all fixes, in the target's terms."""
        return self._figures.llm_chain

    def __repr__(self) -> str:
        return (
            f"<Diagnosis of {self.trace.id}: {self.wall_s:.3f} s, {self.target.standing}, "
            f"{len(self.findings)} findings>"
        )


def ranking_of(diagnosis: Diagnosis) -> Ranking:
    """The ranking behind a diagnosis, for code that draws or exports its simulation."""
    return diagnosis._ranking


def predicted_times(diagnosis: Diagnosis) -> tuple[list[int], list[int]]:
    """Start and end of every span by row, with all fixes, on the run's own clock."""
    return diagnosis._figures.predicted


@pause_collection()
def what_if(diagnosis: Diagnosis, positions: Sequence[int]) -> WhatIf:
    """Play the run again with the findings at these positions fixed together.

    Raises IndexError for a position at which there is no finding.
    """
    ranking, figures = diagnosis._ranking, diagnosis._figures
    ranks = [ranking.candidates[each] for each in dict.fromkeys(positions)]
    played = replay(ranking.schedule, [each.candidate for each in ranks])
    wall = ranks[0].wall if len(ranks) == 1 else played.wall
    start_ns, end_ns = played.likely.times()
    return WhatIf(
        wall=_interval(wall),
        gain=_gain(ranking.wall_ns, wall),
        target_s=figures.project(wall.likely_ns, played.likely) / 1e9,
        start_ns=start_ns,
        end_ns=end_ns,
    )


@pause_collection()
def diagnose(
    trace: SpanTable,
    gate: Gate,
    limit_s: float | None = None,
    run_id: str | None = None,
    seen: Sequence[SpanTable] = (),
    dependencies: Dependencies | None = None,
) -> Diagnosis | Verdict:
    """Judge and diagnose a trace; returns only the verdict if the trace is not complete.

    `limit_s` is the time that the run may take, in place of that of the gate. `seen` are
    more runs of the program. An incomplete one still counts as far as it goes: what overlaps in it
    did overlap. `dependencies` are who waits for whom, as `probe` found out.
    """
    gate = with_target(gate, limit_s)
    budget = next((check for check in gate.checks if isinstance(check, Duration)), None)
    verdict = judge(trace, gate, run_id, seen, dependencies)
    if not verdict.is_complete or verdict.run is None:
        return verdict
    ranking = rank(table_of(verdict.trace), row_of(verdict.run), seen_runs(seen), dependencies)
    limit = None if budget is None else budget.limit_s
    call_s = None if budget is None else budget.project_call_s
    return _document(ranking, target_figures(ranking, limit, call_s), verdict)


def _document(ranking: Ranking, figures: TargetFigures, verdict: Verdict) -> Diagnosis:
    table = ranking.trace
    classes = sorted(by_class(ranking.schedule).items(), key=lambda item: -item[1])
    return Diagnosis(
        trace=verdict.trace,
        run=Span(table, ranking.run),
        wall_s=ranking.wall_ns / 1e9,
        target=figures.document(),
        by_class={each: time_ns / 1e9 for each, time_ns in classes if time_ns},
        by_name={name: time_ns / 1e9 for name, time_ns in ranking.path.by_name.items()},
        findings=tuple(_finding(ranking, each) for each in ranking.candidates),
        steps=tuple(
            Step(each.candidate.kind, each.candidate.place, _interval(each.wall), after / 1e9)
            for each, after in zip(ranking.steps, figures.after_ns, strict=True)
        ),
        verdict=verdict,
        title=verdict.run.name if verdict.run else "",
        commands=(),
        notes=(*verdict.notes, *_doubts(ranking)),
        _ranking=ranking,
        _figures=figures,
    )


def _doubts(ranking: Ranking) -> Iterator[str]:
    """What the path would be if spans that may be late or detached were read the other way."""
    tree = ranking.schedule.tree
    if not tree.doubtful:
        return
    late, detached = (
        Schedule(call_tree(tree.trace, tree.run, LATE_SHARE + by)).path.total_ns
        for by in (-DOUBT, DOUBT)
    )
    for row in tree.doubtful:
        if late.get(row, 0) == detached.get(row, 0):
            continue
        trace = tree.trace
        yield (
            f"About half of {trace.names[row]!r} lies inside its parent "
            f"{trace.names[int(trace.parent[row])]!r}. If the parent waited for it, "
            f"{late.get(row, 0) / 1e9:.3f} s of the critical path are in it; if it was detached, "
            f"{detached.get(row, 0) / 1e9:.3f} s."
        )


def _finding(ranking: Ranking, rank: RankedCandidate) -> Finding:
    candidate, wall = rank.candidate, rank.wall
    spoken = dialect(ranking.trace, candidate.rows[0] if candidate.rows else ranking.run)
    return Finding(
        kind=candidate.kind,
        place=candidate.place,
        evidence=candidate.evidence,
        proven=candidate.proven,
        only_if=candidate.only_if,
        on_path_s=rank.on_path_ns / 1e9,
        gain=_gain(ranking.wall_ns, wall),
        wall=_interval(wall),
        spans=spans_at(ranking.trace, candidate.rows),
        causes=candidate.causes,
        advice=candidate.kind.advice_in(spoken),
        code=candidate.kind.code_in(spoken),
        blocks=candidate.blocks,
        limit=candidate.limit,
    )


def _interval(wall: Prediction) -> Interval:
    return Interval(wall.low_ns / 1e9, wall.likely_ns / 1e9, wall.high_ns / 1e9)


def _gain(wall_ns: int, wall: Prediction) -> Interval:
    return Interval(
        max(wall_ns - wall.high_ns, 0) / 1e9,
        (wall_ns - wall.likely_ns) / 1e9,
        max(wall_ns - wall.low_ns, 0) / 1e9,
    )
