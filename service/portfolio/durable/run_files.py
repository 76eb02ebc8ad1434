"""The files of a ticker-day that changes hands: what happened to it, and the log of its run.

A worker that is paused still has them open, and its locks on them. Whoever takes the ticker-day
over replaces each file by a copy of itself, so that what the paused worker holds has no name any
more: neither its locks nor anything that it may still write there can be seen.
"""

import os
import shutil
from collections.abc import Callable

from trading_graph.otel.files.run_log import mend
from trading_graph.service.portfolio.folder import PortfolioFolder, ProgressLog
from trading_graph.service.portfolio.progress import ProgressEvent
from trading_graph.service.run.folder import RunFolder


class TickerDayLogs:
    """Appends what happens to ticker-days, each to a file of its own; an `EventLog`.

    `assert_owned` returns if the ticker-days still belong to this process.
    """

    def __init__(self, folder: PortfolioFolder, assert_owned: Callable[[], None]) -> None:
        self._folder = folder
        self._assert_owned = assert_owned

    def append(self, *events: ProgressEvent) -> None:
        """Write events; raises OSError."""
        for event in events:
            self._assert_owned()
            with self._folder.log_of_worker(event.run_id).open("ab+", buffering=0) as file:
                mend(file)
                ProgressLog(file).append(event)


def take_from_others(folder: PortfolioFolder, run: RunFolder) -> None:
    """Take the files of a ticker-day out of the hands of a worker that had it; raises OSError."""
    for path in (folder.log_of_worker(run.path.name), run.trace):
        copy = path.with_name(f".{path.name}.copy")
        try:
            shutil.copy2(path, copy)  # with the time of its last change, the last sign of life
        except FileNotFoundError:
            continue
        os.replace(copy, path)
