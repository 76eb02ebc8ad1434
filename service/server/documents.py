"""The documents of the API, one pydantic model each, and how they are made from the store."""

import datetime
import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from trading_graph.graph.gate import time_limit_s
from trading_graph.service.server.inputs import MOST_PARTS
from trading_graph.service.server.operations import ID
from trading_graph.service.store import RunState, StoredRun, StoredVerdict

Identifier = Annotated[str, Field(pattern=f"^{ID}$")]


class Links(BaseModel):
    """Addresses of what a run has; those on other hosts only where they lead somewhere."""

    self: str
    page: str
    events: str
    decision: str
    report: str
    trace: str
    verdict: str
    diagnosis: str
    jaeger: str
    langsmith: str | None


class RunDocument(BaseModel):
    """One run: its request, its state and its outcome."""

    id: Identifier
    trace_id: Identifier
    state: RunState
    symbol: str
    date: str
    request: dict[str, Any]
    created: datetime.datetime
    started: datetime.datetime | None
    ended: datetime.datetime | None
    seconds: float | None
    resumed: int
    action: str | None
    confidence: float | None
    degraded: bool
    passed: Annotated[bool | None, Field(description="What its verdict says; null without one.")]
    error: str | None
    links: Links


class RunList(BaseModel):
    """A page of runs, newest first; `next` is the `before` of the next page."""

    runs: list[RunDocument]
    next: Identifier | None


class RunsQuery(BaseModel):
    """Which runs to list."""

    model_config = ConfigDict(extra="forbid")

    state: RunState | None = None
    symbol: Annotated[str | None, Field(min_length=1, max_length=64)] = None
    before: Identifier | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50


class EventsQuery(BaseModel):
    """The number after which events are sent."""

    model_config = ConfigDict(extra="forbid")

    after: Annotated[int, Field(ge=0, le=2**53)] = 0


class DiagnosisQuery(BaseModel):
    """How a diagnosis is written, and what the run may take, in seconds."""

    model_config = ConfigDict(extra="forbid")

    format: Literal["json", "html", "markdown", "text"] = "json"
    target: Annotated[float, Field(gt=0, le=86_400)] = time_limit_s()


class Health(BaseModel):
    """Whether the service lives."""

    status: Literal["ok"]


class Readiness(BaseModel):
    """Whether the service takes runs, and how many it has.

    For the first seconds, until `begun`, all of them wait.
    """

    status: Literal["ready"]
    begun: bool
    running: int
    waiting: int


def run_document(run: StoredRun, jaeger: str) -> RunDocument:
    """The document of a run."""
    here = f"/v1/runs/{run.id}"
    return RunDocument(
        id=run.id,
        trace_id=run.trace_id,
        state=run.state,
        symbol=run.symbol,
        date=run.date,
        request=json.loads(run.request),
        created=utc(run.created),
        started=None if run.started is None else utc(run.started),
        ended=None if run.ended is None else utc(run.ended),
        seconds=run.seconds,
        resumed=run.resumed,
        action=run.action,
        confidence=run.confidence,
        degraded=run.degraded,
        passed=run.passed,
        error=run.error,
        links=Links(
            self=here,
            page=f"/runs/{run.id}",
            events=f"{here}/events",
            decision=f"{here}/decision",
            report=f"{here}/report",
            trace=f"{here}/trace",
            verdict=f"{here}/verdict",
            diagnosis=f"{here}/diagnosis",
            jaeger=f"{jaeger}/trace/{run.trace_id}",
            langsmith=run.langsmith,
        ),
    )


TraceIds = Annotated[list[Identifier], Field(min_length=1, max_length=MOST_PARTS)]


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
    """Addresses of what a verdict has."""

    verdict: str
    diagnosis: str
    jaeger: str


class VerdictSummary(BaseModel):
    """A stored verdict; `id` is the id of a run of this service, else the trace's."""

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
    """A service in Jaeger whose traces are judged; `problem` is what prevents it now."""

    service: str
    since: datetime.datetime
    by_setting: Annotated[bool, Field(description="Asked for by TRADING_GRAPH_SERVE_WATCH.")]
    problem: str | None


class WatchList(BaseModel):
    """The watches, by name of the service."""

    watches: list[WatchDocument]


def verdict_summary(verdict: StoredVerdict, jaeger: str) -> VerdictSummary:
    """The document of a stored verdict."""
    here = f"/v1/traces/{verdict.id}"
    return VerdictSummary(
        id=verdict.id,
        trace_id=verdict.trace_id,
        service=verdict.service,
        name=verdict.name,
        started=utc(verdict.started),
        seconds=verdict.seconds,
        passed=verdict.passed,
        judged=utc(verdict.judged),
        links=VerdictLinks(
            verdict=f"{here}/verdict",
            diagnosis=f"{here}/diagnosis",
            jaeger=f"{jaeger}/trace/{verdict.trace_id}",
        ),
    )


def utc(seconds: float) -> datetime.datetime:
    """A time of the store as a document holds it."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)
