"""A finding: one reason why a run is slow, where it shows, and what to do about it."""

from dataclasses import dataclass
from enum import StrEnum

from otel.diagnosis.actions import Action
from otel.trace import Trace


class Kind(StrEnum):
    """What is wrong."""

    SERIAL_FAN_OUT = "serial fan-out"
    SERIAL_TOOLS = "serial tools"
    SERIAL_CALLS = "serial calls"
    LIMIT = "limit"
    BLOCKED_LOOP = "blocked event loop"
    INTERPRETER_LOCK = "interpreter lock"
    BARRIER = "superstep barrier"
    DUPLICATES = "duplicates"
    RETRIES = "retries"
    LONG_POLE = "long pole"
    GAP = "gap"
    MANY_SMALL_CALLS = "many small calls"
    COLD_CONNECTIONS = "cold connections"
    QUEUE = "queue"
    TURNS = "serial LLM turns"
    TOKENS = "token-heavy turns"


@dataclass(frozen=True, slots=True)
class Finding:
    """A reason for slowness, as its trace shows it.

    `evidence` is a sentence with the measured values, `advice` what to do, `rows` the spans that
    show it, and `actions` the change as the simulation plays it. `proven` says that the trace
    itself shows that the change is possible; otherwise it may gain nothing, and `if_only` says what
    it takes.
    """

    kind: Kind
    place: str
    evidence: str
    advice: str
    rows: tuple[int, ...]
    actions: tuple[Action, ...]
    proven: bool = True
    if_only: str = ""


def place_of(trace: Trace, row: int, run: int) -> str:
    """The names from the run down to a span, with > between them; the run itself is left out."""
    names = []
    while row != run and row >= 0:
        names.append(trace.names[row])
        row = int(trace.parent[row])
    return " > ".join(reversed(names)) or trace.names[run]


def seconds(nanoseconds: float) -> str:
    """A duration in seconds, as the reports write it."""
    return f"{nanoseconds / 1e9:.3f} s"
