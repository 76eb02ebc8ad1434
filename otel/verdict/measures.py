"""What the trace of a run shows in numbers, whatever its gate checks: fan-outs, work and waits.

The wrapper level is the spans of the branches; the leaf level is the spans below them that did the
work. None stands for what the trace does not record.
"""

from collections import Counter
from collections.abc import Mapping

import msgspec
import numpy as np

from trading_graph.otel.trace import (
    Evidence,
    Profile,
    Spans,
    SpanTable,
    profile,
    semconv,
    spans_at,
    structure,
)
from trading_graph.otel.trace.intervals import total_ns
from trading_graph.otel.trace.memo import once_per_trace
from trading_graph.otel.trace.profile import serial_chain
from trading_graph.otel.trace.structure import calls, siblings, waits_at_barriers
from trading_graph.otel.trace.waits import own_waits
from trading_graph.otel.verdict.agents import Use, use
from trading_graph.otel.verdict.causes import Cause
from trading_graph.otel.verdict.group_measures import Group
from trading_graph.otel.verdict.limit_use import (
    LimitUse,
    LinkedUse,
    Straggler,
    limit_uses,
    linked_use,
    stragglers,
)
from trading_graph.otel.verdict.parallelism import Parallelism, Strength, parallelism, reason
from trading_graph.otel.verdict.retries import retries_of
from trading_graph.otel.verdict.work import working_spans
from trading_graph.otel.vocabularies import witness

PAIRS_OF = 2000
"""Maximum number of branches that are compared pair by pair."""


class FanOut(msgspec.Struct, frozen=True):
    """Branches that were started together; times in seconds.

    `wrappers` and `work` count how many branches, and how many working spans below them, ran at
    once. An overlap is 0 when one follows the other and 1 when all are hidden below the longest.
    `last_start_s` runs from the dispatcher's end to the last start, and is negative where all
    started before that end. `least_pairwise_overlap` is the least overlap of two branches, divided
    by the duration of the shorter one; None for more than `PAIRS_OF` branches.
    """

    name: str
    branches: Spans
    strength: Strength
    reason: str
    causes: tuple[Cause, ...]
    evidence: Evidence
    wrappers: Profile
    work: Profile
    wrappers_overlap: float | None
    work_overlap: float | None
    least_pairwise_overlap: float | None
    last_start_s: float | None
    spread_s: float

    def __repr__(self) -> str:
        return f"<FanOut {self.name!r}, {len(self.branches)} branches: {self.strength}>"


class Measures(msgspec.Struct, frozen=True):
    """What the trace of a run shows in numbers; times in seconds.

    `use` has LLM calls and tokens, in total and by agent; `retries` counts events and resends.
    `limits` are those that the run declares, `stragglers` the spans under them that took much
    longer than others, and `linked` the sums of traces to which the run's spans link.
    """

    wall_s: float
    work: Profile
    fan_outs: tuple[FanOut, ...]
    use: Use
    llm_chain: int
    barrier_idle_s: float
    loop_lag_ms: float | None
    queue_wait_s: float
    cache: Mapping[str, int]
    errors: int
    cancellations: int
    retries: int
    limits: tuple[LimitUse, ...] = ()
    stragglers: tuple[Straggler, ...] = ()
    linked: LinkedUse | None = None

    @property
    def llm_calls(self) -> int:
        """The number of LLM calls."""
        return self.use.llm.calls

    def __repr__(self) -> str:
        calls = f"{self.llm_calls} LLM calls, {self.llm_chain} in series"
        return f"<Measures {self.wall_s:.3f} s, {calls}, {len(self.fan_outs)} fan-outs>"


def measures_of(trace: SpanTable, run: int) -> Measures:
    """The measures of a run, with spans instead of row numbers."""
    figures = measures(trace, run)
    return Measures(
        wall_s=figures.wall_ns / 1e9,
        work=figures.work,
        fan_outs=tuple(_with_spans(trace, each) for each in figures.fan_outs),
        use=use(trace, run),
        llm_chain=figures.llm_chain,
        barrier_idle_s=figures.barrier_idle_ns / 1e9,
        loop_lag_ms=figures.loop_lag_ms,
        queue_wait_s=figures.queue_wait_ns / 1e9,
        cache=figures.cache,
        errors=figures.errors,
        cancellations=figures.cancellations,
        retries=figures.retries,
        limits=tuple(limit_uses(trace, run)),
        stragglers=tuple(stragglers(trace, run)),
        linked=linked_use(trace, run),
    )


def _with_spans(trace: SpanTable, figures: "FanOutFigures") -> FanOut:
    judgement, group = figures.judgement, figures.group
    return FanOut(
        name=figures.name,
        branches=spans_at(trace, group.rows),
        strength=judgement.strength,
        reason=reason(judgement),
        causes=judgement.causes,
        evidence=figures.evidence,
        wrappers=group.wrappers,
        work=figures.work,
        wrappers_overlap=group.wrapper_overlap,
        work_overlap=group.work_overlap,
        least_pairwise_overlap=figures.least_pairwise,
        last_start_s=None if figures.skew_ns is None else figures.skew_ns / 1e9,
        spread_s=group.spread_ns / 1e9,
    )


class FanOutFigures(msgspec.Struct, frozen=True):
    """A judged group of branches that were started together; times in nanoseconds.

    The other fields are as in `FanOut`.
    """

    name: str
    evidence: Evidence
    judgement: Parallelism
    work: Profile
    skew_ns: int | None
    least_pairwise: float | None

    @property
    def group(self) -> Group:
        """The measures of the branches."""
        return self.judgement.group


class RunFigures(msgspec.Struct, frozen=True):
    """The measures of one run, by row; times in nanoseconds."""

    wall_ns: int
    work: Profile
    fan_outs: tuple[FanOutFigures, ...]
    llm_chain: int
    barrier_idle_ns: int
    loop_lag_ms: float | None
    queue_wait_ns: int
    cache: dict[str, int]
    errors: int
    cancellations: int
    retries: int


_CONNECTIONS = {None, witness.Wait.CONNECTION_POOL, witness.Wait.RATE_LIMIT}
"""The kinds of waits for a connection; older programs recorded no others, and no kind."""


@once_per_trace
def measures(trace: SpanTable, run: int) -> RunFigures:
    """Measure the run at a row; cached by row."""
    rows = trace.below(run)
    llm = calls(trace, run).llm
    failures = [row for row in rows if row in trace.failed] if trace.failed else []
    kinds = [trace.attributes(row).get(semconv.ERROR_TYPE) for row in failures]
    caches = trace.values(semconv.CACHE)
    cache = Counter(str(outcome) for row in rows if (outcome := caches[row]))
    return RunFigures(
        wall_ns=int(trace.duration[run]),
        work=profile(trace, working_spans(trace, run)),
        fan_outs=tuple(_fan_out(trace, each) for each in siblings(trace, run).fan_outs),
        llm_chain=len(serial_chain(trace, llm)),
        barrier_idle_ns=waits_at_barriers(trace, rows).idle_ns,
        loop_lag_ms=witness.loop_lag_ms(trace.attributes(run)),
        queue_wait_ns=_wait_ns(trace, run),
        cache=dict(sorted(cache.items())),
        errors=len(failures),
        cancellations=sum(kind == "cancelled" for kind in kinds),
        retries=sum(each.times for each in retries_of(trace, rows)),
    )


def _wait_ns(trace: SpanTable, run: int) -> int:
    """How long the spans of a run waited for connections, summed."""
    found = own_waits(trace)
    if not found:
        return 0
    inside, kinds = set(trace.tree_rows(run)), trace.column_of(witness.wait_kind)
    return sum(
        total_ns(places)
        for row, places in found.items()
        if row in inside and kinds[row] in _CONNECTIONS
    )


def _fan_out(trace: SpanTable, fan_out: structure.FanOut) -> FanOutFigures:
    branches = list(fan_out.branches)
    leaves = [leaf for row in branches for leaf in working_spans(trace, row)]
    last = max(trace.intervals[row][0] for row in branches)
    sender = fan_out.dispatcher
    return FanOutFigures(
        name=fan_out_name(trace, fan_out),
        evidence=fan_out.evidence,
        judgement=parallelism(trace, fan_out.branches),
        work=profile(trace, leaves),
        skew_ns=None if sender is None else last - trace.intervals[sender][1],
        least_pairwise=_least_pairwise(trace, branches),
    )


def fan_out_name(trace: SpanTable, fan_out: structure.FanOut) -> str:
    """The name of a fan-out: its dispatcher's, or what its branches are."""
    if fan_out.dispatcher is not None:
        return trace.names[fan_out.dispatcher]
    what = structure.plural(trace.roles[fan_out.branches[0]])
    if fan_out.step is not None:
        return f"{what} of step {fan_out.step}"
    return f"{what} of {trace.names[fan_out.parent]}"


def _least_pairwise(trace: SpanTable, rows: list[int]) -> float | None:
    """The least max(0, min(ends) - max(starts)) / min(durations) of all pairs."""
    if not 2 <= len(rows) <= PAIRS_OF:
        return None
    start, end = trace.start[rows], trace.end[rows]
    overlaps = np.minimum.outer(end, end) - np.maximum.outer(start, start)
    shorter = np.maximum(np.minimum.outer(end - start, end - start), 1)
    ratios = np.maximum(overlaps, 0) / shorter
    np.fill_diagonal(ratios, 1.0)
    return float(ratios.min())
