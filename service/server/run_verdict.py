"""The verdict on a run of the service, from the trace in its folder."""

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path

from trading_graph.graph.gate_loader import own_gate
from trading_graph.otel.errors import TraceError
from trading_graph.otel.report.documents.document import encode
from trading_graph.otel.report.documents.verdict import verdict_document
from trading_graph.otel.sources import read
from trading_graph.otel.trace import SpanTable
from trading_graph.otel.verdict import judge
from trading_graph.service.errors import StoreUnavailableError
from trading_graph.service.run.folder import RunFolder
from trading_graph.service.store import Store, StoredRun, StoredVerdict, now

_LOG = logging.getLogger(__name__)


def recorded_trace(folder: RunFolder, run: StoredRun) -> SpanTable | None:
    """The trace of a run as its file has it; None where nothing was recorded. Blocks."""
    try:
        traces = read(folder.trace)
    except (FileNotFoundError, TraceError):
        return None
    return next((each for each in traces if each.trace_id == run.trace_id), None)


def judge_run(run: StoredRun, trace: SpanTable) -> StoredVerdict:
    """The verdict on a run by our own gate. Blocks."""
    verdict = judge(trace, own_gate(), run.id)
    document = verdict_document(verdict)
    return StoredVerdict(
        id=run.id,
        trace_id=run.trace_id,
        service="trading-graph",
        name=run.title,
        started=run.started or run.created,
        seconds=document.measures.wall_s if document.measures else None,
        passed=verdict.passed if verdict.judged else None,
        judged=now(),
        document=encode(document),
    )


async def restore_verdicts(store: Store, out: Path, runs: Sequence[StoredRun]) -> None:
    """Bring the verdicts on runs into a store that has only their rows."""
    for run in runs:
        if not run.state.final or run.started is None:
            continue
        try:
            trace = await asyncio.to_thread(recorded_trace, RunFolder(out, run.id), run)
            if trace is not None:
                await store.keep_verdict(await asyncio.to_thread(judge_run, run, trace))
        except (StoreUnavailableError, OSError, TraceError) as error:
            _LOG.warning("The verdict on run %s is not in the store: %s", run.id, error)
