"""Making the runs of the queue: each analysis, its verdict, and what is stored of both."""

import asyncio
import logging
import uuid
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from trading_graph.graph.decisions import Decision
from trading_graph.otel.sources import read
from trading_graph.otel.trace import SpanTable
from trading_graph.service.errors import NotResumableError
from trading_graph.service.run.engine import Engine
from trading_graph.service.run.folder import FolderState, RunFolder, state_left_by
from trading_graph.service.run.result import finish_run
from trading_graph.service.server.portfolio_maker import begin_portfolios
from trading_graph.service.server.portfolio_queue import PortfolioQueue
from trading_graph.service.server.run_events import RunEvents, VerdictReached
from trading_graph.service.server.run_queue import RunOutcome, RunQueue
from trading_graph.service.server.run_verdict import judge_run, recorded_trace
from trading_graph.service.store import Store, StoredRun, StoredVerdict

_LOG = logging.getLogger(__name__)


async def make_runs(
    queue: RunQueue,
    portfolios: PortfolioQueue,
    store: Store,
    open_engine: Callable[[], AbstractAsyncContextManager[Engine]],
) -> None:
    """Open the engine, and make a queue's runs and work on portfolios with it until cancelled."""
    async with open_engine() as engine:
        maker = RunMaker(engine, store)
        queue.begin(maker, maker.judge_part)
        begin_portfolios(portfolios, engine)
        try:
            await asyncio.Event().wait()
        finally:
            drained = await queue.drain(0)
            if not drained:
                _LOG.warning("%d runs go on at the next start.", queue.running)
            if portfolios.current is not None:
                _LOG.warning("The portfolio %s goes on at the next start.", portfolios.current)
            if not drained or portfolios.current is not None:
                engine.leave()
            await portfolios.close()
            await queue.close()


class RunMaker:
    """Makes runs on an engine, and stores the verdict on each."""

    def __init__(self, engine: Engine, store: Store) -> None:
        self._engine = engine
        self._store = store

    async def __call__(self, run: StoredRun, events: RunEvents) -> RunOutcome:
        """Make the run, or resume it where an earlier process left it."""
        outcome, trace = await self._complete(run, events)
        if trace is None:
            return outcome
        verdict = await self._keep_verdict(run, events, trace)
        seconds = outcome.seconds if verdict.seconds is None else verdict.seconds
        return replace(outcome, seconds=seconds, passed=verdict.passed)

    async def judge_part(self, run: StoredRun, events: RunEvents) -> bool | None:
        """Judge what a run has recorded that failed or was cancelled, and store the verdict."""
        trace = await asyncio.to_thread(recorded_trace, RunFolder(self._engine.out, run.id), run)
        if trace is None:
            return None
        return (await self._keep_verdict(run, events, trace)).passed

    async def _keep_verdict(
        self, run: StoredRun, events: RunEvents, trace: SpanTable
    ) -> StoredVerdict:
        verdict = await asyncio.to_thread(judge_run, run, trace)
        await self._store.keep_verdict(verdict)
        events.add(VerdictReached(passed=verdict.passed))
        return verdict

    async def _complete(
        self, run: StoredRun, events: RunEvents
    ) -> tuple[RunOutcome, SpanTable | None]:
        """Bring the analysis to its end; returns the outcome before its verdict, and its trace."""
        folder = RunFolder(self._engine.out, run.id)
        run_id = uuid.UUID(run.id)
        at = await asyncio.to_thread(state_left_by, folder)
        if at is FolderState.OVER:
            return await asyncio.to_thread(_completed_before, folder)
        if at is None:
            # A request may lower the budget of the settings, and never raise it.
            budget = run.request.budget.within(self._engine.settings.budget)
            request = run.request.with_budget(budget)
            analysis, folder = await self._engine.run(
                request, run_id=run_id, parent=_caller(run), on_write=events.on_write
            )
        else:
            analysis, folder = await self._engine.resume(run_id, on_write=events.on_write)
        result = await asyncio.to_thread(finish_run, self._engine, analysis, folder)
        outcome = _outcome(analysis.decision, analysis.seconds, result.langsmith_link)
        return outcome, result.trace


def _outcome(decision: Decision, seconds: float, langsmith: str | None = None) -> RunOutcome:
    return RunOutcome(
        seconds=seconds,
        action=decision.decision.action,
        confidence=decision.decision.confidence,
        degraded=decision.degraded,
        passed=None,
        langsmith=langsmith,
    )


def _completed_before(folder: RunFolder) -> tuple[RunOutcome, SpanTable | None]:
    """A run that ended, but whose process died before it said so; raises NotResumableError."""
    try:
        decision = Decision.model_validate_json(folder.decision.read_text("utf-8"))
    except FileNotFoundError:
        raise NotResumableError(
            "The run ended without a decision, and the service that made it was stopped before it "
            "could say why; its trace shows where."
        ) from None
    traces = {each.trace_id: each for each in read(folder.trace)}
    return _outcome(decision, 0.0), traces.get(decision.trace_id or "")


def _caller(run: StoredRun) -> Context:
    carrier = {"traceparent": run.traceparent} if run.traceparent else {}
    return TraceContextTextMapPropagator().extract(carrier, Context())
