"""The store of the service: runs, verdicts and watches.

- `records`: what is stored
- `schema`: the tables, and their version
- `database`, `sqlite_file`: where the tables are, and the threads that use them
- `store`: the store itself
- `run_files`: the records of runs, from which a lost store is built again
- `work`: runs and traces as one list
- `retention`: what is deleted, and when
"""

from trading_graph.service.store.records import (
    RunState,
    StoredRun,
    StoredVerdict,
    StoredWatch,
    now,
)
from trading_graph.service.store.retention import Ended, Retention, forget, forget_old
from trading_graph.service.store.run_files import RunFiles, restore_runs
from trading_graph.service.store.store import Store, open_store
from trading_graph.service.store.work import OVER, VerdictFilter, Work, WorkFilter, WorkPage

__all__ = [
    "OVER",
    "Ended",
    "Retention",
    "RunFiles",
    "RunState",
    "Store",
    "StoredRun",
    "StoredVerdict",
    "StoredWatch",
    "VerdictFilter",
    "Work",
    "WorkFilter",
    "WorkPage",
    "forget",
    "forget_old",
    "now",
    "open_store",
    "restore_runs",
]
