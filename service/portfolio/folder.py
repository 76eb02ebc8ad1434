"""The folder of a portfolio: its order, what happened so far, and the lock of who works on it.

    portfolio.json   the order, written whole before anything starts
    progress.jsonl   what happened, a line each, appended
    progress/        the same of one ticker-day a file, where workers share the portfolio
    queue            made where workers do: a database has its ticker-days in line
    worker.lock      held by the process that works on the portfolio; the system releases it
    cancel           made by whoever wants that process to stop for good
    tries/           folders of runs that failed and were begun anew

What a decision is stands in the folder of its run. All functions here block.
"""

import contextlib
import errno
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, flock
from io import FileIO
from pathlib import Path

import msgspec

from trading_graph.graph.decisions import Decision
from trading_graph.otel.files.run_log import mend
from trading_graph.service.errors import PortfolioError
from trading_graph.service.portfolio.engine import PortfolioStatus
from trading_graph.service.portfolio.killed_try import end_of_killed
from trading_graph.service.portfolio.order import PortfolioOrder
from trading_graph.service.portfolio.progress import (
    ProgressEvent,
    TickerDayProgress,
    progress_of,
)
from trading_graph.service.portfolio.ticker_day import (
    TickerDay,
    TickerDayResult,
    TickerDayState,
)
from trading_graph.service.run.folder import RunFolder, replace_text

ORDER, PROGRESS, LOCK, CANCEL, TRIES, QUEUE, OF_WORKERS = (
    "portfolio.json",
    "progress.jsonl",
    "worker.lock",
    "cancel",
    "tries",
    "queue",
    "progress",
)
_SHORTEST_ID = 4
_LOOKS, _LOOK_S = 5, 0.02
_DECODER = msgspec.json.Decoder(ProgressEvent)


class PortfolioFolder:
    """The folder of one portfolio, below the folder of all portfolios, and its files."""

    def __init__(self, portfolios: Path, portfolio_id: str) -> None:
        self.path = portfolios / portfolio_id
        self.order_file = self.path / ORDER
        self.progress_file = self.path / PROGRESS

    @property
    def exists(self) -> bool:
        """Whether the portfolio has an order."""
        return self.order_file.is_file()

    @property
    def busy_sentence(self) -> str:
        """What is said to a second process that wants to work on the portfolio."""
        return (
            f"Another process works on the portfolio {self.path.name}; look at it with: "
            f"trading-graph portfolio status {self.path.name}"
        )

    def write_order(self, order: PortfolioOrder) -> None:
        """Write the order; raises OSError."""
        self.path.mkdir(parents=True, exist_ok=True)
        replace_text(self.order_file, order.model_dump_json(indent=2) + "\n")

    def submit(self, order: PortfolioOrder) -> PortfolioStatus:
        """Write an order; one that is there already is only brought up to its new limits.

        Raises PortfolioError where a process works on it, or OSError.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with self.work():
            now = order
            if self.exists:
                now = self.order().model_copy(update={"limits": order.limits})
            self.write_order(now)
        return self.status()

    def order(self) -> PortfolioOrder:
        """The order; raises PortfolioError."""
        try:
            text = self.order_file.read_text("utf-8")
        except FileNotFoundError:
            raise PortfolioError(f"There is no portfolio in {self.path}.") from None
        return PortfolioOrder.parse(text, str(self.order_file))

    @property
    def is_queued(self) -> bool:
        """Whether workers that share a database have the portfolio.

        They never have it again once one process has gone on with it, which writes its own record.
        """
        return self.queue_file.exists() and not self._is_of_one_process

    @property
    def _is_of_one_process(self) -> bool:
        try:
            return self.progress_file.stat().st_size > 0
        except FileNotFoundError:
            return False

    @property
    def queue_file(self) -> Path:
        """The file that says which database has the portfolio's ticker-days in line."""
        return self.path / QUEUE

    def exists_in_line(self) -> bool:
        """Whether the portfolio is here, and workers have it."""
        return self.exists and self.is_queued

    def mark_queued(self, text: str) -> None:
        """Leave the portfolio to workers that share a database; raises OSError."""
        (self.path / OF_WORKERS).mkdir(exist_ok=True)
        replace_text(self.queue_file, text)

    def log_of_worker(self, run_id: str) -> Path:
        """The file in which the worker that has a ticker-day says what happened to it."""
        return self.path / OF_WORKERS / f"{run_id}.jsonl"

    def progress(self, order: PortfolioOrder) -> dict[str, TickerDayProgress]:
        """How far each ticker-day is, by run id; raises PortfolioError."""
        return progress_of(order.ticker_days, self._events(order))

    def progress_of_one(self, ticker_day: TickerDay) -> TickerDayProgress:
        """How far a ticker-day is that workers were given; raises PortfolioError."""
        events = _read(self.log_of_worker(ticker_day.run_id))
        return progress_of([ticker_day], events)[ticker_day.run_id]

    def events_of_one(self, ticker_day: TickerDay) -> list[ProgressEvent]:
        """What happened to a ticker-day that workers were given; raises PortfolioError."""
        return list(_read(self.log_of_worker(ticker_day.run_id)))

    def status(self) -> PortfolioStatus:
        """How far the portfolio is; raises PortfolioError.

        What was under way when its process died is as its run's trace tells.
        """
        is_live, order = self.is_locked(), self.order()
        progress = self.progress(order)
        if self.is_queued:  # whether a worker is there, the database knows
            is_live = is_live or not all(each.is_final for each in progress.values())
        ticker_days = tuple(
            each.after(end_of_killed(RunFolder(order.out, run_id), each))
            if each.state is TickerDayState.RUNNING and not is_live
            else each
            for run_id, each in progress.items()
        )
        return PortfolioStatus(order, self.path, is_live, ticker_days)

    def _events(self, order: PortfolioOrder) -> Iterator[ProgressEvent]:
        if self.queue_file.exists():
            for each in order.ticker_days:
                yield from _read(self.log_of_worker(each.run_id))
        yield from _read(self.progress_file)  # of a process that went on alone

    @contextlib.contextmanager
    def work(self) -> Iterator["ProgressLog"]:
        """Hold the lock for the duration of the block, and append what happens in it.

        Raises PortfolioError where another process holds the lock, or OSError.
        """
        with FileIO(self.path / LOCK, "ab") as lock:
            if not _take(lock):
                raise PortfolioError(self.busy_sentence)
            self._assert_left_by_workers()
            with FileIO(self.progress_file, "ab+") as file:
                mend(file)
                yield ProgressLog(file)

    def assert_free(self) -> None:
        """Raise PortfolioError where another process, or workers, have the portfolio."""
        if self.is_locked():
            raise PortfolioError(self.busy_sentence)
        self._assert_left_by_workers()

    def _assert_left_by_workers(self) -> None:
        if self.is_queued and not all(
            each.is_final for each in self.progress(self.order()).values()
        ):
            raise PortfolioError(
                f"The portfolio {self.path.name} is in the line of trading-graph worker; look "
                f"at it with: trading-graph portfolio status {self.path.name}"
            )

    def is_locked(self) -> bool:
        """Whether a process works on the portfolio."""
        try:
            with (self.path / LOCK).open("rb") as lock:
                flock(lock, LOCK_SH | LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def cancel_is_requested(self) -> bool:
        """Whether somebody wants the work to stop for good."""
        return (self.path / CANCEL).exists()

    def request_cancel(self) -> None:
        """Ask the process that works on the portfolio to stop for good; raises OSError."""
        (self.path / CANCEL).touch()

    def forget_cancel(self) -> None:
        """Take that request back."""
        (self.path / CANCEL).unlink(missing_ok=True)

    def set_aside(self, run: RunFolder) -> None:
        """Move what a failed run left out of the way of its next try; raises OSError."""
        tries = self.path / TRIES
        tries.mkdir(exist_ok=True)
        numbers = (number for number in range(1, 10_000))
        target = next(
            path for number in numbers if not (path := tries / f"{run.path.name}-{number}").exists()
        )
        shutil.move(run.path, target)

    def results(
        self, order: PortfolioOrder, progress: Sequence[TickerDayProgress]
    ) -> list[TickerDayResult]:
        """What each ticker-day came to; a decision is read from the folder of its run."""
        return [self._result(order, each) for each in progress]

    def _result(self, order: PortfolioOrder, progress: TickerDayProgress) -> TickerDayResult:
        ticker_day = progress.ticker_day
        if progress.state is not TickerDayState.DONE:
            return TickerDayResult(ticker_day, progress.state, reason=progress.reason)
        file = RunFolder(order.out, ticker_day.run_id).decision
        try:
            decision = Decision.model_validate_json(file.read_text("utf-8"))
        except (OSError, ValueError):
            reason = f"{file} is gone or cannot be read; begin the portfolio anew with --again."
            return TickerDayResult(ticker_day, TickerDayState.FAILED, reason=reason)
        return TickerDayResult(ticker_day, TickerDayState.DONE, decision)


def _read(log: Path) -> Iterator[ProgressEvent]:
    """The events in a file; raises PortfolioError."""
    try:
        content = log.read_bytes()
    except FileNotFoundError:
        return
    for number, line in enumerate(content.splitlines(keepends=True), 1):
        if not line.endswith(b"\n"):
            return  # a process was killed in the middle of it
        try:
            yield _DECODER.decode(line)
        except msgspec.DecodeError as error:
            raise PortfolioError(
                f"Line {number} of {log} cannot be read: {error}; mend or delete that line."
            ) from None


def _take(lock: FileIO) -> bool:
    """Take the lock; who only looks whether it is held holds it for a moment."""
    for _ in range(_LOOKS):
        try:
            flock(lock, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            time.sleep(_LOOK_S)
        else:
            return True
    return False


class ProgressLog:
    """Appends events; a line is written whole, or a reader ignores it."""

    def __init__(self, file: FileIO) -> None:
        self._file = file

    def append(self, *events: ProgressEvent) -> None:
        """Write events; raises OSError."""
        if events:
            lines = b"".join(msgspec.json.encode(event) + b"\n" for event in events)
            if self._file.write(lines) != len(lines):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._file.name))


def choose_order(
    make: Callable[[int], PortfolioOrder], portfolios: Path, *, again: bool
) -> PortfolioOrder:
    """The order of the newest repetition of a portfolio, or with `again` that of the next one.

    `make` gives the order of a repetition by its number.
    """
    number, newest = 0, make(0)
    order = newest
    while PortfolioFolder(portfolios, order.id).exists:
        newest, number = order, number + 1
        order = make(number)
    return order if again else newest


def portfolio_folders(portfolios: Path) -> list[PortfolioFolder]:
    """All portfolios, the one that was worked on last at the end."""
    folders = [
        PortfolioFolder(portfolios, path.parent.name) for path in portfolios.glob(f"*/{ORDER}")
    ]
    return sorted(folders, key=lambda each: (_changed_ns(each), each.path.name))


def _changed_ns(folder: PortfolioFolder) -> int:
    files = (folder.order_file, folder.progress_file, folder.path / OF_WORKERS)
    return max(file.stat().st_mtime_ns for file in files if file.exists())


def find_portfolio(word: str, portfolios: Path) -> PortfolioFolder:
    """The portfolio that an id, the beginning of one, or `last` names; raises PortfolioError."""
    folders = portfolio_folders(portfolios)
    if not folders:
        raise PortfolioError(
            f"There is no portfolio in {portfolios} yet; begin one with: trading-graph portfolio "
            "run AAPL NVDA"
        )
    if word == "last":
        return folders[-1]
    id = word.replace("-", "").lower()
    matches = [each for each in folders if each.path.name.startswith(id)]
    if len(id) < _SHORTEST_ID or not matches:
        raise PortfolioError(
            f"{word} is no portfolio of {portfolios}; name one by its id, or the newest as `last`."
        )
    if len(matches) > 1:
        raise PortfolioError(f"{word} begins {len(matches)} ids of {portfolios}; write more of it.")
    return matches[0]
