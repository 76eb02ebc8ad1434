"""The documents of the API, one pydantic model each, and how they are made from the store."""

import datetime
from dataclasses import asdict
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from trading_graph.service.run.folder import CHART
from trading_graph.service.run.request import RunRequest
from trading_graph.service.server.base_path import address
from trading_graph.service.server.context import ServiceContext
from trading_graph.service.server.inputs import MOST_PARTS
from trading_graph.service.server.openapi import ID
from trading_graph.service.store import RunState, StoredRun, StoredVerdict

RUN_REQUEST = TypeAdapter(RunRequest)
"""Reads the request of a run, from JSON or from the values of a form."""

Identifier = Annotated[str, Field(pattern=f"^{ID}$")]
SpanWord = Annotated[str, Field(pattern=r"^[ -~]{1,200}$")]
"""The id or the name of a span."""


class Links(BaseModel):
    """Addresses of what a run has; those on other hosts only where they lead somewhere."""

    self: str
    page: str
    events: str
    decision: str
    report: str
    chart: str
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
    request: RunRequest
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


class Query(BaseModel):
    """The parameters of a request; others are refused."""

    model_config = ConfigDict(extra="forbid")


class PageQuery(Query):
    """Which page of a list."""

    before: Identifier | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50


class RunsQuery(PageQuery):
    """Which runs to list."""

    state: RunState | None = None
    symbol: Annotated[str | None, Field(min_length=1, max_length=64)] = None


class EventsQuery(Query):
    """The number after which events are sent."""

    after: Annotated[int, Field(ge=0, le=2**53)] = 0


class DiagnosisQuery(Query):
    """How a diagnosis is written, and what the run may take, in seconds.

    Without a target, a run of this program has that of its gate, and any other trace has none.
    """

    format: Literal["json", "html", "markdown", "text"] = "json"
    target: Annotated[float | None, Field(gt=0, le=86_400)] = None


class WhatIfQuery(Query):
    """The numbers of the findings whose fixes are made, with commas between them."""

    findings: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,3}(,[1-9][0-9]{0,3}){0,63}$")]


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


def run_document(service: ServiceContext, run: StoredRun) -> RunDocument:
    """The document of a run."""
    here = address(f"/v1/runs/{run.id}")
    links = Links(
        self=here,
        page=address(f"/runs/{run.id}"),
        events=f"{here}/events",
        decision=f"{here}/decision",
        report=f"{here}/report",
        chart=f"{here}/{CHART}",
        trace=f"{here}/trace",
        verdict=f"{here}/verdict",
        diagnosis=f"{here}/diagnosis",
        jaeger=service.jaeger_link(run.trace_id),
        langsmith=run.langsmith,
    )
    return RunDocument.model_validate({**run.columns, "links": links})


TraceIds = Annotated[list[Identifier], Field(min_length=1, max_length=MOST_PARTS)]


class ComparisonRequest(BaseModel):
    """The ids of the traces or runs to compare: one on each side, or two or more."""

    model_config = ConfigDict(extra="forbid")

    base: TraceIds
    new: TraceIds


class ComparisonQuery(Query):
    """How much longer the new runs may take, in per cent."""

    tolerance: Annotated[float | None, Field(ge=0, le=1_000)] = None


class UploadQuery(Query):
    """Which trace or run of the upload, and which part of it, as the command's options say."""

    id: Identifier | None = None
    root: SpanWord | None = None
    forest: bool = False
    join: bool = False


class UploadedDiagnosisQuery(DiagnosisQuery, UploadQuery):
    """How a diagnosis of an upload is written, and of which trace, run or part in it."""


class VerdictsQuery(PageQuery):
    """Which verdicts to list."""

    service: Annotated[str | None, Field(min_length=1, max_length=200)] = None


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


def verdict_summary(service: ServiceContext, verdict: StoredVerdict) -> VerdictSummary:
    """The document of a stored verdict."""
    here = address(f"/v1/traces/{verdict.id}")
    links = VerdictLinks(
        verdict=f"{here}/verdict",
        diagnosis=f"{here}/diagnosis",
        jaeger=service.jaeger_link(verdict.trace_id),
    )
    return VerdictSummary.model_validate({**asdict(verdict), "links": links})
