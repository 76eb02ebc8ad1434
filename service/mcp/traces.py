"""The traces that a client may name: files of this folder, ids of runs and traces, and `last`.

A file is read and judged once, as long as it stays the same. Everything here blocks, and may be
called from several threads.
"""

import re
import threading
from collections import OrderedDict
from collections.abc import Iterator, Set
from datetime import UTC, datetime
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec

from trading_graph.graph.gate_loader import default_gate
from trading_graph.otel.diagnosis import Diagnosis, diagnose
from trading_graph.otel.errors import TraceError
from trading_graph.otel.gc_pause import pause_collection
from trading_graph.otel.trace import SpanTable
from trading_graph.otel.verdict import Verdict, judge
from trading_graph.service.commands.diagnose import with_places, without_verdict
from trading_graph.service.run.folder import RECEIVED, TRACE
from trading_graph.service.settings import Settings
from trading_graph.service.trace_source import find_trace, newest_traces, trace_file

MOST_SPANS = 300_000
"""How many spans are kept of the files that were read last; the newest file always is."""

_SUFFIXES = frozenset({".json", ".jsonl", ".ndjson", ".pb", ".binpb", ".gz", ".zst", ".zip"})
_PLAIN = frozenset({".json", ".jsonl", ".ndjson"})
_TELLING = re.compile(
    rb'"(resourceSpans|spanId|span_id|spanID|traceId|trace_id|traceID|dotted_order|observations)"'
)
_TELLING_NAME = re.compile(r"trace|span|otlp", re.IGNORECASE)
_SKIPPED = frozenset({"node_modules", "site-packages", "__pycache__"})
_HEAD_BYTES = 4096
_DEEPEST = 4
_MOST_ENTRIES = 20_000


class ReadTrace:
    """A trace, and what is made of it at its first use; `id` names one of several runs in it."""

    def __init__(self, word: str, table: SpanTable, id: str | None) -> None:
        self.word: Final = word
        self.table: Final = table
        self._id = id
        self._lock = threading.RLock()
        self._diagnoses: dict[float | None, Diagnosis | Verdict] = {}

    @cached_property
    def _verdict(self) -> Verdict:
        return judge(self.table, default_gate(self.table), self._id)

    @property
    def verdict(self) -> Verdict:
        """The verdict of the default gate."""
        with self._lock:
            return self._verdict

    def diagnosis(self, target_s: float | None = None) -> Diagnosis:
        """The diagnosis, with the time that the run may take; raises TraceError."""
        made = self._diagnosis(target_s)
        if not isinstance(made, Diagnosis):
            raise TraceError(without_verdict(made))
        return made

    def diagnosis_or_none(self) -> Diagnosis | None:
        """The diagnosis, or None where the trace is not complete."""
        made = self._diagnosis(None)
        return made if isinstance(made, Diagnosis) else None

    def _diagnosis(self, target_s: float | None) -> Diagnosis | Verdict:
        with self._lock:
            if target_s not in self._diagnoses:
                made = diagnose(self.table, default_gate(self.table), target_s, self._id)
                if isinstance(made, Diagnosis):
                    made = with_places(made)
                self._diagnoses[target_s] = made
            return self._diagnoses[target_s]


class TraceEntry(msgspec.Struct, frozen=True):
    """A trace that can be named: by this word, last changed then; None where it is no file."""

    word: str
    kind: str
    changed: datetime
    bytes: int | None = None


_Key = tuple[Path, int, int, str | None]


class Traces:
    """The traces of the current folder, and those of its runs, portfolios and Jaeger.

    `source` is where ids are looked for, as `--from` says.
    """

    def __init__(self, settings: Settings, source: str | None) -> None:
        self._settings = settings
        self._source = source
        self._received = settings.out / RECEIVED
        self._roots = [Path(each).resolve() for each in (".", settings.out, settings.portfolios)]
        self._lock = threading.Lock()
        self._read: OrderedDict[_Key, ReadTrace] = OrderedDict()
        self._reading: dict[_Key, threading.Lock] = {}

    def read(self, word: str, id: str | None = None) -> ReadTrace:
        """The trace that a word names, as on the command line; raises TraceError."""
        self._check(word)
        path = self._file(word)
        if path is None:
            return ReadTrace(word, find_trace((word,), self._source, id), id)
        state = path.stat()
        key = (path.resolve(), state.st_mtime_ns, state.st_size, id)
        with self._lock:
            if key in self._read:
                self._read.move_to_end(key)
                return self._read[key]
            one_at_a_time = self._reading.setdefault(key, threading.Lock())
        with one_at_a_time:
            with self._lock:
                if key in self._read:
                    return self._read[key]
            try:
                with pause_collection():
                    made = ReadTrace(word, find_trace((word,), self._source, id), id)
            finally:
                with self._lock:
                    self._reading.pop(key, None)
            self._keep(key, made)
        return made

    def _keep(self, key: _Key, made: ReadTrace) -> None:
        with self._lock:
            for old in [each for each in self._read if each[0] == key[0] and each[3] == key[3]]:
                del self._read[old]
            self._read[key] = made
            while len(self._read) > 1 and sum(map(_size, self._read.values())) > MOST_SPANS:
                self._read.popitem(last=False)

    def _check(self, word: str) -> None:
        """Refuse what is no trace of these folders; raises TraceError."""
        if word == "-":
            raise TraceError(
                "Standard input is the client's own; name a file, the id of a run, or `last`."
            )
        if not self._is_inside(word):
            raise TraceError(
                f"{word} is outside of {self._roots[0]}; start `trading-graph mcp` with --folder "
                "to read traces elsewhere."
            )

    def _is_inside(self, word: str) -> bool:
        """Whether a word is no path, or one in these folders when its links are followed."""
        try:
            path = Path(word)
            if len(path.parts) == 1 and not path.is_file():
                return True
            return any(path.resolve().is_relative_to(root) for root in self._roots)
        except (OSError, ValueError):  # too long, or a null character
            return False

    def _file(self, word: str) -> Path | None:
        """The file that a word names; None where a backend has to be asked."""
        if self._source not in (None, "file"):
            return None
        try:
            return trace_file(word, self._settings)
        except TraceError:
            # `find_trace` has the sentence, or asks Jaeger.
            return None

    def listed(self, most: int) -> tuple[list[TraceEntry], int]:
        """The traces that changed last, the newest first, and how many there are.

        Raises TraceError where a backend has to be asked and does not answer.
        """
        if self._source not in (None, "file"):
            found = newest_traces(self._settings, self._source, most)
            entries = [
                TraceEntry(
                    each.trace_id,
                    str(self._source),
                    datetime.fromtimestamp(int(each.start[0]) / 1e9, UTC),
                )
                for each in found
            ]
            return entries, len(entries)
        entries = [*self._recorded(), *self._files()]
        entries.sort(key=lambda each: each.changed, reverse=True)
        return entries[:most], len(entries)

    def _recorded(self) -> Iterator[TraceEntry]:
        for kind, folder in (
            ("run", self._settings.out),
            ("portfolio", self._settings.portfolios),
        ):
            for path in folder.glob(f"*/{TRACE}"):
                yield _entry(path.parent.name, kind, path)
        for path in self._received.glob("*/*.jsonl"):
            yield _entry(path.stem, "received", path)

    def _files(self) -> Iterator[TraceEntry]:
        """The files of the current folder and below that look like traces."""
        recorded = self._roots[1:]
        # Received traces are listed by their ids, and a spool holds parts of traces.
        skipped = {each.resolve() for each in (self._received, self._settings.spool)}
        for path in islice(_walk(Path(), _DEEPEST, skipped), _MOST_ENTRIES):
            # What is in the folder of a run is listed by the run's id, or is no trace.
            of_run = path.resolve().parent.parent in recorded
            if not of_run and _looks_like_trace(path):
                yield _entry(str(path), "file", path)


def _size(trace: ReadTrace) -> int:
    return len(trace.table)


def _entry(word: str, kind: str, path: Path) -> TraceEntry:
    state = path.stat()
    changed = datetime.fromtimestamp(state.st_mtime, UTC)
    return TraceEntry(word, kind, changed, state.st_size)


def _walk(folder: Path, deepest: int, skipped: Set[Path]) -> Iterator[Path]:
    """The files below a folder, without hidden folders, links, installed packages and `skipped`."""
    try:
        paths = sorted(folder.iterdir())
    except OSError:
        return
    for path in paths:
        if path.name.startswith(".") or path.name in _SKIPPED or path.is_symlink():
            continue
        if path.is_dir():
            if deepest and path.resolve() not in skipped:
                yield from _walk(path, deepest - 1, skipped)
        elif path.is_file():
            yield path


def _looks_like_trace(path: Path) -> bool:
    if path.suffix not in _SUFFIXES:
        return False
    if path.suffix not in _PLAIN:
        return _TELLING_NAME.search(path.name) is not None
    try:
        with path.open("rb") as file:
            return _TELLING.search(file.read(_HEAD_BYTES)) is not None
    except OSError:
        return False
