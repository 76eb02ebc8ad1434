"""Recorded waits for a turn, by what was waited for."""

from collections import defaultdict
from collections.abc import Iterator

from trading_graph.otel.diagnosis.actions import Fix, RemoveWaits, SkipWaits
from trading_graph.otel.diagnosis.findings.candidate import Candidate, place_of, seconds
from trading_graph.otel.diagnosis.findings.kind import FindingKind
from trading_graph.otel.diagnosis.schedule import Schedule
from trading_graph.otel.trace.grants import granted_or_declaring
from trading_graph.otel.trace.intervals import total_ns
from trading_graph.otel.trace.waits import own_waits
from trading_graph.otel.verdict.causes import Cause, cause_of_wait
from trading_graph.otel.verdict.group_waits import LIMITS
from trading_graph.otel.vocabularies import witness

LEAST_NS = 1_000_000
"""Shorter waits are no reason."""

LEAST_SHARE = 0.01
"""Waits of less than this share of the run are not worth a finding."""

KIND_OF_WAIT = {
    Cause.CONNECTION_LIMIT: FindingKind.QUEUE,
    Cause.WORKERS: FindingKind.WORKERS,
    Cause.CALLBACK: FindingKind.CALLBACKS,
    Cause.INTERPRETER_LOCK: FindingKind.INTERPRETER_LOCK,
}
"""The kind of finding for what is waited for; any other cause is a limit."""

_RATE = witness.Wait.RATE_LIMIT

_FOR: dict[str, str] = {
    _RATE: "a rate limit",
    witness.Wait.EXECUTOR: "a thread of an executor",
    witness.Wait.QUEUE: "a worker that takes their items out of a queue",
    witness.Wait.INTERPRETER_LOCK: "the interpreter lock",
    witness.Wait.TASK: "each other, as at a lock or a limit of the program's own",
    witness.Wait.CALLBACK: "a thread for the instrumentor's own callbacks",
    **LIMITS,
}

_ONLY_IF = {
    Cause.CONNECTION_LIMIT: "the source bears so many at once",
    Cause.INTERPRETER_LOCK: "the work moves to processes, or to code that releases the lock",
    Cause.CALLBACK: "the callbacks hold up the program, and not only its spans",
}


def recorded_waits(schedule: Schedule) -> Iterator[Candidate]:
    """The recorded waits, a candidate for each cause; those of which some are on the path."""
    tree, trace, on_path = schedule.tree, schedule.tree.trace, schedule.path.total_ns
    by_kind: dict[str | None, list[int]] = defaultdict(list)
    time_ns = {
        row: total
        for row, places in own_waits(trace).items()
        if row in tree.inside and (total := total_ns(places)) >= LEAST_NS
    }
    # What declared limits say of these is a finding of its own, and exact.
    for row in granted_or_declaring(trace, tree.run).intersection(time_ns):
        del time_ns[row]
    for row in time_ns:
        kind = trace.read(witness.wait_kind, row)
        is_pool = kind != _RATE and cause_of_wait(kind) is Cause.CONNECTION_LIMIT
        by_kind[None if is_pool else kind].append(row)
    for kind, rows in by_kind.items():
        waited = [row for row in rows if row in on_path]
        wall_ns = tree.end[tree.run] - tree.start[tree.run]
        if not waited or sum([time_ns[row] for row in waited]) < LEAST_SHARE * wall_ns:
            continue
        cause = cause_of_wait(kind)
        # Whoever passes the limit at once lets the others pass it, too.
        placed = [row for row in rows if trace.read(witness.wait_offsets_ms, row)]
        presumed = [row for row in waited if row not in set(placed)]
        actions: list[Fix] = []
        if presumed:
            actions.append(RemoveWaits(tuple((row, time_ns[row]) for row in presumed)))
        if placed:
            actions.append(SkipWaits(tuple(placed)))
        sum_of_path = seconds(sum(time_ns[row] for row in waited))
        what = "request" if cause is Cause.CONNECTION_LIMIT else "span"
        what += "s" if len(waited) > 1 else ""
        turn = "a free connection" if kind is None else _FOR.get(kind, f"their turn ({kind})")
        yield Candidate(
            kind=KIND_OF_WAIT.get(cause, FindingKind.LIMIT),
            place=place_of(tree, waited[0]),
            evidence=f"{len(waited)} {what} waited {sum_of_path} for {turn}.",
            rows=tuple(waited),
            actions=tuple(actions),
            proven=False,
            only_if=_ONLY_IF.get(cause, "what they share bears them all at once"),
            is_open=cause is Cause.CALLBACK,
            causes=(cause,),
        )
