"""What a lost store lacks of runs that are over: their events and verdicts, from their folders."""

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path

from trading_graph.otel.errors import TraceError
from trading_graph.otel.files.sdk_spans import from_lines
from trading_graph.otel.report.documents.document import encode
from trading_graph.service.errors import StoreUnavailableError
from trading_graph.service.run.folder import RunFolder
from trading_graph.service.server.run_events import RunFinished, VerdictReached, recorded_events
from trading_graph.service.server.run_verdict import judge_run, recorded_trace
from trading_graph.service.store import Store, StoredRun, StoredVerdict

_LOG = logging.getLogger(__name__)


async def restore_results(store: Store, out: Path, runs: Sequence[StoredRun]) -> None:
    """Bring the events and verdicts of runs into a store that has only their rows."""
    for run in runs:
        if not run.state.final or run.started is None:
            continue
        try:
            events, verdict = await asyncio.to_thread(_results, run, RunFolder(out, run.id))
            await store.add_events(run.id, 1, events)
            if verdict is not None:
                await store.keep_verdict(verdict)
        except (StoreUnavailableError, OSError, TraceError) as error:
            _LOG.warning("What run %s came to is not in the store: %s", run.id, error)


def _results(run: StoredRun, folder: RunFolder) -> tuple[list[str], StoredVerdict | None]:
    """The events of a run and its verdict. Blocks; raises OSError or TraceError."""
    trace = recorded_trace(folder, run)
    if trace is None:
        return [_finish(run)], None
    events = recorded_events(from_lines(folder.trace.read_bytes(), str(folder.trace)))
    verdict = judge_run(run, trace)
    reached = encode(VerdictReached(passed=verdict.passed), indent=None)
    return [*events, reached, _finish(run)], verdict


def _finish(run: StoredRun) -> str:
    event = RunFinished(
        state=run.state,
        at=run.ended or run.created,
        error=run.error,
        seconds=run.seconds,
        action=run.action,
        confidence=run.confidence,
        degraded=run.degraded,
        passed=run.passed,
        langsmith=run.langsmith,
    )
    return encode(event, indent=None)
