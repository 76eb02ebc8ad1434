"""Cancelling a portfolio that workers were given: nothing more is begun, and that is noted.

What a worker has under way it leaves itself, and is noted when it has.
"""

import time
from collections.abc import Collection

from trading_graph.service.portfolio.durable.queue import WorkQueue, WorkState, workflow_id
from trading_graph.service.portfolio.folder import PortfolioFolder
from trading_graph.service.portfolio.killed_try import end_of_killed
from trading_graph.service.portfolio.progress import Happening, ProgressEvent
from trading_graph.service.portfolio.ticker_day import TickerDayState
from trading_graph.service.portfolio.work_record import EventLog
from trading_graph.service.run.folder import RunFolder


def cancel_waiting(
    queue: WorkQueue,
    folder: PortfolioFolder,
    log: EventLog,
    *,
    workers: Collection[str] | None = None,
) -> None:
    """Take what waits out of the line, and note every ticker-day that nobody works on.

    `workers` are those that live; None stands for all. Blocks; raises PortfolioError or OSError.
    """
    order = folder.order()
    open_ = [each.ticker_day for each in folder.progress(order).values() if not each.is_final]
    works = queue.unfinished([workflow_id(each.run_id) for each in open_])
    busy = {
        work.workflow_id
        for work in works
        if work.state is WorkState.UNDER_WAY and (workers is None or work.worker in workers)
    }
    queue.remove(work for work in works if work.workflow_id not in busy)
    for each in open_:
        run_id = each.run_id
        if workflow_id(run_id) in busy:
            continue
        # Read again: its worker notes how it has left a ticker-day before that is not busy.
        now = folder.progress_of_one(each)
        if now.state is TickerDayState.RUNNING:
            end = end_of_killed(RunFolder(order.out, run_id), now)
            log.append(end)
            now = now.after(end)
        if not now.is_final:
            log.append(ProgressEvent(time.time(), run_id, Happening.CANCELLED))
