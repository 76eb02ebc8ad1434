"""A finding: one reason why a run is slow, where it shows, and what to do about it."""

from dataclasses import dataclass
from enum import StrEnum

from trading_graph.otel.diagnosis.actions import Action
from trading_graph.otel.diagnosis.call_tree import CallTree


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
    QUEUE = "queue"
    COLD_CONNECTIONS = "cold connections"
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


def place_of(tree: CallTree, row: int) -> str:
    """The call path of a span with > between the names; of the run, its own name."""
    return " > ".join(tree.call_path(row)) or tree.trace.names[tree.run]


def seconds(nanoseconds: float) -> str:
    """A duration in seconds, as the reports write it."""
    return f"{nanoseconds / 1e9:.3f} s"
