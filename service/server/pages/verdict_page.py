"""A verdict on a page: what each check measured, its limit, its proof, and what to do.

Also the page of a trace that is no run of ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import msgspec
from aiohttp import web

from trading_graph.otel.report.documents.document import encode
from trading_graph.otel.report.documents.verdict import VerdictJson
from trading_graph.otel.report.verdict import CheckRow
from trading_graph.otel.verdict import Outcome, Strength
from trading_graph.service.server.context import SERVICE
from trading_graph.service.server.inputs import id_of
from trading_graph.service.server.pages.layout import outcome, page, see_other
from trading_graph.service.server.pages.run_progress import LIMIT_S
from trading_graph.service.server.pages.trace_view import trace_section
from trading_graph.service.server.problems import Problem
from trading_graph.service.server.trace_views import KeptView
from trading_graph.service.server.traces_api import trace_file
from trading_graph.service.store import StoredVerdict, now

MOST_SPANS = 8
"""The most spans that a check names."""

_LONGEST_NAME = 200
_RELOAD_S = 3


async def show(request: web.Request) -> web.Response:
    """The verdict on a trace; a run has a page of its own."""
    service, trace_id = request.app[SERVICE], id_of(request, "trace_id")
    if await service.store.run(trace_id) is not None:
        return see_other(f"/runs/{trace_id}")
    stored = await service.store.verdict(trace_id)
    section = await trace_section(request, trace_id)
    if stored is None:
        if section.kept is None:
            raise Problem(section.status, section.problem)
        stored = _judged_now(section.kept)
    return page(
        request,
        "trace.html",
        stored.name,
        reload_s=_RELOAD_S if section.grows else None,
        trace=stored,
        jaeger=service.jaeger_link(stored.trace_id),
        has_file=await trace_file(service, trace_id) is not None,
        trace_view=section,
        verdict=verdict_view(stored.document),
    )


def _judged_now(kept: KeptView) -> StoredVerdict:
    """The verdict on a trace of which none is stored, as if one were."""
    view, verdict = kept.document, kept.verdict
    top = view.spans.name[view.run or 0]
    return StoredVerdict(
        id=view.trace_id,
        trace_id=view.trace_id,
        service=view.service[:_LONGEST_NAME] or "a service",
        name=view.names[top][:_LONGEST_NAME],
        started=view.begin_unix_s,
        seconds=view.duration_ns / 1e9,
        passed=verdict.passed,
        judged=now(),
        document=encode(verdict),
    )


CUT_SHORT = ("cut short", "plain")
"""The word, and the kind of its badge, for a cancelled run in which nothing failed by itself."""
_ERRORS = "errors"
"""The id of the check that counts what was cancelled among the errors."""


def is_cut_short(failures: Sequence[str], *, errors: int, cancellations: int, retries: int) -> bool:
    """Whether the checks that failed, by id, failed only because work was cancelled."""
    return list(failures) == [_ERRORS] and 0 < errors == cancellations and not retries


@dataclass(frozen=True, slots=True)
class VerdictView:
    """A verdict, and its checklist as reports have it; `cancelled` says that its run was."""

    document: VerdictJson
    checks: Sequence[CheckRow]
    cancelled: bool = False

    @classmethod
    def of(cls, document: VerdictJson, *, cancelled: bool = False) -> Self:
        """The view of a verdict's document, and whether its run was cancelled."""
        return cls(document, [CheckRow.of(each) for each in document.checks], cancelled)

    @property
    def cut_short(self) -> bool:
        """Whether the run was cancelled, and nothing failed by itself."""
        measures = self.document.measures
        if not self.cancelled or measures is None:
            return False
        return is_cut_short(
            [check.id for check in self.failures],
            errors=measures.errors,
            cancellations=measures.cancellations,
            retries=measures.retries,
        )

    @property
    def outcome(self) -> tuple[str, str]:
        """The verdict in a word, and the kind of its badge."""
        return CUT_SHORT if self.cut_short else outcome(self.document.passed)

    @property
    def notes(self) -> Sequence[str]:
        """The notes on the trace and on its checks, each once."""
        of_checks = (note for check in self.checks for note in check.notes)
        return list(dict.fromkeys([*self.document.notes, *of_checks]))

    @property
    def failures(self) -> Sequence[CheckRow]:
        """The checks that failed."""
        return [check for check in self.checks if check.outcome is Outcome.FAIL]

    @property
    def others(self) -> Sequence[CheckRow]:
        """The checks that passed, and those that do not apply."""
        return [check for check in self.checks if check.outcome is not Outcome.FAIL]

    @property
    def others_in_short(self) -> str:
        """How many checks passed, how many of them with proof, and how many do not apply."""
        passed = [check for check in self.checks if check.outcome is Outcome.PASS]
        proven = sum(check.strength.startswith(Strength.PROVEN) for check in passed)
        idle = len(self.others) - len(passed)
        words = f"{len(passed)} check{'' if len(passed) == 1 else 's'} passed, {proven} proven"
        return f"{words}; {idle} not applicable" if idle else words

    def spans_of(self, check_id: str) -> Sequence[tuple[str, str]]:
        """Label and id of the first spans that show a failure."""
        return self._spans(check_id)[:MOST_SPANS]

    def more_of(self, check_id: str) -> int:
        """How many spans show it beside those."""
        return max(len(self._spans(check_id)) - MOST_SPANS, 0)

    def _spans(self, check_id: str) -> list[tuple[str, str]]:
        """Each once, although one may fail twice."""
        spans = next(each.spans for each in self.document.checks if each.id == check_id)
        name_of = {each.span_id: f"{each.name} {each.item}".rstrip() for each in spans}
        return [(name, span_id) for span_id, name in name_of.items()]

    @property
    def summary(self) -> str:
        """How many checks failed, in words."""
        outcomes = [check.outcome for check in self.checks]
        failures = outcomes.count(Outcome.FAIL)
        judged = len(outcomes) - outcomes.count(Outcome.NOT_APPLICABLE)
        return f"{failures} of {judged} checks failed" if failures else f"all of {judged} checks"


def verdict_view(stored: str, *, cancelled: bool = False) -> VerdictView:
    """A stored verdict, and whether its run was cancelled."""
    return VerdictView.of(msgspec.json.decode(stored, type=VerdictJson), cancelled=cancelled)


@dataclass(frozen=True, slots=True)
class RunDuration:
    """How long a run took; `projected_s` is what it takes at `call_s` a call, where simulated."""

    name: str
    seconds: float
    projected_s: float | None = None
    call_s: float | None = None

    @property
    def judged_s(self) -> float:
        """What is compared with the limit."""
        return self.seconds if self.projected_s is None else self.projected_s

    @property
    def of_limit(self) -> str:
        """The limit beside it."""
        if self.projected_s is None or self.call_s is None:
            return f"of {LIMIT_S:g} s at most"
        return f"simulated; {self.projected_s:.0f} of {LIMIT_S:g} s at {self.call_s:g} s a call"


def run_duration(name: str, seconds: float, verdict: VerdictView | None) -> RunDuration:
    """A run's duration, with what its verdict says of simulated latencies."""
    for check in verdict.document.checks if verdict else ():
        if (projection := check.projection) is not None:
            return RunDuration(name, seconds, projection.run_s, projection.call_s)
    return RunDuration(name, seconds)
