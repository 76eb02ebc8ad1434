"""What a run would take if one call were faster: played, and measured by slowing all others.

Nobody can make a call of somebody else's service faster to see what that gives. But everything that
runs beside it can be made slower by as much: the run then takes that much longer than it would with
the faster call. That is the idea of causal profiling (docs/probe.md).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from trading_graph.otel.diagnosis import Edits, Model, Schedule, ShortenBy, Simulation, simulate
from trading_graph.otel.probe.plan import Plan
from trading_graph.otel.probe.runs import Runs

SHARE = 0.3
"""By this share a call is taken to be faster."""

LEAST_SHARE = 0.02
"""A call with a smaller share of the critical path gains nothing worth a line."""

MOST = 5


@dataclass(frozen=True, slots=True)
class PlayedSpeedUp:
    """A call, by the number of its span, and the run without `less_s` of it; in seconds."""

    span: int
    less_s: float
    run_s: float


def played_speed_ups(
    schedule: Schedule, rows: Sequence[int], share: float = SHARE
) -> Iterator[PlayedSpeedUp]:
    """The calls whose speed matters most, the one with the greatest gain first.

    `rows` are the rows of the spans, by number.
    """
    tree, path = schedule.tree, schedule.path.self_ns
    number_of = {row: number for number, row in enumerate(rows)}
    least_ns = LEAST_SHARE * tree.wall_ns
    calls = [
        row
        for row, self_ns in path.items()
        if self_ns >= least_ns and row in number_of and row != tree.run and not tree.children(row)
    ]
    played = []
    for row in calls:
        less_ns = int(share * tree.duration(row))
        run_ns = simulate(schedule, [ShortenBy(((row, less_ns),))]).wall_ns
        played.append(PlayedSpeedUp(number_of[row], less_ns / 1e9, run_ns / 1e9))
    yield from sorted(played, key=lambda each: each.run_s)[:MOST]


def slowing_plan(runs: Runs, run: int, speed_up: PlayedSpeedUp, token: str, process: int) -> Plan:
    """The plan that holds every call which runs as one begins, by what that one would save."""
    span, parents = speed_up.span, set(runs.parents)
    at = runs.work[run, span] + 0.1 * (runs.end[run, span] - runs.work[run, span])
    beside = [
        each
        for each in range(len(runs))
        if each not in parents
        and each not in runs.above[span]
        and runs.start[run, each] <= at < runs.end[run, each]
    ]
    return Plan(token, process, {runs.keys[each]: speed_up.less_s for each in beside})


def play_holds(schedule: Schedule, runs: Runs, run: int, rows: Sequence[int]) -> float:
    """The duration of a run with holds as the undisturbed one predicts it, in seconds."""
    edits, tree = Edits(), schedule.tree
    for span, row in enumerate(rows):
        own = runs.held[run, span] - sum(
            runs.held[run, each] for each in runs.children.get(span, ())
        )
        own_ns = int(own * 1e9)
        if own_ns > 0 and tree.children(row):
            edits.tail[row] = schedule.family(row).tail + own_ns
        elif own_ns > 0:
            edits.length[row] = tree.duration(row) + own_ns
        late_ns = int((runs.late[run, span] + runs.born_late[run, span]) * 1e9)
        if late_ns and row != tree.run:
            family = schedule.family(tree.parents[row])
            edits.gap[row] = family.gaps[family.number[row]] + late_ns
    return Simulation(schedule, edits, Model.LIKELY).wall_ns / 1e9
