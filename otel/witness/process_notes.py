"""What a recorded process says of itself to `trading-graph record`, beside its spans.

A file of lines, a word that says what it is and then more words, with tabs between. Each line is
one write, so that the notes are readable whenever the process dies. `bootstrap/sitecustomize.py`
writes the first ones, before anything of ours is known to be importable.

Each recorded process imports this at its start, and so it imports next to nothing: the modules of
`start.py` do without enum, re, typing and pathlib.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SUFFIX = ".notes"
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT
_OWN_ONLY = 0o600


class Note:
    """What a line says."""

    PYTHON = "python"
    """A Python has started: its process id, its executable, its version."""
    CANNOT_IMPORT = "cannot import"
    """It cannot import the witness: the name of the module that is missing, and the error."""
    WATCHED = "watched"
    """The witness waits for its spans."""
    IMPORTED = "imported"
    """The program has imported a library that makes spans: its import name."""
    INSTRUMENTED = "instrumented"
    """An instrumentor was loaded: its name, its distribution."""
    LEFT_OUT = "left out"
    """An instrumentor was not loaded on purpose: its name, its distribution, why."""
    NOT_INSTRUMENTED = "not instrumented"
    """An instrumentor could not be loaded: its name, its distribution, why."""
    FAULT = "fault"
    """Something of ours failed: what, and the error."""


class ProcessNotes:
    """Appends notes to a file, or to none; nothing is ever raised."""

    __slots__ = ("_path",)

    def __init__(self, path: str | None) -> None:
        self._path = path

    def fault(self, what: str, error: Exception) -> None:
        """Note that something of ours failed."""
        self.add(Note.FAULT, what, f"{type(error).__name__}: {error}")

    def add(self, note: str, *words: object) -> None:
        """Append a line."""
        if self._path is None:
            return
        try:
            descriptor = os.open(self._path, _FLAGS, _OWN_ONLY)
            try:
                line = "\t".join([note, *map(_plain, words)]) + "\n"
                os.write(descriptor, line.encode(errors="replace"))
            finally:
                os.close(descriptor)
        except Exception:
            pass  # The folder may be gone: then nobody reads the notes any more.


def _plain(word: object) -> str:
    return " ".join(str(word).split())


class NotedProcess:
    """The notes that one process has left."""

    __slots__ = ("_lines",)

    def __init__(self, lines: Mapping[str, Sequence[tuple[str, ...]]]) -> None:
        self._lines = lines

    def said(self, note: str) -> Sequence[tuple[str, ...]]:
        """The words of each such line."""
        return self._lines.get(note, ())


def read_notes(folder: str) -> list[NotedProcess]:
    """The processes that have left notes in a folder."""
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(SUFFIX))
    except FileNotFoundError:
        return []
    return [_read(os.path.join(folder, name)) for name in names]


def _read(path: str) -> NotedProcess:
    lines: dict[str, list[tuple[str, ...]]] = {}
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            kind, *words = line.rstrip("\n").split("\t")
            lines.setdefault(kind, []).append(tuple(words))
    return NotedProcess(lines)
