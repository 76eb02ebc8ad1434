"""Declared limits that made spans wait, and the stragglers under them: what each costs."""

from collections.abc import Iterator

from trading_graph.otel.diagnosis.actions import ShortenBy
from trading_graph.otel.diagnosis.findings.candidate import Candidate
from trading_graph.otel.diagnosis.findings.kind import FindingKind
from trading_graph.otel.diagnosis.raise_limit import RaiseLimit
from trading_graph.otel.diagnosis.schedule import Schedule
from trading_graph.otel.trace import row_of
from trading_graph.otel.trace.grants import grants_of, limits_of
from trading_graph.otel.verdict.causes import cause_of_wait
from trading_graph.otel.verdict.limit_use import LEAST_SHARE, LimitUse, limit_uses, stragglers
from trading_graph.otel.vocabularies import witness

STRAGGLERS = 3
"""The most stragglers that are a finding each; the verdict has all."""

FACTOR = 1.5
"""How much of a limit is played: half as much again."""


def declared_limits(schedule: Schedule) -> Iterator[Candidate]:
    """The declared limits that somebody waited for, each raised by half."""
    trace, run = schedule.tree.trace, schedule.tree.run
    if not limits_of(trace, run):
        return
    grants = grants_of(trace, run)
    for use in limit_uses(trace, run):
        rows = dict.fromkeys(each.row for each in grants if each.waited_for == use.name)
        if not rows or use.waiting_share < LEAST_SHARE:
            continue
        kind = witness.Wait.RATE_LIMIT if use.is_rate else witness.Wait.SEMAPHORE
        more = f"{use.capacity * FACTOR:,.0f}" if use.is_rate else f"{int(use.capacity * FACTOR)}"
        yield Candidate(
            kind=FindingKind.RATE_LIMIT if use.is_rate else FindingKind.LIMIT,
            place=use.name,
            evidence=f"{use.waited:,} of {use.grants:,} waited for it ({capacity(use)}), "
            f"{use.wait_s:,.1f} s in all and {use.mean_wait_s:,.1f} s each; the gain is that of "
            f"{more}.",
            rows=tuple(rows),
            actions=(RaiseLimit(use.name, FACTOR),),
            proven=False,
            only_if="whoever sets the limit grants half as much again"
            if use.is_rate
            else "what they share bears half as many again",
            causes=(cause_of_wait(kind),),
            limit=use.name,
        )


def tail_stragglers(schedule: Schedule) -> Iterator[Candidate]:
    """The spans that took much longer than others under one limit, and ended in its tail."""
    tree = schedule.tree
    late = [each for each in stragglers(tree.trace, tree.run) if each.in_tail]
    for each in late[:STRAGGLERS]:
        row = row_of(each.span)
        less_ns = int((each.own_s - each.usual_s) * 1e9)
        yield Candidate(
            kind=FindingKind.STRAGGLER,
            place=each.item,
            evidence=f"It took {each.own_s:,.1f} s without its waits for limits; the median of "
            f"those beside it is {each.usual_s:,.1f} s.",
            rows=(row,),
            actions=(ShortenBy(((row, less_ns),)),),
            proven=False,
            only_if="it can be as fast as the others, or begin before them",
        )


def capacity(use: LimitUse) -> str:
    """What a limit is, in words: `200,000 tokens in 60.5 s`, `8 jobs at once`."""
    what = f"{use.capacity:,.0f} {use.unit}".rstrip()
    return f"{what} in {use.window_s:g} s" if use.is_rate else f"{what} at once"


def explains(schedule: Schedule, candidate: Candidate) -> bool:
    """Whether declared limits say what a candidate of another detector guesses from times.

    That spans begin one after the other is explained where most of them waited for a limit. How
    long one takes that holds a limit to its end is told as a straggler, and that it failed by the
    verdict.
    """
    if candidate.limit or not limits_of(schedule.tree.trace, schedule.tree.run):
        return False
    grants = grants_of(schedule.tree.trace, schedule.tree.run)
    if candidate.kind in _OF_HOLDERS:
        return {each.row for each in grants if each.whole}.issuperset(candidate.rows)
    if candidate.kind not in _ORDERS:
        return False
    waited = {each.row for each in grants if each.waited_for}.intersection(candidate.rows)
    return 2 * len(waited) >= len(candidate.rows)


_OF_HOLDERS = frozenset(
    {FindingKind.DOMINANT_SPAN, FindingKind.LONG_POLE, FindingKind.GAP, FindingKind.RETRIES}
)
_ORDERS = frozenset(
    {
        FindingKind.SERIAL_FAN_OUT,
        FindingKind.SERIAL_AGENTS,
        FindingKind.SERIAL_CALLS,
        FindingKind.MANY_SMALL_CALLS,
        FindingKind.LATE_BRANCH,
        FindingKind.LIMIT,
        FindingKind.QUEUE,
        FindingKind.BARRIER,
    }
)
