"""The rows of the work list: runs and traces, each with its state, its verdict and what failed."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from trading_graph.otel.verdict import Outcome
from trading_graph.service.store import RunState, StoredRun, StoredVerdict

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


class _Check(msgspec.Struct, frozen=True):
    title: str
    outcome: Outcome


class _Verdict(msgspec.Struct, frozen=True):
    """What a row says of a verdict; the rest of its document is passed over."""

    checks: tuple[_Check, ...]
    missing: tuple[str, ...] = ()
    nothing_to_judge: str = ""


_VERDICT = msgspec.json.Decoder(_Verdict)


def run_row(run: StoredRun, stored: StoredVerdict | None) -> WorkRow:
    """The row of a run, with the verdict on it if there is one."""
    verdict, kind, reason = _outcome(run.passed, stored)
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
        service="trading-graph",
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


def _failed(checks: Sequence[_Check]) -> str:
    """The first check that failed, and how many more did."""
    failed = [check.title for check in checks if check.outcome is Outcome.FAIL]
    if len(failed) < 2:
        return "".join(failed)
    return f"{failed[0]}, and {len(failed) - 1} more"
