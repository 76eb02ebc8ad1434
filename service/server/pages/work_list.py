"""The work list: which runs and traces are looked for, and a row for each.

A row tells the state apart from the verdict, and names the check that failed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated
from urllib.parse import urlencode

import msgspec
from pydantic import BeforeValidator, Field

from trading_graph.otel.verdict import Outcome
from trading_graph.service.server.api_documents import Identifier, Query
from trading_graph.service.server.pages.verdict_page import CUT_SHORT, RunDuration, is_cut_short
from trading_graph.service.store import (
    OVER,
    RunState,
    StoredRun,
    StoredVerdict,
    VerdictFilter,
    Work,
    WorkFilter,
)
from trading_graph.toolkit.symbols import parse_symbol

OWN_SERVICE = "trading-graph"


class WorkKind(StrEnum):
    """What an entry of the list is."""

    RUN = "run"
    TRACE = "trace"


class WorkState(StrEnum):
    """The states to look for: those of runs, and that of a trace with a verdict."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    JUDGED = "judged"


_EMPTY_IS_NONE = BeforeValidator(lambda value: None if value == "" else value)
"""A form sends each of its fields, chosen or not."""


_Service = Annotated[str, Field(max_length=200)]
_Symbol = Annotated[str, Field(max_length=64)]


class WorkQuery(Query):
    """Which entries a page of the list shows; without a state those that are over."""

    kind: Annotated[WorkKind | None, _EMPTY_IS_NONE] = None
    state: Annotated[WorkState | None, _EMPTY_IS_NONE] = None
    verdict: Annotated[VerdictFilter | None, _EMPTY_IS_NONE] = None
    service: Annotated[_Service | None, _EMPTY_IS_NONE] = None
    symbol: Annotated[_Symbol | None, _EMPTY_IS_NONE] = None
    before: Identifier | None = None
    after: Identifier | None = None

    @property
    def choices(self) -> dict[str, str]:
        """What is chosen, by field."""
        choices = self.model_dump(mode="json", exclude={"before", "after"})
        return {name: value for name, value in choices.items() if value}

    @property
    def filter(self) -> WorkFilter:
        """The same for the store; raises BadRequestError for what is no symbol."""
        states: Sequence[RunState] = OVER
        if self.state is not None:
            states = () if self.state is WorkState.JUDGED else (RunState(self.state),)
        if self.kind is WorkKind.TRACE or self.service not in (None, OWN_SERVICE):
            states = ()
        is_of_runs = self.kind is WorkKind.RUN or self.symbol is not None
        return WorkFilter(
            states=states,
            traces=self.state in (None, WorkState.JUDGED) and not is_of_runs,
            verdict=self.verdict,
            service=self.service,
            symbol=None if self.symbol is None else parse_symbol(self.symbol),
        )

    def page(self, **cursor: str) -> str:
        """The address of another page of the same list."""
        return f"/?{urlencode({**self.choices, **cursor})}#work"


_STATE_KINDS = {RunState.RUNNING: "live", RunState.FAILED: "warn"}


@dataclass(frozen=True, slots=True)
class WorkRow:
    """A run or a trace of another service; `note` says of which day a run is.

    `reason` is the check that failed, with how many more did, or why there is no verdict. `again`
    says that the same can be run once more.
    """

    id: str
    page: str
    name: str
    note: str
    service: str
    at: float
    state: str
    state_kind: str
    passed: bool | None
    verdict: str
    verdict_kind: str
    reason: str
    action: str | None = None
    confidence: float | None = None
    seconds: float | None = None
    degraded: bool = False
    resumed: bool = False
    again: bool = False


class _Projection(msgspec.Struct, frozen=True):
    call_s: float
    run_s: float


class _Check(msgspec.Struct, frozen=True):
    id: str
    title: str
    outcome: Outcome
    projection: _Projection | None = None


class _Measures(msgspec.Struct, frozen=True):
    errors: int
    cancellations: int
    retries: int


class _Verdict(msgspec.Struct, frozen=True):
    """What a row says of a verdict; the rest of its document is passed over."""

    checks: tuple[_Check, ...]
    missing: tuple[str, ...] = ()
    nothing_to_judge: str = ""
    measures: _Measures | None = None


_VERDICT = msgspec.json.Decoder(_Verdict)


def row_of(work: Work) -> WorkRow:
    """The row of an entry."""
    if work.run is not None:
        return run_row(work.run, work.verdict)
    assert work.verdict is not None
    return trace_row(work.verdict)


def run_row(run: StoredRun, stored: StoredVerdict | None) -> WorkRow:
    """The row of a run, with the verdict on it if there is one."""
    verdict, kind, reason = _outcome(run.passed, stored)
    if run.state is RunState.CANCELLED and stored is not None and _is_cut_short(stored):
        verdict, kind = CUT_SHORT
        reason = "It was cancelled; nothing failed by itself."
    if run.error and run.state is RunState.FAILED:
        reason = run.error
    elif stored is None and run.state is RunState.CANCELLED and run.started is None:
        reason = "It was cancelled before it began."
    seconds = run.seconds
    if seconds is None and run.started is not None and run.ended is not None:
        seconds = run.ended - run.started
    return WorkRow(
        id=run.id,
        page=f"/runs/{run.id}",
        name=run.symbol,
        note=f"as of {run.date}",
        service=OWN_SERVICE,
        at=run.started or run.created,
        state=str(run.state),
        state_kind=_STATE_KINDS.get(run.state, "plain"),
        passed=run.passed,
        verdict=verdict,
        verdict_kind=kind,
        reason=reason,
        action=run.action,
        confidence=run.confidence,
        seconds=seconds,
        degraded=run.degraded,
        resumed=bool(run.resumed),
        again=True,
    )


def trace_row(stored: StoredVerdict) -> WorkRow:
    """The row of a trace that is no run of this service."""
    verdict, kind, reason = _outcome(stored.passed, stored)
    return WorkRow(
        id=stored.id,
        page=f"/traces/{stored.id}",
        name=stored.name,
        note="",
        service=stored.service,
        at=stored.started,
        state="judged",
        state_kind="plain",
        passed=stored.passed,
        verdict=verdict,
        verdict_kind=kind,
        reason=reason,
        seconds=stored.seconds,
    )


def duration_of(name: str, seconds: float, stored: StoredVerdict | None) -> RunDuration:
    """How long a run took, with what its verdict says of simulated latencies."""
    for check in _VERDICT.decode(stored.document).checks if stored else ():
        if (projection := check.projection) is not None:
            return RunDuration(name, seconds, projection.run_s, projection.call_s)
    return RunDuration(name, seconds)


def _outcome(passed: bool | None, stored: StoredVerdict | None) -> tuple[str, str, str]:
    """A verdict in a word, the kind of its badge, and the reason for it."""
    if stored is None:
        return "no verdict", "plain", ""
    verdict = _VERDICT.decode(stored.document)
    if passed is None:
        word = "incomplete" if verdict.missing else "no verdict"
        return word, "plain", " ".join(verdict.missing[:1]) or verdict.nothing_to_judge
    if passed:
        return "passed", "good", ""
    return "failed", "bad", _failed(verdict.checks)


def _is_cut_short(stored: StoredVerdict) -> bool:
    verdict = _VERDICT.decode(stored.document)
    failures = [check.id for check in verdict.checks if check.outcome is Outcome.FAIL]
    measures = verdict.measures
    return measures is not None and is_cut_short(failures, **msgspec.structs.asdict(measures))


def _failed(checks: Sequence[_Check]) -> str:
    """The first check that failed, and how many more did."""
    failed = [check.title for check in checks if check.outcome is Outcome.FAIL]
    if len(failed) < 2:
        return "".join(failed)
    return f"{failed[0]}, and {len(failed) - 1} more"
