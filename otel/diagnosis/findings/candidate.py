"""A candidate for a finding: one reason why a run may be slow, and where it shows."""

import msgspec

from trading_graph.otel.diagnosis.actions import Fix
from trading_graph.otel.diagnosis.call_tree import CallTree
from trading_graph.otel.diagnosis.findings.kind import FindingKind
from trading_graph.otel.trace.blocks import LoopBlock
from trading_graph.otel.verdict.causes import Cause


class Candidate(msgspec.Struct, frozen=True):
    """A reason for slowness that a trace shows, before the gain of its fix is known.

    `evidence` is a sentence with the measured values, `rows` are the spans that show it, and
    `actions` are the change as the simulation plays it. `proven` says that the trace itself shows
    that the change is possible; otherwise the fix may gain nothing, and `only_if` says what it
    requires. `causes` are those that fit, where it is about spans that should have run at once.
    `at_best` is the change where it gains most, if the trace leaves open what the change would be.
    `blocks` are the recorded blocks of event loops that it speaks of, the longest first. `limit` is
    the declared limit that it raises. `is_open` says that the trace leaves open whether there is
    anything to change at all; such a candidate is ranked, and no step of a plan.
    """

    kind: FindingKind
    place: str
    evidence: str
    rows: tuple[int, ...]
    actions: tuple[Fix, ...]
    proven: bool = True
    only_if: str = ""
    causes: tuple[Cause, ...] = ()
    at_best: tuple[Fix, ...] = ()
    is_open: bool = False
    blocks: tuple[LoopBlock, ...] = ()
    limit: str = ""


def place_of(tree: CallTree, row: int) -> str:
    """The call path of a span with > between the names; for the run, its own name."""
    return " > ".join(tree.call_path(row)) or tree.trace.names[tree.run]


def seconds(nanoseconds: float) -> str:
    """A duration in seconds, as the reports write it."""
    return f"{nanoseconds / 1e9:.3f} s"
