"""A verdict on a page: what each check measured, its limit, its proof, and what to do.

Also the page of a trace that is no run of ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

import msgspec
from aiohttp import web

from trading_graph.otel.report.documents.verdict import VerdictJson
from trading_graph.otel.report.verdict import CheckRow
from trading_graph.otel.verdict import Outcome
from trading_graph.service.server.context import SERVICE
from trading_graph.service.server.inputs import id_of
from trading_graph.service.server.pages.layout import page, see_other
from trading_graph.service.server.pages.run_progress import LIMIT_S
from trading_graph.service.server.problems import Problem


async def show(request: web.Request) -> web.Response:
    """The verdict on a trace; a run has a page of its own."""
    service, trace_id = request.app[SERVICE], id_of(request, "trace_id")
    if await service.store.run(trace_id) is not None:
        return see_other(f"/runs/{trace_id}")
    stored = await service.store.verdict(trace_id)
    if stored is None:
        raise Problem(HTTPStatus.NOT_FOUND, "No trace of this id was judged here.")
    return page(
        request,
        "trace.html",
        stored.name,
        trace=stored,
        jaeger=service.jaeger_link(stored.trace_id),
        verdict=verdict_view(stored.document),
    )


@dataclass(frozen=True, slots=True)
class VerdictView:
    """A verdict, and its checklist as reports have it."""

    document: VerdictJson
    checks: Sequence[CheckRow]

    @property
    def summary(self) -> str:
        """How many checks failed, in words."""
        outcomes = [check.outcome for check in self.checks]
        failures = outcomes.count(Outcome.FAIL)
        judged = len(outcomes) - outcomes.count(Outcome.NOT_APPLICABLE)
        return f"{failures} of {judged} checks failed" if failures else f"all of {judged} checks"


def verdict_view(stored: str) -> VerdictView:
    """A stored verdict."""
    document = msgspec.json.decode(stored, type=VerdictJson)
    return VerdictView(document, [CheckRow.of(each) for each in document.checks])


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
