"""What the API answers about traces: verdicts, comparisons and watches, one model a document."""

import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from trading_graph.service.server.documents import DiagnosisQuery, Identifier
from trading_graph.service.server.uploads import MOST_PARTS
from trading_graph.service.server.watches import Watch
from trading_graph.service.store import StoredVerdict

TraceIds = Annotated[list[Identifier], Field(min_length=1, max_length=MOST_PARTS)]


class VerdictDocument(BaseModel):
    """What `verify --format json` prints; docs/verdict.md describes it."""

    model_config = ConfigDict(extra="allow")

    schema_version: int
    trace_id: str
    complete: bool
    missing: list[str]
    passed: bool | None
    spans: int
    checks: list[dict[str, Any]]
    measures: dict[str, Any] | None


class ComparisonDocument(BaseModel):
    """What `compare --format json` prints; docs/compare.md describes it."""

    model_config = ConfigDict(extra="allow")

    schema_version: int
    missing: list[str]
    passed: bool | None


class ComparisonRequest(BaseModel):
    """The ids of the traces or runs to compare: one on each side, or two or more."""

    model_config = ConfigDict(extra="forbid")

    base: TraceIds
    new: TraceIds


class ComparisonQuery(BaseModel):
    """How much longer the new runs may take, in per cent."""

    model_config = ConfigDict(extra="forbid")

    tolerance: Annotated[float | None, Field(ge=0, le=1_000)] = None


class UploadQuery(BaseModel):
    """Which trace or run of the upload, where it holds several."""

    model_config = ConfigDict(extra="forbid")

    id: Identifier | None = None


class UploadedDiagnosisQuery(DiagnosisQuery):
    """How a diagnosis of an upload is written, and of which trace or run in it."""

    id: Identifier | None = None


class VerdictsQuery(BaseModel):
    """Which verdicts to list."""

    model_config = ConfigDict(extra="forbid")

    service: Annotated[str | None, Field(min_length=1, max_length=200)] = None
    before: Identifier | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50


class VerdictLinks(BaseModel):
    """Where to go from a verdict."""

    verdict: str
    diagnosis: str
    jaeger: str


class VerdictSummary(BaseModel):
    """A verdict that is kept; `id` is the run's for a run of this service, else the trace's."""

    id: Identifier
    trace_id: Identifier
    service: str
    name: str
    started: datetime.datetime
    seconds: float | None
    passed: Annotated[bool | None, Field(description="Null where the trace could not be judged.")]
    judged: datetime.datetime
    links: VerdictLinks


class VerdictList(BaseModel):
    """A page of verdicts, the newest trace first; `next` is the `before` of the next page."""

    verdicts: list[VerdictSummary]
    next: Identifier | None


class WatchDocument(BaseModel):
    """A service of Jaeger's whose traces are judged; `problem` is what is in the way now."""

    service: str
    since: datetime.datetime
    by_setting: Annotated[bool, Field(description="Asked for by TRADING_GRAPH_SERVE_WATCH.")]
    problem: str | None


class WatchList(BaseModel):
    """The watches, by name of the service."""

    watches: list[WatchDocument]


def verdict_summary(kept: StoredVerdict, jaeger: str) -> VerdictSummary:
    """A kept verdict as the API tells it."""
    here = f"/v1/traces/{kept.id}"
    return VerdictSummary(
        id=kept.id,
        trace_id=kept.trace_id,
        service=kept.service,
        name=kept.name,
        started=_when(kept.started),
        seconds=kept.seconds,
        passed=kept.passed,
        judged=_when(kept.judged),
        links=VerdictLinks(
            verdict=f"{here}/verdict",
            diagnosis=f"{here}/diagnosis",
            jaeger=f"{jaeger}/trace/{kept.trace_id}",
        ),
    )


def watch_document(watch: Watch) -> WatchDocument:
    """A watch as the API tells it."""
    return WatchDocument(
        service=watch.kept.service,
        since=_when(watch.kept.since),
        by_setting=watch.kept.setting,
        problem=watch.patience.problem,
    )


def _when(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)
