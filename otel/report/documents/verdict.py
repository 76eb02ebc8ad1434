"""A verdict as a JSON document; docs/verdict.md says what the fields mean."""

from collections.abc import Mapping
from typing import Literal

from trading_graph.otel.report.documents.document import (
    SCHEMA_VERSION,
    BlockJson,
    Document,
    SpanJson,
    blocks_json,
    spans_json,
)
from trading_graph.otel.trace import Evidence, Profile
from trading_graph.otel.verdict import (
    AgentUse,
    Cause,
    CheckResult,
    FanOut,
    Interruption,
    Measures,
    Outcome,
    Verdict,
)


class InterruptionJson(Document, frozen=True, kw_only=True):
    """A death of a resumed run's process, or a failure of the run: then `failure` is its error."""

    at_unix_s: float
    after_s: float
    dead_s: float
    killed_spans: int
    failure: str = ""


class ProjectionJson(Document, frozen=True, kw_only=True):
    """What a run with simulated latencies takes with `call_s` an LLM call; in seconds."""

    call_s: float
    run_s: float


class CheckJson(Document, frozen=True, kw_only=True):
    """A check of the gate: its outcome, its figures, and the spans that show a failure.

    `causes`, `evidence`, `notes` and `blocks` are always printed; earlier stored documents lack
    them. Of several causes the trace does not tell which one holds.
    """

    id: str
    title: str
    outcome: Outcome
    measured: str
    limit: str
    strength: str
    causes: tuple[Cause, ...] = ()
    evidence: Evidence | None = None
    notes: tuple[str, ...] = ()
    projection: ProjectionJson | None = None
    blocks: tuple[BlockJson, ...] = ()
    advice: str
    spans: list[SpanJson]


class ProfileJson(Document, frozen=True, kw_only=True):
    """How many of a set of spans ran at once."""

    spans: int
    average: float
    peak: int
    serial_fraction: float
    busy_s: float


class FanOutJson(Document, frozen=True, kw_only=True):
    """Branches that were started together."""

    name: str
    branches: int
    strength: str
    causes: tuple[Cause, ...] = ()
    evidence: Evidence | None = None
    spans: ProfileJson
    work: ProfileJson
    spans_overlap: float | None
    work_overlap: float | None
    least_pairwise_overlap: float | None
    last_start_s: float | None
    spread_s: float


class AgentJson(Document, frozen=True, kw_only=True):
    """What one agent or node took; the name is null for LLM calls outside of every agent.

    `own_s` is the part of `wall_s` outside of the agents and nodes below it.
    """

    name: str | None
    visits: int
    wall_s: float
    own_s: float
    llm_calls: int
    llm_s: float
    input_tokens: int | None
    output_tokens: int | None


class LimitJson(Document, frozen=True, kw_only=True):
    """How far a declared limit was used, and who waited for it.

    `window_s` is 0 for a limit on what is under way at once. `full_share` and `waiting_share` are
    shares of the run: all of it was in use, and somebody waited for it. `over_time` has the average
    use of each twentieth of the run.
    """

    name: str
    capacity: float
    window_s: float
    unit: str
    amount: float
    average: float
    peak: float
    full_share: float
    waiting_share: float
    used_while_waiting: float | None
    ramp_s: float | None
    tail_s: float | None
    over_time: tuple[float, ...]
    grants: int
    waited: int
    wait_s: float
    mean_wait_s: float
    longest_wait_s: float


class StragglerJson(Document, frozen=True, kw_only=True):
    """A span that took much longer than others under one limit, without its waits for limits."""

    span: SpanJson
    item: str
    own_s: float
    usual_s: float
    in_tail: bool


class LinkedJson(Document, frozen=True, kw_only=True):
    """The sums that spans declare of the traces to which they link."""

    spans: int
    llm_calls: int
    input_tokens: int
    output_tokens: int
    cost_usd: float | None
    without_cost: int


class MeasuresJson(Document, frozen=True, kw_only=True):
    """What a run shows in numbers; null stands for what the trace does not record.

    `agents`, the figures of LLM calls, `limits`, `stragglers` and `linked` are always printed;
    earlier stored documents lack them.
    """

    wall_s: float
    work: ProfileJson
    fan_outs: list[FanOutJson]
    llm_calls: int
    llm_chain: int
    llm_s: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    agents: tuple[AgentJson, ...] = ()
    barrier_idle_s: float
    loop_lag_ms: float | None
    queue_wait_s: float
    cache: Mapping[str, int]
    errors: int
    cancellations: int
    retries: int
    limits: tuple[LimitJson, ...] = ()
    stragglers: tuple[StragglerJson, ...] = ()
    linked: LinkedJson | None = None


class VerdictJson(Document, frozen=True, kw_only=True):
    """What `trading-graph verify --format json` prints; times are seconds.

    `interruptions` and `notes` are always printed; stored documents of earlier versions lack them.
    """

    schema_version: Literal[1]
    trace_id: str
    complete: bool
    missing: list[str]
    passed: bool | None
    spans: int
    nothing_to_judge: str = ""
    unrecognised: str = ""
    interruptions: tuple[InterruptionJson, ...] = ()
    notes: tuple[str, ...] = ()
    checks: list[CheckJson]
    measures: MeasuresJson | None


def verdict_document(verdict: Verdict) -> VerdictJson:
    """The document of a verdict; an incomplete trace has no checks and no measures."""
    measures = verdict.measures
    return VerdictJson(
        schema_version=SCHEMA_VERSION,
        trace_id=verdict.trace.id,
        complete=verdict.is_complete,
        missing=list(verdict.missing),
        nothing_to_judge=verdict.nothing_to_judge,
        unrecognised=verdict.unrecognised,
        passed=verdict.passed if verdict.judged else None,
        spans=verdict.span_count,
        interruptions=tuple(_interruption(each) for each in verdict.interruptions),
        notes=verdict.notes,
        checks=[_check(each) for each in verdict.checks],
        measures=None if measures is None else _measures(measures),
    )


def unjudged_document(trace_id: str, span_count: int, reason: str) -> VerdictJson:
    """The document of a trace that cannot be judged, for a reason that its spans do not show."""
    return VerdictJson(
        schema_version=SCHEMA_VERSION,
        trace_id=trace_id,
        complete=False,
        missing=[reason],
        passed=None,
        spans=span_count,
        checks=[],
        measures=None,
    )


def _interruption(interruption: Interruption) -> InterruptionJson:
    return InterruptionJson.of(
        interruption,
        at_unix_s=interruption.at_ns / 1e9,
        after_s=interruption.after_ns / 1e9,
        dead_s=interruption.dead_ns / 1e9,
    )


def _check(result: CheckResult) -> CheckJson:
    projection = result.projection
    return CheckJson.of(
        result,
        strength=result.grade,
        projection=None if projection is None else ProjectionJson.of(projection),
        blocks=blocks_json(result.blocks),
        spans=spans_json(result.spans),
    )


def _measures(measures: Measures) -> MeasuresJson:
    llm = measures.use.llm
    return MeasuresJson.of(
        measures,
        work=_profile(measures.work),
        fan_outs=[_fan_out(each) for each in measures.fan_outs],
        llm_s=llm.time_s,
        input_tokens=llm.input_tokens,
        output_tokens=llm.output_tokens,
        agents=tuple(_agent(each) for each in measures.use.agents),
        limits=tuple(LimitJson.of(each) for each in measures.limits),
        stragglers=tuple(
            StragglerJson.of(each, span=spans_json([each.span])[0]) for each in measures.stragglers
        ),
        linked=None if measures.linked is None else LinkedJson.of(measures.linked),
    )


def _agent(agent: AgentUse) -> AgentJson:
    return AgentJson.of(
        agent,
        llm_calls=agent.llm.calls,
        llm_s=agent.llm.time_s,
        input_tokens=agent.llm.input_tokens,
        output_tokens=agent.llm.output_tokens,
    )


def _fan_out(fan_out: FanOut) -> FanOutJson:
    return FanOutJson.of(
        fan_out,
        branches=len(fan_out.branches),
        strength=": ".join(each for each in (fan_out.strength, fan_out.reason) if each),
        spans=_profile(fan_out.wrappers),
        work=_profile(fan_out.work),
        spans_overlap=fan_out.wrappers_overlap,
    )


def _profile(profile: Profile) -> ProfileJson:
    return ProfileJson.of(profile, busy_s=profile.busy_ns / 1e9)
