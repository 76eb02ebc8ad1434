"""Probes random programs in virtual time, and holds what is found against what is known of them."""

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tests.otel.probe.programs import Program, Truth
from trading_graph.otel.probe.plan import Plan
from trading_graph.otel.probe.runs import ProbeRun
from trading_graph.otel.probe.session import ProbeSession
from trading_graph.otel.trace import SpanTable
from trading_graph.otel.trace.dependencies import Dependencies

Edge = tuple[str, str]
Limit = tuple[frozenset[str], int]


def probe(program: Program, runs: int) -> ProbeSession:
    """The session with all runs of a program."""
    session = ProbeSession(("program",), runs, program.seed)
    for number in range(runs):
        plan = session.next_plan(str(number), os.getpid())
        trace = program.trace(number, plan)
        session.add(ProbeRun(trace, trace.roots[0], plan))
    return session


def wall_s(trace: SpanTable) -> float:
    """The duration of a run."""
    return int(trace.duration[trace.roots[0]]) / 1e9


def undisturbed(program: Program, changed: Mapping[str, float], run: int = 900) -> SpanTable:
    """A run of the program with calls of another length, in which nothing is held."""
    return program.trace(run, Plan("", os.getpid()), changed)


@dataclass(frozen=True)
class Score:
    """What was found of a program, and what of that is wrong or missing."""

    found: list[Edge]
    true: list[Edge]
    wrong: list[Edge]
    missing: list[Edge]
    limits: list[Limit]
    true_limits: list[Limit]


def score(truth: Truth, found: Dependencies) -> Score:
    """Hold what was found against the truth.

    A dependency is right if the second truly waits for the first, be it through others; and a true
    one is found if it follows from those that were.
    """
    names = [each.path[-1] for each in found.spans]
    edges = [
        (names[wait.span], names[at])
        for at, span in enumerate(found.spans)
        for wait in span.waits_for
    ]
    true = [(before, after) for after, ends in truth.waits_for.items() for before in ends]
    from_truth, from_found = _closure(true, truth), _closure(edges, truth)
    return Score(
        found=edges,
        true=true,
        wrong=[each for each in edges if each not in from_truth],
        missing=[each for each in true if each not in from_found],
        limits=[
            (frozenset(names[each] for each in limit.spans), limit.at_once)
            for limit in found.limits
        ],
        true_limits=truth.limits,
    )


def _closure(edges: Iterable[Edge], truth: Truth) -> set[Edge]:
    """All that waits for the end of another: a start for ends, an end for what is inside of it."""
    follows: dict[tuple[str, bool], set[tuple[str, bool]]] = defaultdict(set)
    for parent, children in truth.inside.items():
        for child in children:
            follows[child, True].add((parent, True))
            follows[parent, False].add((child, False))
            follows[child, False].add((child, True))
    for before, after in edges:
        follows[before, True].add((after, False))
    closure = set()
    for start in [each for each in list(follows) if each[1]]:
        pending, seen = [start], {start}
        while pending:
            for each in follows.get(pending.pop(), ()):
                if each not in seen:
                    seen.add(each)
                    pending.append(each)
        closure |= {(start[0], name) for name, is_end in seen if not is_end}
    return closure
