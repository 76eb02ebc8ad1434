"""The service's runs as files, one a run: the record, over which the store is an index.

A run's file is written whole or not at all, before the store's row, and deleted with the run. What
a lost or damaged store lacks is read from them when the service starts.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import msgspec

from trading_graph.service.run.folder import replace_text
from trading_graph.service.store.records import RunState, StoredRun, decode_document, encode
from trading_graph.service.store.store import Store

FOLDER = "service"
"""The name of their folder, beside those of the runs."""


class RunFiles:
    """The files of one service. Blocks; raises OSError."""

    def __init__(self, out: Path) -> None:
        self._folder = out / FOLDER

    def write(self, run: StoredRun) -> None:
        """Write the record of a run."""
        self._folder.mkdir(parents=True, exist_ok=True)
        replace_text(self._path(run.id), msgspec.json.encode(encode(run)).decode())

    def delete(self, run_id: str) -> None:
        """Delete the record of a run."""
        self._path(run_id).unlink(missing_ok=True)

    def read(self, known: Mapping[str, RunState] = MappingProxyType({})) -> Iterator[StoredRun]:
        """Read the records that can be read, but for those of runs that are known to be over."""
        for path in sorted(self._folder.glob("*.json")):
            if path.stem in known and known[path.stem].final:
                continue
            try:
                yield decode_document(msgspec.json.decode(path.read_bytes()))
            except (msgspec.MsgspecError, ValueError, TypeError):
                continue  # of a newer release, or of nobody's

    def _path(self, run_id: str) -> Path:
        return self._folder / f"{run_id}.json"


async def restore_runs(store: Store, records: list[StoredRun]) -> list[StoredRun]:
    """Bring the store up to the records of runs; returns the runs that it lacked.

    A run that is over in its record is over, whatever an older store says. Raises
    StoreUnavailableError.
    """
    missing = []
    for record in records:
        run = await store.run(record.id)
        if run is None:
            await store.add(record)
            missing.append(record)
        elif record.state.final and not run.state.final:
            await store.change(record.id, **record.columns)
    return missing
