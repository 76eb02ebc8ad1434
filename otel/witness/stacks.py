"""Where a thread stands: the program's own lines, and the library's line that it waits in.

Only code objects and line numbers are read, never an argument or a local.
"""

import gc
import os
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum
from functools import lru_cache
from types import CodeType, FrameType
from typing import NamedTuple

MAX_DEPTH = 1_000
"""So many frames are read at most, from the innermost on: no stack may hold the interpreter."""


class Line(NamedTuple):
    """A line of source code. The path of a library's file begins at the library."""

    path: str
    number: int
    function: str

    def __str__(self) -> str:
        return f"{self.path}:{self.number}"


class Stack(NamedTuple):
    """Where a thread stood inside one turn of its loop."""

    own: tuple[Line, ...]
    """The lines of the program's own code, from the outermost to the innermost."""
    library: Line | None
    """The line of a library inside the innermost of these; None if own code is the leaf.

    The innermost line outside the standard library, if there is one: urllib3 says more than socket.
    """


class Origin(Enum):
    """Whose code a file holds."""

    OWN = "own"
    LIBRARY = "library"
    STANDARD_LIBRARY = "standard library"
    WITNESS = "witness"


class Source(NamedTuple):
    """Whose a file is, and the path to show for it."""

    origin: Origin
    path: str


RawStack = Sequence[tuple[CodeType, int]]

COLLECTION_MOVES_FRAMES = sys.version_info < (3, 12)


@contextmanager
def still_frames() -> Iterator[Mapping[int, FrameType]]:
    """The innermost frame of each thread, for a walk during which no garbage is collected.

    Each step of a walk makes an object, so it may start a collection; what that calls lets other
    threads run, and Python 3.11 then reads a frame that has ended (CPython issue 106883).
    """
    pausing = COLLECTION_MOVES_FRAMES and gc.isenabled()
    if pausing:
        gc.disable()
    try:
        yield sys._current_frames()
    finally:
        if pausing:
            gc.enable()


def walk(frame: FrameType | None) -> RawStack:
    """Note the code and the line of each frame, from the innermost to the outermost.

    It reads no file: that would give up the interpreter, and the thread would move on. No frame
    is kept, because a frame keeps its locals alive.
    """
    raw: list[tuple[CodeType, int]] = []
    while frame is not None and len(raw) < MAX_DEPTH:
        raw.append((frame.f_code, frame.f_lineno or frame.f_code.co_firstlineno))
        frame = frame.f_back
    return raw


def resolve(raw: RawStack) -> Stack:
    """Tell own code from library code, as far out as the turn of the event loop."""
    own: list[Line] = []
    library: Line | None = None
    of_standard_library = False
    for code, number in raw:
        origin, path = source(code.co_filename)
        if origin is Origin.STANDARD_LIBRARY and (path, code.co_name) in _BEGINS_A_TURN:
            break
        if origin is Origin.OWN:
            own.append(Line(path, number, code.co_name))
        elif own or origin is Origin.WITNESS:
            continue
        elif library is None or (of_standard_library and origin is Origin.LIBRARY):
            library = Line(path, number, code.co_name)
            of_standard_library = origin is Origin.STANDARD_LIBRARY
    return Stack(tuple(reversed(own)), library)


def _library_roots() -> tuple[tuple[str, Origin], ...]:
    """The folders of libraries, the deepest first: site-packages lies in the standard library."""
    origins = {
        os.path.realpath(folder) + os.sep: origin
        for name, origin in [
            ("stdlib", Origin.STANDARD_LIBRARY),
            ("platstdlib", Origin.STANDARD_LIBRARY),
            ("purelib", Origin.LIBRARY),
            ("platlib", Origin.LIBRARY),
            ("scripts", Origin.LIBRARY),
        ]
        if (folder := sysconfig.get_path(name))
    }
    return tuple(sorted(origins.items(), key=lambda each: -len(each[0])))


_WITNESS = os.path.dirname(os.path.realpath(__file__)) + os.sep
_ROOTS = _library_roots()
_PACKAGE_FOLDERS = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")

# What is further out only started the loop. uvloop has no frames of its own.
_BEGINS_A_TURN = frozenset(
    [
        ("asyncio/events.py", "_run"),
        ("asyncio/base_events.py", "run_until_complete"),
        ("asyncio/runners.py", "run"),
    ]
)


@lru_cache(maxsize=4_096)
def source(filename: str) -> Source:
    """Tell whose code a file holds, by its real path."""
    if filename.startswith("<"):
        frozen = filename.startswith("<frozen ")
        return Source(Origin.STANDARD_LIBRARY if frozen else Origin.OWN, filename)
    path = os.path.realpath(filename)
    if path.startswith(_WITNESS):
        return Source(Origin.WITNESS, path)
    for folder in _PACKAGE_FOLDERS:
        _, before, inside = path.rpartition(folder)
        if before:
            return Source(Origin.LIBRARY, inside)
    for root, origin in _ROOTS:
        if path.startswith(root):
            return Source(origin, path[len(root) :])
    return Source(Origin.OWN, filename)
