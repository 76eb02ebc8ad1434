"""What interventions say of a finding that depends on whether spans need each other.

Delays tell who waits for whom, and not who reads whose result. So three answers are certain: spans
that do not wait for each other are independent; spans that take turns at a limit are too, and the
limit is what holds them up; a span whose own task waited for another needs it. Where one task does
both in turn, its code may do so without a need, and the question stays open.
"""

from collections import Counter
from itertools import pairwise

import msgspec

from trading_graph.otel.diagnosis.actions import Parallelise
from trading_graph.otel.diagnosis.findings.candidate import Candidate
from trading_graph.otel.diagnosis.findings.concurrency import (
    COMES_LATER,
    INDEPENDENT,
    NO_CHAINS,
    SHARED,
)
from trading_graph.otel.diagnosis.findings.kind import FindingKind
from trading_graph.otel.trace.dependencies import Relation, ShownOrder


def settle(finding: Candidate, shown: ShownOrder) -> Candidate | None:
    """The finding with what is certain about it by now; None where it gains nothing for certain."""
    if finding.proven:
        return finding
    if finding.only_if == COMES_LATER:
        return _settle_late(finding, shown)
    if finding.only_if not in (INDEPENDENT, NO_CHAINS):
        return finding
    relations = Counter(
        shown.relation(first, second)
        for action in finding.actions
        if isinstance(action, Parallelise)
        for first, second in pairwise(action.rows)
    )
    if finding.only_if == NO_CHAINS:
        apart = relations[Relation.LIMIT] + relations[Relation.FREE]
        is_limit = apart == relations.total()
        return msgspec.structs.replace(finding, only_if=SHARED) if is_limit else finding
    if not relations or relations[Relation.OPEN]:
        return finding
    if relations[Relation.ASKED]:
        return None
    runs = f"shown by intervention in {shown.dependencies.runs} runs"
    if relations[Relation.IN_TURN]:
        said = f"one task does them in turn, {runs}; whether it has to, delays do not tell"
        return msgspec.structs.replace(finding, evidence=_evidence(finding, said))
    if limit := relations[Relation.LIMIT]:
        return msgspec.structs.replace(
            finding,
            kind=FindingKind.LIMIT,
            evidence=_evidence(finding, f"they take turns at a limit that they share, {runs}"),
            only_if=SHARED,
            is_open=limit < relations.total(),
        )
    return msgspec.structs.replace(
        finding,
        evidence=_evidence(finding, f"none waits for the one before it, {runs}"),
        proven=True,
        only_if="",
        is_open=False,
    )


def _settle_late(finding: Candidate, shown: ShownOrder) -> Candidate:
    """A late branch, which is independent if it waits for nothing."""
    if any(shown.predecessors.get(row, (row,)) for row in finding.rows):
        return finding
    said = f"it waits for no other, shown by intervention in {shown.dependencies.runs} runs"
    return msgspec.structs.replace(
        finding, evidence=_evidence(finding, said), proven=True, only_if=""
    )


def _evidence(finding: Candidate, said: str) -> str:
    """The evidence of a finding, with what is known now in place of what is not."""
    before = finding.evidence.partition("; nothing says whether they need each other")[0]
    return f"{before.removesuffix('.')}; {said}."
