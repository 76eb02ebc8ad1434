"""The log of decisions: a file of JSON lines a symbol, beside the folder of the runs.

It is an index over the runs' folders. One that is lost or damaged is made again from their
`decision.json`; lines of runs whose folders are gone stay as long as they can be read. Processes
that write at once wait for each other. Everything here blocks, and raises OSError.
"""

import datetime
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, flock
from pathlib import Path
from typing import Self

import msgspec
from pydantic import ValidationError

from trading_graph.graph.decisions import Decision
from trading_graph.graph.past_decisions import LoggedDecision
from trading_graph.service.run.folder import DECISION
from trading_graph.service.settings import Settings

_DECODER = msgspec.json.Decoder(LoggedDecision)


class DecisionLog:
    """The decision logs in a folder, and the runs of which they are an index."""

    def __init__(self, folder: Path, runs: Path) -> None:
        self.folder = folder
        self._runs = runs

    @classmethod
    def of(cls, settings: Settings, runs: Path) -> Self:
        """The log of the runs in a folder."""
        return cls(settings.decisions or runs.parent / "decisions", runs)

    def path(self, symbol: str) -> Path:
        """The log of a symbol as it is listed."""
        return self.folder / f"{symbol}.jsonl"

    def append(self, decision: Decision) -> None:
        """Add the decision of a run whose folder has it."""
        path = self.path(decision.symbol)
        with self._lock():
            if not path.exists():
                # Older runs would be missing from a log that began with this one.
                self._write(decision.symbol, self._in_folders(decision.symbol))
                return
            line = _line(LoggedDecision.from_decision(decision, _now()))
            with path.open("a+b", buffering=0) as file:
                # A process that was killed may have left a part of a line.
                file.write(line if _ends_a_line(file.fileno()) else b"\n" + line)

    def read(self, symbol: str) -> list[LoggedDecision]:
        """The decisions on a symbol, each run once, in the order in which they were made."""
        if not self.path(symbol).exists() and not self._runs.is_dir():
            return []
        with self._lock():
            decisions, is_whole = self._lines(symbol)
            if is_whole:
                return _in_order(decisions)
            return self._write(symbol, [*self._in_folders(symbol), *decisions])

    def _lines(self, symbol: str) -> tuple[list[LoggedDecision], bool]:
        """The decisions in the lines of a log, and whether all of it could be read."""
        try:
            content = self.path(symbol).read_bytes()
        except FileNotFoundError:
            return [], False
        decisions, is_whole = [], True
        for line in filter(None, content.split(b"\n")):
            try:
                decisions.append(_DECODER.decode(line))
            except (msgspec.DecodeError, RecursionError, UnicodeError):
                is_whole = False
        return decisions, is_whole

    def _in_folders(self, symbol: str) -> Iterator[LoggedDecision]:
        """The decisions on a symbol in the folders of the runs."""
        # Reading a decision takes longer than to see that it is about another symbol.
        about = f'"symbol": {msgspec.json.encode(symbol).decode()}'.encode()
        for path in self._runs.glob(f"*/{DECISION}"):
            try:
                content = path.read_bytes()
                if about not in content:
                    continue
                decision = Decision.model_validate_json(content)
                if decision.symbol == symbol:
                    decided = datetime.datetime.fromtimestamp(path.stat().st_mtime, datetime.UTC)
                    yield LoggedDecision.from_decision(decision, decided)
            except (FileNotFoundError, ValidationError):  # deleted meanwhile, or of another form
                continue

    def _write(self, symbol: str, decisions: Iterable[LoggedDecision]) -> list[LoggedDecision]:
        """Write the log of a symbol, whole or not at all."""
        path = self.path(symbol)
        in_order = _in_order(decisions)
        if not in_order:
            return []
        partial = path.with_name(f".{path.name}.partial")
        try:
            partial.write_bytes(b"".join(map(_line, in_order)))
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
        return in_order

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Keep other processes and threads from writing; the system releases a dead one's lock."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".lock").open("ab") as file:
            flock(file, LOCK_EX)
            yield


def _in_order(decisions: Iterable[LoggedDecision]) -> list[LoggedDecision]:
    """Each run once, by its last line: a run that is resumed at its very end is logged twice."""
    by_run = {each.run_id: each for each in decisions}
    return sorted(by_run.values(), key=lambda each: each.decided)


def _line(decision: LoggedDecision) -> bytes:
    return msgspec.json.encode(decision) + b"\n"


def _ends_a_line(file: int) -> bool:
    size = os.fstat(file).st_size
    return not size or os.pread(file, 1, size - 1) == b"\n"


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
