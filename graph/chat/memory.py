"""What was learned of models, on disk: by the service's address and the model's name.

The file is a cache: one that is broken, or of another version, is as good as none, and is written
anew. What was learned is tried afresh after a while, since services improve.
"""

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import msgspec

VERSION = 1
LIFETIME_S = 30 * 86_400.0
_LARGEST = 2**20

_lock = Lock()


class Lesson(msgspec.Struct, frozen=True):
    """What was learned of one model: the changed fields of `Capabilities`, and why.

    `uses` are the uses that the service has accepted; `learned` is seconds since the epoch.
    """

    service: str
    model: str
    learned: float
    changes: dict[str, Any] = {}
    reasons: list[str] = []
    uses: list[str] = []


class _File(msgspec.Struct, frozen=True):
    version: int
    lessons: list[Lesson]


@dataclass(frozen=True, slots=True)
class Memory:
    """The lessons in a file; without a path nothing is remembered. Blocks."""

    path: Path | None

    def recall(self, service: str, model: str) -> Lesson | None:
        """What was learned of a model, if anything."""
        of_model = (each for each in self.lessons() if each.model == model)
        return next((each for each in of_model if each.service == service), None)

    def lessons(self) -> list[Lesson]:
        """Everything that was learned and is not too old."""
        if self.path is None:
            return []
        try:
            with self.path.open("rb") as file:
                content = msgspec.json.decode(file.read(_LARGEST), type=_File)
        except (OSError, msgspec.DecodeError, RecursionError):
            return []
        if content.version != VERSION:
            return []
        now = time.time()
        return [each for each in content.lessons if 0 <= now - each.learned < LIFETIME_S]

    def keep(self, lesson: Lesson) -> None:
        """Write a lesson in the place of the earlier one; a folder that refuses is no error."""
        with _lock:
            self._write([*self._others(lesson.service, lesson.model), lesson])

    def forget(self, service: str, model: str) -> bool:
        """Forget what was learned of a model; whether there was something."""
        with _lock:
            others = list(self._others(service, model))
            is_known = len(others) < len(self.lessons())
            if is_known:
                self._write(others)
            return is_known

    def _others(self, service: str, model: str) -> Iterator[Lesson]:
        for each in self.lessons():
            if (each.service, each.model) != (service, model):
                yield each

    def _write(self, lessons: list[Lesson]) -> None:
        if self.path is None:
            return
        content = msgspec.json.format(msgspec.json.encode(_File(VERSION, lessons)), indent=1)
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self.path.parent, prefix=self.path.name)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(content)
                Path(name).replace(self.path)
            except OSError:
                Path(name).unlink(missing_ok=True)


def default_path(environment: Mapping[str, str] = os.environ) -> Path | None:
    """Where the lessons are: in the user's cache folder; None where there is no home."""
    folder = environment.get("XDG_CACHE_HOME", "")
    try:
        caches = Path(folder) if os.path.isabs(folder) else Path.home() / ".cache"
    except RuntimeError:
        return None
    return caches / "trading-graph" / "models.json"
