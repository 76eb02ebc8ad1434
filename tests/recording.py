"""Runs real programs as `trading-graph record` runs them, and reads what they left."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import trading_graph
from tests.patience import PATIENCE_S
from trading_graph.otel.sources import read
from trading_graph.otel.trace import SpanTable, Trace
from trading_graph.otel.witness import start
from trading_graph.otel.witness.process_notes import NotedProcess, read_notes

ROOT = Path(trading_graph.__file__).resolve().parents[1]
COMMAND = "import sys; sys.path.insert(0, {!r}); from trading_graph.service.cli import main; main()"


def record_words(*words: str) -> list[str]:
    """The command line of `trading-graph record` with these words."""
    return [sys.executable, "-c", COMMAND.format(str(ROOT)), "record", *words]


def record(
    folder: Path, *words: str, input: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run `trading-graph record` in a folder, without a terminal."""
    return subprocess.run(
        record_words(*words),
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        input=input,
        capture_output=True,
        text=True,
        start_new_session=True,
        timeout=PATIENCE_S,
    )


def witnessed(
    folder: Path, *words: str, path: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder with the witness beside it, and nothing that judges."""
    (folder / "out").mkdir(exist_ok=True)
    paths = [start.BOOTSTRAP, *filter(None, [path]), str(ROOT)]
    return subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(paths),
            start.SWITCH: "record",
            start.OUT: str(folder / "out"),
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


def traces(folder: Path) -> list[SpanTable]:
    """The traces that the processes wrote."""
    files = sorted((folder / "out").glob(start.SPAN_FILES))
    return read(*files) if files else []


def names(tables: list[SpanTable]) -> list[str]:
    """The names of all their spans, in alphabetical order."""
    return sorted(span.name for table in tables for span in Trace(table))


def notes(folder: Path) -> list[NotedProcess]:
    """What the processes said of themselves."""
    return read_notes(str(folder / "out"))


def write(folder: Path, files: Mapping[str, str]) -> None:
    """Write files below a folder."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
