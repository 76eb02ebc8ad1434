"""What became of a try whose process was killed, from what its run has recorded until then."""

import time

from trading_graph.service.portfolio.progress import Happening, ProgressEvent, TickerDayProgress
from trading_graph.service.portfolio.run_tally import run_record
from trading_graph.service.run.folder import FolderState, RunFolder, folder_state


def end_of_killed(run: RunFolder, progress: TickerDayProgress) -> ProgressEvent:
    """The event that ends the try: its run may have come to its end just before. Blocks."""
    record = run_record(run.path, progress.began)
    began = 0.0 if progress.began is None else progress.began.timestamp()
    try:
        seconds = max(0.0, run.trace.stat().st_mtime - began)  # its last sign of life
    except FileNotFoundError:
        seconds = 0.0
    is_done = run.decision.exists() and folder_state(run.path) is FolderState.OVER
    return ProgressEvent(
        time.time(),
        run.path.name,
        Happening.DONE if is_done else Happening.KILLED,
        agents=record.agents,
        seconds=seconds,
        usage=record.usage,
    )
