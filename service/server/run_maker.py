"""Making one run of the queue: the analysis, its verdict, and what is kept of both."""

import asyncio
import uuid

from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from graph.analysis import Analysis
from otel.report import as_json
from otel.trace import Trace
from otel.verdict import default_gate, judge
from service.engine import Engine
from service.result import Result, finished
from service.run_folder import RunFolder
from service.run_request import RunRequest
from service.server.run_events import RunEvents
from service.server.run_queue import Outcome
from service.store import Store, StoredRun, StoredVerdict, now


class RunMaker:
    """Makes runs on an engine, and keeps the verdict on each."""

    def __init__(self, engine: Engine, store: Store, default_date: str) -> None:
        self._engine = engine
        self._store = store
        self._default_date = default_date

    async def __call__(self, run: StoredRun, events: RunEvents) -> Outcome:
        """Make the run, or go on with it where an earlier process left it."""
        analysis, folder = await self._analysis(run, events)
        result = await asyncio.to_thread(self._finished, analysis, folder)
        passed = None
        if result.trace is not None:
            kept = await asyncio.to_thread(_judged, run, result.trace)
            passed = kept.passed
            await self._store.keep_verdict(kept)
            events.add("verdict", {"passed": passed})
        decision = analysis.decision
        return Outcome(
            seconds=analysis.seconds,
            action=decision.decision.action,
            confidence=decision.decision.confidence,
            degraded=decision.degraded,
            passed=passed,
            langsmith=result.langsmith_link,
        )

    async def _analysis(self, run: StoredRun, events: RunEvents) -> tuple[Analysis, RunFolder]:
        request = RunRequest.model_validate_json(run.request)
        return await self._engine.run(
            request.options(self._default_date),
            run_id=uuid.UUID(run.id),
            parent=_caller(run),
            listeners=[events],
        )

    def _finished(self, analysis: Analysis, folder: RunFolder) -> Result:
        engine = self._engine
        return finished(
            analysis, folder, engine.telemetry, engine.settings, engine.redactor, engine.langsmith
        )


def _judged(run: StoredRun, trace: Trace) -> StoredVerdict:
    verdict = judge(trace, default_gate(), run.id)
    row = verdict.completeness.run
    return StoredVerdict(
        id=run.id,
        trace_id=run.trace_id,
        service="trading-graph",
        name=f"{run.symbol} as of {run.date}",
        started=run.started or run.created,
        seconds=None if row is None else int(trace.duration[row]) / 1e9,
        passed=verdict.passed if verdict.judged else None,
        judged=now(),
        document=as_json(verdict),
    )


def _caller(run: StoredRun) -> Context:
    carrier = {"traceparent": run.traceparent} if run.traceparent else {}
    return TraceContextTextMapPropagator().extract(carrier, Context())
