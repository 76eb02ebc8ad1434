"""What the API answers: one model a document, made from what the store keeps."""

import datetime
import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from trading_graph.service.server.operations import ID
from trading_graph.service.store import RunState, StoredRun

Identifier = Annotated[str, Field(pattern=f"^{ID}$")]


class Links(BaseModel):
    """Where to go from a run; those on other hosts only where they lead somewhere."""

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
    """One run: what was asked, where it is in its life, and what came of it."""

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
    """From where to tell events."""

    model_config = ConfigDict(extra="forbid")

    after: Annotated[int, Field(ge=0, le=2**53)] = 0


class DiagnosisQuery(BaseModel):
    """How a diagnosis is written, and what the run may take, in seconds."""

    model_config = ConfigDict(extra="forbid")

    format: Literal["json", "html", "markdown", "text"] = "json"
    target: Annotated[float, Field(gt=0, le=86_400)] = 120.0


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
    """A run as the API tells it."""
    here = f"/v1/runs/{run.id}"
    return RunDocument(
        id=run.id,
        trace_id=run.trace_id,
        state=run.state,
        symbol=run.symbol,
        date=run.date,
        request=json.loads(run.request),
        created=_when(run.created),
        started=None if run.started is None else _when(run.started),
        ended=None if run.ended is None else _when(run.ended),
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


def _when(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)
