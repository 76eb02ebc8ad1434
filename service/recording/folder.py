"""The folder in which the processes of a recorded program write, and the trace file made of it."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from trading_graph.otel.witness import start
from trading_graph.otel.witness.process_notes import NotedProcess, read_notes


@dataclass(frozen=True, slots=True)
class Recording:
    """What the processes of a program have left."""

    file: Path
    """The trace file; there is none without a span."""
    spans: int
    cut_off: int
    """Spans whose line a killed process did not finish."""
    processes: list[NotedProcess]


class RecordingFolder:
    """A folder beside the trace file; what is in it stays where this program is killed too."""

    def __init__(self, file: Path, folder: Path) -> None:
        self.is_collected = False
        self._file = file
        self._folder = folder

    def environment(self, instrument: str, spans: str | None) -> dict[str, str]:
        """The environment of the program: this one, with what starts the witness."""
        path = [start.BOOTSTRAP, *filter(None, [os.environ.get("PYTHONPATH")])]
        changed: Mapping[str, str] = {
            "PYTHONPATH": os.pathsep.join(path),
            start.SWITCH: "record",
            start.OUT: str(self._folder),
            start.INSTRUMENT: instrument,
            start.SPANS: spans or "",
        }
        return {**os.environ, **changed}

    def processes(self) -> list[NotedProcess]:
        """The processes that have shown themselves so far."""
        return read_notes(str(self._folder))

    def span_files(self) -> list[Path]:
        """The files of spans, one a process."""
        return sorted(self._folder.glob(start.SPAN_FILES))

    def collect(self) -> Recording:
        """Write the trace file, whole or not at all."""
        spans = cut_off = 0
        partial = self._folder / "all"
        partial.touch(mode=0o600)  # as the parts: spans may hold prompts
        with partial.open("wb") as whole:
            for part in self.span_files():
                with part.open("rb") as lines:
                    for line in lines:
                        if line.endswith(b"\n"):
                            whole.write(line)
                            spans += 1
                        else:
                            cut_off += 1
        if spans:
            os.replace(partial, self._file)
        self.is_collected = True
        return Recording(self._file, spans, cut_off, self.processes())


@contextmanager
def recording_to(file: Path) -> Iterator[RecordingFolder]:
    """A folder for the recording of a program; raises OSError where none can be made.

    It is gone afterwards, unless it holds spans that could not be written to the trace file.
    """
    file = file.absolute()
    try:
        folder = Path(tempfile.mkdtemp(prefix=f"{file.name}.", suffix=".parts", dir=file.parent))
    except OSError as error:
        error.filename = str(file)
        raise
    recording = RecordingFolder(file, folder)
    try:
        yield recording
    finally:
        if recording.is_collected or not recording.span_files():
            shutil.rmtree(folder, ignore_errors=True)
