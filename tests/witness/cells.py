"""The cells of the matrix: which program has which pathology, and what must be said of it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from trading_graph import Cause, FindingKind

PROGRAMS = Path(__file__).parent / "programs"


class Expected(StrEnum):
    """What a verdict must say of what a program asks for at once."""

    PROVEN = "proven at once"
    PASSED = "passed, proven or not"
    LOST = "not at once, with its cause"
    UNPROVEN = "whatever it is, never proven"
    NOT_APPLICABLE = "nothing could run at once"


@dataclass(frozen=True)
class Truth:
    """What is true of a pathology.

    `causes` are those that a check may name, and `findings` the kinds that may come first in place
    of that. `at_once` is how many requests the source sees at once; None where that says nothing.
    `mark` is the comment that the line bears which blocks an event loop, if one does.
    """

    expected: Expected
    causes: frozenset[Cause] = frozenset()
    findings: frozenset[FindingKind] = frozenset()
    at_once: int | None = None
    mark: str = ""

    @property
    def blocks(self) -> bool:
        """Whether a line of the program blocks an event loop."""
        return bool(self.mark)


def lost(*causes: Cause, first: FindingKind | None = None, at_once: int | None = None) -> Truth:
    """Return the truth of a pathology that costs time."""
    return Truth(Expected.LOST, frozenset(causes), frozenset([first] if first else []), at_once)


CLEAN = Truth(Expected.PROVEN, at_once=4)
BLOCKED = replace(
    lost(Cause.BLOCKED_LOOP, first=FindingKind.BLOCKED_LOOP, at_once=1),
    mark="# the line that blocks",
)
COMPUTING = replace(BLOCKED, at_once=None, mark="# the line that computes")
LIMITED = lost(Cause.SEMAPHORE, first=FindingKind.LIMIT, at_once=2)
LOCKED = replace(LIMITED, at_once=1)
EACH_OTHER = lost(Cause.SEMAPHORE, Cause.TASK, first=FindingKind.LIMIT, at_once=2)
"""Nothing says what kind of limit it is: they wait for each other."""

PATHOLOGIES = {
    "clean": CLEAN,
    "blocked loop": BLOCKED,
    "interpreter lock": lost(Cause.INTERPRETER_LOCK, first=FindingKind.INTERPRETER_LOCK),
    "semaphore": LIMITED,
    "lock": LOCKED,
    "connection pool": lost(Cause.CONNECTION_LIMIT, first=FindingKind.QUEUE, at_once=2),
    "small executor": lost(Cause.EXECUTOR, first=FindingKind.LIMIT, at_once=2),
    "cold import": lost(Cause.COLD_IMPORT),
}


@dataclass(frozen=True)
class Shape:
    """A kind of program; `environment` is the program whose header names its packages.

    `python` is the version that it needs where that is not the one that runs the matrix.
    """

    name: str
    environment: str
    file: str
    instrumentor: str = "own"
    python: str = ""

    @property
    def program(self) -> Path:
        """The file of its program."""
        return PROGRAMS / self.file


def shape(name: str, program: str, instrumentor: str = "own", python: str = "") -> Shape:
    """Return a shape whose program has a header of its own."""
    return Shape(name, program, f"{program}_program.py", instrumentor, python)


ASYNCIO = shape("asyncio", "asyncio")
THREADS = shape("threads", "threads")
EASY = Shape("easy to get wrong", "asyncio", "easy_to_get_wrong.py")
UVLOOP = shape("uvloop", "asyncio", "uvloop")
EAGER = shape("eager tasks", "asyncio", "eager", python="3.12")
OPENINFERENCE = shape("langgraph openinference", "langgraph", "openinference")
LANGSMITH = shape("langgraph langsmith", "langgraph", "langsmith")
"""Its spans are made later, on a thread of its own: nothing shows what they waited for."""
SHAPES = (
    ASYNCIO,
    OPENINFERENCE,
    shape("langgraph openllmetry", "langgraph", "openllmetry"),
    shape("langgraph genai", "langgraph", "genai"),
    shape("pydantic-ai", "pydantic_ai"),
    shape("fastapi", "fastapi"),
    THREADS,
)

IMPOSSIBLE = {("threads", "blocked loop"): "there is no event loop"}

OTHER_TRUTHS = {
    # What computes in a thread delays no loop here: an import keeps the interpreter from the rest.
    ("threads", "cold import"): lost(
        Cause.COLD_IMPORT, Cause.INTERPRETER_LOCK, first=FindingKind.INTERPRETER_LOCK
    ),
}

EASY_TO_GET_WRONG = {
    "home-made semaphore": EACH_OTHER,
    "capacity limiter": LIMITED,
    "early lock": replace(EACH_OTHER, at_once=1),
    "one worker": lost(Cause.WORKERS, first=FindingKind.WORKERS, at_once=1),
    "two workers": Truth(Expected.PASSED, at_once=2),
    "idle consumer": CLEAN,
    "blocking gather": replace(BLOCKED, at_once=None),
    "one tool a turn": Truth(Expected.NOT_APPLICABLE, at_once=1),
}


@dataclass(frozen=True)
class Cell:
    """A program with a pathology, and how many busy processes run beside it."""

    shape: Shape
    pathology: str
    truth: Truth
    busy: int = 0

    def __str__(self) -> str:
        return f"{self.shape.name}, {self.pathology}" + (", busy" if self.busy else "")

    @property
    def line(self) -> tuple[str, int] | None:
        """The name of the file and the number of the line that blocks its loop."""
        if not self.truth.blocks:
            return None
        files = (self.shape.program, PROGRAMS / "pathologies.py")
        marked = [
            (file.name, number)
            for file in files
            for number, text in enumerate(file.read_text().splitlines(), 1)
            if text.endswith(self.truth.mark)
        ]
        return marked[0]


def cells() -> Iterator[Cell]:
    """Yield all cells, those of one shape together."""
    for each in SHAPES:
        for name, truth in PATHOLOGIES.items():
            if (each.name, name) not in IMPOSSIBLE:
                yield Cell(each, name, OTHER_TRUTHS.get((each.name, name), truth))


def more_cells() -> Iterator[Cell]:
    """Yield the cells beside the matrix: what is easy to get wrong, and a busy machine."""
    for name, truth in EASY_TO_GET_WRONG.items():
        yield Cell(EASY, name, truth)
    for each in (UVLOOP, EAGER):
        for name in ("clean", "blocked loop", "semaphore"):
            yield Cell(each, name, PATHOLOGIES[name])
    for name in PATHOLOGIES:
        truth = BLOCKED if name == "blocked loop" else Truth(Expected.UNPROVEN)
        yield Cell(LANGSMITH, name, truth)
    yield Cell(ASYNCIO, "computing loop", COMPUTING)
    for each in (ASYNCIO, OPENINFERENCE):
        yield Cell(each, "clean", Truth(Expected.PASSED), busy=2)
        yield Cell(each, "blocked loop", replace(BLOCKED, at_once=None), busy=2)
        yield Cell(each, "computing loop", COMPUTING, busy=2)
