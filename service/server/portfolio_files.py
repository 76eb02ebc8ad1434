"""What the folders of portfolios say: which there are, how far they are, and whose a run is.

Portfolios that somebody began at a terminal are in the same folder, and are read the same way. What
a file says is kept as long as it does not change: a page asks every other second.
"""

import contextlib
import re
import shutil
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Generic, TypeVar

import msgspec

from trading_graph.service.errors import PortfolioError
from trading_graph.service.portfolio.engine import PortfolioState, PortfolioStatus
from trading_graph.service.portfolio.folder import ORDER, PortfolioFolder
from trading_graph.service.portfolio.order import PortfolioOrder
from trading_graph.service.portfolio.progress import TickerDayProgress
from trading_graph.service.portfolio.ticker_day import TickerDayResult, TickerDayState
from trading_graph.service.server.openapi import ID

_K = TypeVar("_K")
_V = TypeVar("_V")
_MOST_TICKER_DAYS = 50_000
_MOST_DECISIONS = 2_000
_MOST_RUNS = 10_000
_MOST_PORTFOLIOS = 10_000
_ENDED = (PortfolioState.OVER, PortfolioState.CANCELLED)

ENTRY = "service.json"
"""What a service knows of a portfolio that it was asked for, in its folder."""


class _Recent(Generic[_K, _V]):
    """The values that were used last, as many as weigh no more than `most`; for any thread."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._weight = 0
        self._values: OrderedDict[_K, tuple[_V, int]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: _K) -> _V | None:
        with self._lock:
            if key not in self._values:
                return None
            self._values.move_to_end(key)
            return self._values[key][0]

    def put(self, key: _K, value: _V, weight: int = 1) -> None:
        with self._lock:
            _, before = self._values.pop(key, (None, 0))
            self._values[key] = (value, weight)
            self._weight += weight - before
            while self._weight > self._most and len(self._values) > 1:
                _, (_, gone) = self._values.popitem(last=False)
                self._weight -= gone


class _Created(msgspec.Struct):
    """When a portfolio was begun."""

    created: str


_CREATED = msgspec.json.Decoder(_Created)
_Signature = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class _Reading:
    """How far a portfolio was when its files looked so."""

    signature: _Signature
    status: PortfolioStatus


@dataclass(frozen=True, slots=True)
class RunOfPortfolio:
    """A run that stands for a ticker-day, and its portfolio."""

    status: PortfolioStatus
    progress: TickerDayProgress
    result: TickerDayResult


@dataclass(frozen=True, slots=True)
class EndedPortfolio:
    """A portfolio that is over or cancelled since a time, in epoch seconds, and its folders."""

    portfolio_id: str
    at: float
    folders: Sequence[Path]


class PortfolioFiles:
    """Reads the folder of portfolios; every method blocks."""

    def __init__(self, portfolios: Path, out: Path) -> None:
        self.portfolios = portfolios
        self._out = out
        self._created: _Recent[str, str] = _Recent(_MOST_PORTFOLIOS)
        self._readings: _Recent[str, _Reading] = _Recent(_MOST_TICKER_DAYS)
        self._results: _Recent[str, TickerDayResult] = _Recent(_MOST_DECISIONS)
        self._owners: _Recent[str, str] = _Recent(_MOST_RUNS)

    def folder(self, portfolio_id: str) -> PortfolioFolder:
        """The folder of a portfolio."""
        return PortfolioFolder(self.portfolios, portfolio_id)

    def ids(self) -> list[str]:
        """The ids of all portfolios, the newest first; those that cannot be read come last."""
        ids = [
            path.parent.name
            for path in self.portfolios.glob(f"*/{ORDER}")
            if re.fullmatch(ID, path.parent.name)
        ]
        return sorted(ids, key=lambda each: (self._created_at(each), each), reverse=True)

    def _created_at(self, portfolio_id: str) -> str:
        created = self._created.get(portfolio_id)
        if created is None:
            try:
                content = self.folder(portfolio_id).order_file.read_bytes()
                created = _CREATED.decode(content).created
            except (OSError, msgspec.DecodeError):
                return ""
            self._created.put(portfolio_id, created)
        return created

    def status(self, portfolio_id: str) -> PortfolioStatus | None:
        """How far a portfolio is, None where there is none; raises PortfolioError or OSError."""
        folder = self.folder(portfolio_id)
        if not folder.exists:
            return None
        signature = _signature(folder)
        reading = self._readings.get(portfolio_id)
        if reading is None or reading.signature != signature:
            status = folder.status()
            weight = len(status.ticker_days)
            self._readings.put(portfolio_id, _Reading(signature, status), weight)
            return status
        status = reading.status
        return PortfolioStatus(status.order, status.folder, folder.is_locked(), status.ticker_days)

    def ended(self, portfolio_ids: Sequence[str]) -> list[EndedPortfolio]:
        """Those of some portfolios that are over or cancelled; raises OSError."""
        found = []
        for portfolio_id in portfolio_ids:
            try:
                status = self.status(portfolio_id)
            except PortfolioError:  # it cannot be read, and is left to whoever mends it
                continue
            if status is None or status.state not in _ENDED:
                continue
            ends = [each.ended for each in status.ticker_days if each.ended is not None]
            at = max(ends, default=status.order.created).timestamp()
            folders = [*_run_folders(status.order), status.folder]
            found.append(EndedPortfolio(portfolio_id, at, folders))
        return found

    def delete(self, portfolio_id: str) -> None:
        """Delete a portfolio with its runs.

        Raises PortfolioError where another process works on it, or OSError.
        """
        folder = self.folder(portfolio_id)
        with folder.work():
            for run in _run_folders(folder.order()):
                shutil.rmtree(run, ignore_errors=True)
            # While these two are there, it is one that is still to be deleted.
            last = (folder.order_file, folder.path / ENTRY)
            for path in folder.path.iterdir():
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                elif path not in last:
                    path.unlink()
            for path in last:
                path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # somebody else has put something there
            folder.path.rmdir()

    def results(
        self, status: PortfolioStatus, progress: Sequence[TickerDayProgress]
    ) -> list[TickerDayResult]:
        """What ticker-days of a portfolio came to."""
        return [self._result(status, each) for each in progress]

    def _result(self, status: PortfolioStatus, progress: TickerDayProgress) -> TickerDayResult:
        run_id = progress.ticker_day.run_id
        if progress.state is TickerDayState.DONE:
            result = self._results.get(run_id)
            if result is not None:
                return result
        folder = self.folder(status.order.id)
        (result,) = folder.results(status.order, [progress])
        if result.decision is not None:
            self._results.put(run_id, result)
        return result

    def has_begun(self, run_id: str) -> bool:
        """Whether a run has a folder: one that is to be begun anew has none meanwhile."""
        return (self._out / run_id).is_dir()

    def of_run(self, run_id: str) -> RunOfPortfolio | None:
        """The portfolio of a run that has begun in the folder of runs; None where it has none."""
        if not self.has_begun(run_id):
            return None
        owner = self._owners.get(run_id)
        for portfolio_id in [owner] if owner else self.ids():
            if not owner and not self._names(portfolio_id, run_id):
                continue
            try:
                status = self.status(portfolio_id)
            except (PortfolioError, OSError):
                continue
            for each in status.ticker_days if status else ():
                if status and each.ticker_day.run_id == run_id:
                    self._owners.put(run_id, portfolio_id)
                    return RunOfPortfolio(status, each, self._result(status, each))
        return None

    def _names(self, portfolio_id: str, run_id: str) -> bool:
        try:
            return run_id.encode() in self.folder(portfolio_id).order_file.read_bytes()
        except OSError:
            return False


def _run_folders(order: PortfolioOrder) -> list[Path]:
    return [order.out / each.run_id for each in order.ticker_days]


def _signature(folder: PortfolioFolder) -> _Signature:
    signature = []
    for file in (folder.order_file, folder.progress_file):
        try:
            stat = file.stat()
        except FileNotFoundError:
            signature.append((0, 0))
        else:
            signature.append((stat.st_mtime_ns, stat.st_size))
    return tuple(signature)
