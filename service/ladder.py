"""The ladder: the same analysis in real runs, from all sequential to parallel on a warm cache.

Every rung is predicted from the first one's trace alone, by playing it again with the rung's
changes; what the rung claims is confirmed or refuted by the verdict on its own trace.

The runs are measured at the full length of their latencies. Only simulated latency is scaled back:
each instant of the critical path is either spent waiting for an LLM call or a fetch, for up to the
latency that its server simulates, or it is the program's own time, which stands as it is.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from rich.console import Console

from trading_graph.graph.backend_choice import BackendChoice
from trading_graph.graph.gate_loader import own_gate
from trading_graph.graph.options import ANALYSTS, DEBATERS, RISK_ANALYSTS
from trading_graph.otel.diagnosis import (
    CallTree,
    Fix,
    Parallelise,
    Schedule,
    Share,
    Shorten,
    call_tree,
    critical_path,
    simulate,
)
from trading_graph.otel.trace import SpanTable, row_of, semconv, table_of
from trading_graph.otel.verdict import Verdict, judge
from trading_graph.otel.vocabularies import Role, agent_name, witness
from trading_graph.service.errors import NotRecordedError
from trading_graph.service.run.request import RunRequest
from trading_graph.toolkit.as_of import AsOf

if TYPE_CHECKING:
    from trading_graph.service.run.result import FinishedRun
    from trading_graph.service.run.session import RunSession


@dataclass(frozen=True, slots=True)
class Latencies:
    """What an LLM call and a fetch take, in seconds, and the scale at which that is simulated."""

    call_s: float
    fetch_s: float
    scale: float


@dataclass(frozen=True, slots=True)
class FullScale:
    """A run's critical path: the simulated latencies in series, and the program's own time.

    `calls` and `fetches` count latencies. They are fractions where a branch joins a fetch of
    another branch that is under way.
    """

    latencies: Latencies
    calls: float
    fetches: float
    own_s: float

    @property
    def latency_s(self) -> float:
        """The simulated latencies on the path at full length."""
        return self.calls * self.latencies.call_s + self.fetches * self.latencies.fetch_s

    @property
    def seconds(self) -> float:
        """How long the run takes at full length."""
        return self.latency_s + self.own_s


def full_scale(
    tree: CallTree,
    declared: Mapping[int, tuple[int, ...]],
    latencies: Latencies,
    joined: Mapping[int, int] | None = None,
) -> FullScale:
    """The simulated latencies on a run's critical path; `declared` as `critical_path` takes it.

    `joined` maps the row of a fetch to the row of the fetch that it shared; links say the same. The
    part of a shared fetch that passed before the branch came counts as well, since the branch was
    late by its own time, unless it waited for another latency meanwhile.
    """
    simulated_ns = {
        Role.LLM: latencies.call_s * latencies.scale * 1e9,
        Role.FETCH: latencies.fetch_s * latencies.scale * 1e9,
    }
    spent: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for row, start, end in critical_path(tree, declared).segments:
        for awaited in _waits(tree, row, joined or {}):
            low, high = max(start, tree.start[awaited]), min(end, tree.end[awaited])
            if high > low:
                spent[awaited].append((low, high))
                break
    # What a call took beyond the latency of its server is the program's own time.
    every = [
        (waits[0][0], min(waits[-1][1], waits[0][0] + int(simulated_ns[tree.trace.roles[row]])))
        for row, waits in spent.items()
    ]
    waited = dict.fromkeys(simulated_ns, 0.0)
    for row, waits in spent.items():
        began, came = tree.start[row], waits[0][0]
        missed = came - began - _overlap(every, began, came)
        took = sum(high - low for low, high in waits) + missed
        role = tree.trace.roles[row]
        waited[role] += min(took, simulated_ns[role])
    return FullScale(
        latencies,
        calls=waited[Role.LLM] / simulated_ns[Role.LLM],
        fetches=waited[Role.FETCH] / simulated_ns[Role.FETCH],
        own_s=(tree.wall_ns - sum(waited.values())) / 1e9,
    )


def _overlap(waits: list[tuple[int, int]], low: int, high: int) -> int:
    return sum(max(0, min(until, high) - max(since, low)) for since, until in waits)


def _waits(tree: CallTree, row: int, joined: Mapping[int, int]) -> Iterator[int]:
    """The calls and fetches that a span may have waited for.

    That is the one that it is a part of, or those of others that it joined.
    """
    trace = tree.trace
    above = row
    while above != tree.run:
        if trace.roles[above] in (Role.LLM, Role.FETCH):
            yield joined.get(above, above)
            return
        above = int(trace.parent[above])
    linked = {link.span_id for link in trace.links(row)}
    for other in range(len(trace)) if linked else ():
        if trace.span_ids[other] in linked and trace.roles[other] is Role.FETCH:
            yield other


TOLERANCE = 0.05
"""The largest miss of a prediction, as a share of the measurement."""

LAG_MS = 20.0
"""With a longer lag of its event loop a run shows the machine's load, and not its rung."""

TRIES = 3
"""The largest number of tries to run a rung undisturbed."""

_IN_SECONDS = ("start",)
"""Checks with a limit in seconds, which even the slow program keeps when it is scaled down."""

_HIT_NS = 0
"""The assumed cost of a look-up in the cache, which takes microseconds."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What the founding document expects of a rung: a runtime in seconds, and a factor."""

    low_s: float
    high_s: float
    low_x: float
    high_x: float


@dataclass(frozen=True, slots=True)
class Rung:
    """One way to run the analysis; `proves` are checks of the default gate that hold from here on.

    The first rung proves nothing: the checks that the others prove have to fail there, except
    those that a run at a smaller scale passes anyway.
    """

    name: str
    request: RunRequest
    choice: BackendChoice
    proves: tuple[str, ...] = ()
    claim: Claim | None = None
    warm: bool = False


@dataclass(frozen=True)
class MeasuredRung:
    """The run of a rung: what was measured on its trace, and what was predicted.

    `ran_s` and `predicted_ran_s` are the run's own duration, at the scale at which it ran.
    """

    rung: Rung
    run_id: str
    trace_file: Path
    ran_s: float
    predicted_ran_s: float
    measured: FullScale
    predicted: FullScale
    verdict: Verdict

    @property
    def off(self) -> float:
        """The miss of the prediction at full length, as a share of the measurement."""
        return self.predicted.seconds / self.measured.seconds - 1

    @property
    def off_as_run(self) -> float:
        """The miss at the scale at which the run ran, where our own time weighs more."""
        return self.predicted_ran_s / self.ran_s - 1

    @property
    def failed(self) -> tuple[str, ...]:
        """The checks of the default gate that failed."""
        return tuple(each.id for each in self.verdict.failures)


@dataclass(frozen=True)
class Ladder:
    """All rungs, the slowest first, and whether their claims hold."""

    reached: tuple[MeasuredRung, ...]

    @property
    def first(self) -> MeasuredRung:
        """The slow program."""
        return self.reached[0]

    def faster(self, each: MeasuredRung) -> float:
        """How many times as fast as the first rung."""
        return self.first.measured.seconds / each.measured.seconds

    @cached_property
    def unconfirmed(self) -> Mapping[str, tuple[str, ...]]:
        """The checks that contradict a rung, by its name."""
        levers = {check for each in self.reached for check in each.rung.proves}
        contradictions = {
            self.first.rung.name: tuple(sorted(levers - {*self.first.failed, *_IN_SECONDS}))
        }
        proved: set[str] = set()
        for each in self.reached[1:]:
            proved.update(each.rung.proves)
            contradictions[each.rung.name] = tuple(sorted(proved & {*each.failed}))
        return {name: checks for name, checks in contradictions.items() if checks}

    @property
    def holds(self) -> bool:
        """Whether every prediction is close enough and every verdict confirms its rung."""
        close = all(abs(each.off) <= TOLERANCE for each in self.reached)
        return close and not self.unconfirmed


def rungs(symbol: str, as_of: AsOf, latencies: Latencies) -> tuple[Rung, ...]:
    """The rungs, the slowest first; the last is the one before it, run again."""
    call_s, fetch_s = latencies.call_s * latencies.scale, latencies.fetch_s * latencies.scale
    # Five times what the agent with the most tools needs, so that no rung reaches it.
    agent_budget = 90 + 5 * (2 * call_s + 8 * fetch_s)
    quick = RunRequest(symbol=symbol, date=str(as_of), agent_budget=agent_budget)
    send = replace(quick, tools="sequential")
    slow = replace(send, dispatch="sequential", debate="serial")
    bare = BackendChoice(chat_latency_s=call_s, fetch_latency_s=fetch_s, cache=False, pool=False)
    pooled = replace(bare, cache=True, pool=True)
    return (
        Rung("all sequential", slow, bare),
        Rung("+ Send", send, bare, ("start", "overlap", "chain"), Claim(80, 120, 2, 3)),
        Rung("+ async tools", quick, bare, ("tools",), Claim(60, 90, 3, 4)),
        Rung("+ cache and pool", quick, pooled, ("duplicates",), Claim(45, 75, 4, 6)),
        Rung("again, warm", quick, pooled, warm=True),
    )


async def climb(steps: Sequence[Rung], session: "RunSession", talk: Console) -> "list[FinishedRun]":
    """Run all rungs, one after the other; a warm one on the back ends of the one before it.

    A delay of the machine would count against the rung. Such a rung runs again, up to TRIES times
    in all, and the least disturbed result stands.
    """
    results: list[FinishedRun] = []
    for number, step in enumerate(steps, 1):
        if step.warm:
            continue
        times = 1 + sum(1 for later in steps[number : number + 1] if later.warm)
        again = ", and again on the warm cache" if times > 1 else ""
        talk.print(f"[bold]{number}/{len(steps)} {step.name}{again}[/bold]", highlight=False)
        tried = [await session.runs(step.request, step.choice, times)]
        while (lag := lag_ms(tried[-1])) > LAG_MS and len(tried) < TRIES:
            talk.print(f"The event loop was held for {lag:.0f} ms: again.", highlight=False)
            tried.append(await session.runs(step.request, step.choice, times))
        calmest = min(tried, key=lag_ms)
        results += calmest
    return results


def lag_ms(results: "Sequence[FinishedRun]") -> float:
    """The longest lag of the event loop in these runs, from their traces, in milliseconds."""
    traces = [each.trace for each in results if each.trace is not None]
    lags = [lag for trace in traces for _, lag in trace.numbers_of(witness.loop_lag_ms)]
    return max(lags, default=0.0)


def compare_rungs(
    steps: Sequence[Rung], results: "Sequence[FinishedRun]", latencies: Latencies
) -> Ladder:
    """Measure each rung on its trace, and predict it from the first one's trace.

    Raises NotRecordedError.
    """
    verdicts = [_verdict(step, each) for step, each in zip(steps, results, strict=True)]
    first = _schedule(verdicts[0])
    reached = []
    for step, each, verdict, actions in zip(steps, results, verdicts, changes(first), strict=True):
        ran = _schedule(verdict)
        played = simulate(first, actions)
        start, end = played.times()
        expected = msgspec.structs.replace(first.tree, start=start, end=end)
        joins = _joins(expected, actions)
        reached.append(
            MeasuredRung(
                rung=step,
                run_id=each.analysis.decision.run_id,
                trace_file=each.folder.trace,
                ran_s=ran.tree.wall_ns / 1e9,
                predicted_ran_s=played.wall_ns / 1e9,
                measured=full_scale(ran.tree, ran.predecessors, latencies),
                predicted=full_scale(expected, first.predecessors, latencies, joins),
                verdict=verdict,
            )
        )
    return Ladder(tuple(reached))


def changes(first: Schedule) -> tuple[list[Fix], ...]:
    """What each rung changes in the first one, as actions of the simulation."""
    trace = first.tree.trace
    agents: dict[str | None, list[int]] = defaultdict(list)
    turns: dict[tuple[int, object], list[int]] = defaultdict(list)
    fetches: dict[object, list[int]] = defaultdict(list)
    for row in first.tree.rows:
        attributes = trace.attributes(row)
        match trace.roles[row]:
            case Role.AGENT:
                agents[agent_name(attributes)].append(row)
            case Role.TOOL:
                turns[int(trace.parent[row]), attributes.get(semconv.TURN_INDEX)].append(row)
            case Role.FETCH:
                fetches[attributes.get(semconv.FETCH_KEY)].append(row)
    fan_outs = [
        [row for name in names for row in agents[name]]
        for names in (ANALYSTS, DEBATERS, RISK_ANALYSTS)
    ]
    send: list[Fix] = [Parallelise(tuple(rows)) for rows in fan_outs if len(rows) > 1]
    tools: list[Fix] = [Parallelise(tuple(rows)) for rows in turns.values() if len(rows) > 1]
    shared: list[Fix] = [Share(tuple(rows), _HIT_NS) for rows in fetches.values()]
    warm: list[Fix] = [Shorten(row, _HIT_NS) for rows in fetches.values() for row in rows]
    return [], send, send + tools, send + tools + shared, send + tools + warm


def _joins(tree: CallTree, actions: Sequence[Fix]) -> dict[int, int]:
    """The row of the fetch that each shared fetch really is: the first one for the same data."""
    joined: dict[int, int] = {}
    for action in actions:
        if isinstance(action, Share):
            first = min(action.rows, key=lambda row: (tree.start[row], row))
            joined |= dict.fromkeys(action.rows, first)
    return joined


def _verdict(step: Rung, result: "FinishedRun") -> Verdict:
    trace: SpanTable | None = result.trace
    if trace is None:
        raise NotRecordedError(
            f"The run of {step.name!r} was not recorded (a sampler, or OTEL_SDK_DISABLED), so "
            "there is nothing to compare."
        )
    verdict = judge(trace, own_gate(), result.analysis.decision.run_id)
    if not verdict.judged:
        missing = " ".join(verdict.missing)
        raise NotRecordedError(f"The trace of {step.name!r} is not complete: {missing}")
    return verdict


def _schedule(verdict: Verdict) -> Schedule:
    assert verdict.run is not None
    return Schedule(call_tree(table_of(verdict.trace), row_of(verdict.run)))
