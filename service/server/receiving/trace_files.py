"""The log files of received traces: OTLP JSON lines, a file a trace.

A file that has grown since its trace was judged is in `growing/`, every other in `judged/`, so a
restart knows what it has to judge. A line is written by one call, and is in the file when that
returns: a killed process loses none of it, a loss of power may.
"""

import contextlib
import os
import time
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

from trading_graph.otel.files.run_log import mend

_SUFFIX = ".jsonl"


class TraceFiles:
    """The files in a folder. Blocks; only one thread may use it. Raises OSError."""

    def __init__(self, folder: Path) -> None:
        self._growing = folder / "growing"
        self._judged = folder / "judged"

    def open(self) -> None:
        """Make the folders, and cut off lines that a killed process left incomplete."""
        for folder in (self._growing, self._judged):
            folder.mkdir(parents=True, exist_ok=True)
        for path in self._growing.glob(f"*{_SUFFIX}"):
            with FileIO(path, "r+b") as file:
                mend(file)

    def append(self, trace_id: str, line: bytes) -> None:
        """Write a line whole, or leave the file as it was."""
        with FileIO(f"{self._growing}/{trace_id}{_SUFFIX}", "ab") as file:
            size = file.tell()
            try:
                done = file.write(line)
                while done < len(line):
                    done += file.write(line[done:])
            except OSError:
                file.truncate(size)
                raise

    def growing(self, trace_id: str) -> Path:
        """The file of a trace that is not judged."""
        return self._growing / f"{trace_id}{_SUFFIX}"

    def find(self, trace_id: str) -> Path | None:
        """The file of a trace, if there is one."""
        name = f"{trace_id}{_SUFFIX}"
        paths = (self._growing / name, self._judged / name)
        return next((path for path in paths if path.is_file()), None)

    def keep(self, trace_id: str, size: int) -> bool:
        """Move the file of a trace that was judged at a size; false if it has grown since."""
        name = f"{trace_id}{_SUFFIX}"
        path = f"{self._growing}/{name}"
        if os.stat(path).st_size != size:
            return False
        os.replace(path, f"{self._judged}/{name}")
        return True

    def take_back(self, trace_id: str) -> None:
        """Move the file of a judged trace back since spans have come, if there is one."""
        with contextlib.suppress(FileNotFoundError):
            os.replace(self._judged / f"{trace_id}{_SUFFIX}", self.growing(trace_id))

    def delete(self, trace_id: str) -> None:
        """Delete the file of a judged trace."""
        (self._judged / f"{trace_id}{_SUFFIX}").unlink(missing_ok=True)

    def unjudged(self) -> list[str]:
        """The ids of the traces that are not judged."""
        return [path.stem for path in self._growing.glob(f"*{_SUFFIX}")]

    def judged(self) -> list[tuple[str, int, float]]:
        """Id, size and age in seconds of the traces that are judged, the oldest first."""
        now, entries = time.time(), []
        for path in self._judged.glob(f"*{_SUFFIX}"):
            stat = path.stat()
            entries.append((path.stem, stat.st_size, now - stat.st_mtime))
        return sorted(entries, key=lambda entry: -entry[2])

    def lines(self, trace_id: str) -> Iterator[bytes]:
        """The lines of a trace that is not judged."""
        with self.growing(trace_id).open("rb") as file:
            yield from file
