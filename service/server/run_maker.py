"""Making one run of the queue: the analysis, its verdict, and what is kept of both."""

import asyncio
import logging
import shutil
import uuid
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from trading_graph.graph.decisions import Decision
from trading_graph.graph.gate import default_gate
from trading_graph.otel.report.documents.document import encode
from trading_graph.otel.report.documents.verdict import verdict_document
from trading_graph.otel.sources import read
from trading_graph.otel.trace import SpanTable
from trading_graph.otel.verdict import judge
from trading_graph.service.errors import NotResumable
from trading_graph.service.runs.engine import Engine
from trading_graph.service.runs.folder import RunFolder, Standing, standing
from trading_graph.service.runs.request import RunRequest
from trading_graph.service.runs.result import finished
from trading_graph.service.server.run_events import RunEvents
from trading_graph.service.server.run_queue import Outcome, RunQueue
from trading_graph.service.store import Store, StoredRun, StoredVerdict, now

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Made:
    """A run that is over: its decision, its trace, and how long its last life took."""

    decision: Decision
    trace: SpanTable | None
    seconds: float
    langsmith: str | None = None


async def make_runs(
    engine: AbstractAsyncContextManager[Engine], queue: RunQueue, store: Store
) -> None:
    """Open the engine and make a queue's runs on it until cancelled."""
    async with engine as opened:
        queue.begin(RunMaker(opened, store))
        try:
            await asyncio.Event().wait()
        finally:
            if not await queue.drained(0):
                _LOG.warning("%d runs go on at the next start.", queue.running)
                opened.leave()
            await queue.close()


class RunMaker:
    """Makes runs on an engine, and keeps the verdict on each."""

    def __init__(self, engine: Engine, store: Store) -> None:
        self._engine = engine
        self._store = store

    async def __call__(self, run: StoredRun, events: RunEvents) -> Outcome:
        """Make the run, or go on with it where an earlier process left it."""
        made = await self._made(run, events)
        passed, seconds = None, made.seconds
        if made.trace is not None:
            kept = await asyncio.to_thread(_judged, run, made.trace)
            passed = kept.passed
            seconds = seconds if kept.seconds is None else kept.seconds
            await self._store.keep_verdict(kept)
            events.add("verdict", {"passed": passed})
        decision = made.decision
        return Outcome(
            seconds=seconds,
            action=decision.decision.action,
            confidence=decision.decision.confidence,
            degraded=decision.degraded,
            passed=passed,
            langsmith=made.langsmith,
        )

    async def _made(self, run: StoredRun, events: RunEvents) -> _Made:
        folder = RunFolder(self._engine.out, run.id)
        run_id = uuid.UUID(run.id)
        at = await asyncio.to_thread(_left, folder)
        if at is Standing.OVER:
            return await asyncio.to_thread(_kept, folder)
        if at is None:
            request = RunRequest.model_validate_json(run.request)
            # Who asks may lower what whoever pays has set, and never raise it.
            request = request.with_budget(request.budget.within(self._engine.settings.budget))
            analysis, folder = await self._engine.run(
                request, run_id=run_id, parent=_caller(run), listeners=[events]
            )
        else:
            analysis, folder = await self._engine.resume(run_id, listeners=[events])
        engine = self._engine
        result = await asyncio.to_thread(
            finished, analysis, folder, engine.telemetry, engine.settings, engine.langsmith
        )
        return _Made(analysis.decision, result.trace, analysis.seconds, result.langsmith_link)


def _left(folder: RunFolder) -> Standing | None:
    """Where an earlier process left the run; None where it had not begun. Blocks."""
    if folder.journal.exists() or folder.trace.exists() or folder.decision.exists():
        return standing(folder.path)
    shutil.rmtree(folder.path, ignore_errors=True)  # what a process made that was killed at once
    return None


def _kept(folder: RunFolder) -> _Made:
    """A run whose process ended between the run's end and saying so; raises NotResumable."""
    try:
        decision = Decision.model_validate_json(folder.decision.read_text("utf-8"))
    except FileNotFoundError:
        raise NotResumable(
            "The run ended without a decision, and the service that made it was stopped before it "
            "could say why; its trace shows where."
        ) from None
    traces = {each.trace_id: each for each in read(folder.trace)}
    return _Made(decision, traces.get(decision.trace_id or ""), 0.0)


def _judged(run: StoredRun, trace: SpanTable) -> StoredVerdict:
    verdict = judge(trace, default_gate(), run.id)
    document = verdict_document(verdict)
    return StoredVerdict(
        id=run.id,
        trace_id=run.trace_id,
        service="trading-graph",
        name=f"{run.symbol} as of {run.date}",
        started=run.started or run.created,
        seconds=document.measures.wall_s if document.measures else None,
        passed=verdict.passed if verdict.judged else None,
        judged=now(),
        document=encode(document),
    )


def _caller(run: StoredRun) -> Context:
    carrier = {"traceparent": run.traceparent} if run.traceparent else {}
    return TraceContextTextMapPropagator().extract(carrier, Context())
