"""The files of a run are closed whatever happens: a log that stays locked says that it runs."""

import asyncio
import threading
import uuid
from pathlib import Path

import pytest

from tests.patience import PATIENCE_S
from tests.service.portfolio.portfolios import engine
from trading_graph.otel.export import TraceFile
from trading_graph.service.run.folder import FolderState, folder_state
from trading_graph.service.run.request import RunRequest


async def test_a_run_that_is_cancelled_while_it_ends_runs_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closing, may_close, close = threading.Event(), threading.Event(), TraceFile.close

    def close_slowly(trace_file: TraceFile) -> bool:
        closing.set()
        may_close.wait(PATIENCE_S)
        return close(trace_file)

    monkeypatch.setattr(TraceFile, "close", close_slowly)
    run_id = uuid.UUID(int=7)
    async with engine(tmp_path) as running:
        request = RunRequest(symbol="AAPL", analysts=("market",))
        run = asyncio.create_task(running.run(request, run_id=run_id))
        await asyncio.sleep(0.05)
        run.cancel()
        await asyncio.to_thread(closing.wait, PATIENCE_S)
        run.cancel()
        await asyncio.sleep(0.05)
        may_close.set()
        with pytest.raises(asyncio.CancelledError):
            await run
        state = await asyncio.to_thread(folder_state, running.out / run_id.hex)
    assert state is not FolderState.RUNNING
