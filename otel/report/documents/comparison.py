"""A comparison as a JSON document; docs/compare.md says what the fields mean."""

from collections.abc import Sequence
from typing import Annotated, Literal

from msgspec import Meta

from trading_graph.otel.diagnosis import (
    Change,
    Comparison,
    ImprovementKind,
    Moved,
    PathChange,
    PathSide,
    Regression,
    RegressionKind,
    Run,
)
from trading_graph.otel.report.documents.document import (
    SCHEMA_VERSION,
    Document,
    SpanJson,
    spans_json,
)

LISTED = 1000
"""The most places and call paths in a document; those that moved most come first."""

_SPANS = 50


_Pair = Annotated[list[float], Meta(min_length=2, max_length=2)]


class ComparedRunJson(Document, frozen=True, kw_only=True):
    """A run of one side."""

    trace_id: str
    wall_s: float


class ChangeJson(Document, frozen=True, kw_only=True):
    """How the duration changed; medians for sets of runs."""

    base_s: float
    new_s: float
    difference_s: float
    interval_s: _Pair
    tolerance_s: float
    regressed: bool


class RegressionJson(Document, frozen=True, kw_only=True):
    """What got worse, and the first spans that show it."""

    kind: RegressionKind
    place: str
    evidence: str
    span_count: int
    spans: list[SpanJson]


class ImprovementJson(Document, frozen=True, kw_only=True):
    """What the new runs have and the baseline did not have."""

    kind: ImprovementKind
    place: str


class MovedJson(Document, frozen=True, kw_only=True):
    """The time of the critical path at one place, before and now."""

    place: str
    base_s: float
    new_s: float
    difference_s: float


class PathSideJson(Document, frozen=True, kw_only=True):
    """A call path on one side; null where no run has it, or where nothing could overlap."""

    count: float
    median_s: float | None
    on_path_s: float
    overlap: float | None
    duplicates: int
    errors: int


class PathChangeJson(Document, frozen=True, kw_only=True):
    """A call path on both sides."""

    path: str
    base: PathSideJson
    new: PathSideJson


class UseSideJson(Document, frozen=True, kw_only=True):
    """LLM calls and tokens on one side; null where none are recorded."""

    llm_calls: float
    input_tokens: float | None
    output_tokens: float | None


class UseChangeJson(Document, frozen=True, kw_only=True):
    """LLM calls and tokens on both sides."""

    base: UseSideJson
    new: UseSideJson


class AgentChangeJson(Document, frozen=True, kw_only=True):
    """The LLM calls and tokens of an agent or node; the name is null for those outside of both."""

    name: str | None
    base: UseSideJson
    new: UseSideJson


class NoComparisonJson(Document, frozen=True, kw_only=True):
    """What `trading-graph compare --format json` prints where the runs cannot be compared."""

    schema_version: Literal[1]
    missing: list[str]
    passed: None


class ComparisonJson(Document, frozen=True, kw_only=True):
    """What `trading-graph compare --format json` prints; times are seconds."""

    schema_version: Literal[1]
    missing: list[str]
    passed: bool
    base: list[ComparedRunJson]
    new: list[ComparedRunJson]
    change: ChangeJson
    regressions: list[RegressionJson]
    improvements: list[ImprovementJson]
    notes: list[str]
    moved: list[MovedJson]
    moved_left_out_s: float
    paths: list[PathChangeJson]
    paths_left_out: int
    use: UseChangeJson
    agents: list[AgentChangeJson]


def comparison_document(
    result: Comparison | Sequence[str],
) -> ComparisonJson | NoComparisonJson:
    """The document of a comparison, or of the sentences that say why there is none."""
    if not isinstance(result, Comparison):
        return NoComparisonJson(schema_version=SCHEMA_VERSION, missing=list(result), passed=None)
    return ComparisonJson(
        schema_version=SCHEMA_VERSION,
        missing=[],
        passed=result.passed,
        base=_runs(result.base),
        new=_runs(result.new),
        change=_change(result.change),
        regressions=[_regression(each) for each in result.regressions],
        improvements=[ImprovementJson.of(each) for each in result.improvements],
        notes=list(result.notes),
        moved=[_moved(each) for each in result.moved[:LISTED]],
        moved_left_out_s=sum(each.delta_ns for each in result.moved[LISTED:]) / 1e9,
        paths=[_path(each) for each in result.paths[:LISTED]],
        paths_left_out=max(len(result.paths) - LISTED, 0),
        use=UseChangeJson(base=UseSideJson.of(result.use.base), new=UseSideJson.of(result.use.new)),
        agents=[
            AgentChangeJson(
                name=each.name, base=UseSideJson.of(each.base), new=UseSideJson.of(each.new)
            )
            for each in result.agents[:LISTED]
        ],
    )


def _runs(runs: Sequence[Run]) -> list[ComparedRunJson]:
    return [ComparedRunJson(trace_id=run.trace.id, wall_s=run.span.duration_s) for run in runs]


def _change(change: Change) -> ChangeJson:
    return ChangeJson(
        base_s=change.base_ns / 1e9,
        new_s=change.new_ns / 1e9,
        difference_s=change.delta_ns / 1e9,
        interval_s=[change.low_ns / 1e9, change.high_ns / 1e9],
        tolerance_s=change.tolerance_ns / 1e9,
        regressed=change.regressed,
    )


def _regression(regression: Regression) -> RegressionJson:
    shown = spans_json(regression.spans[:_SPANS])
    return RegressionJson.of(regression, span_count=len(regression.spans), spans=shown)


def _moved(moved: Moved) -> MovedJson:
    return MovedJson(
        place=moved.place,
        base_s=moved.base_ns / 1e9,
        new_s=moved.new_ns / 1e9,
        difference_s=moved.delta_ns / 1e9,
    )


def _path(change: PathChange) -> PathChangeJson:
    return PathChangeJson(path=change.path, base=_side(change.base), new=_side(change.new))


def _side(side: PathSide) -> PathSideJson:
    median_s = None if side.duration_ns is None else side.duration_ns / 1e9
    return PathSideJson.of(side, median_s=median_s, on_path_s=side.on_path_ns / 1e9)
