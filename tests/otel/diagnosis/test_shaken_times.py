"""Recorded traces with their times shaken: whatever the times are, a diagnosis ends and adds up.

Spans then stick out of their parents, hang elsewhere in the tree of calls, and seem to come from
clocks that disagree.
"""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from trading_graph.graph.gate_loader import default_gate
from trading_graph.otel.diagnosis import Diagnosis, diagnose, ranking_of, what_if
from trading_graph.otel.sources import read
from trading_graph.otel.trace import SpanTable
from trading_graph.otel.verdict import Verdict

RECORDED = Path(__file__).parents[2] / "recorded"
TELLING = ("cases/langgraph-ls-fake", "cases/service-own-fake", "frameworks/http_service-own-pool")
"""Their spans hang on tasks, are below others in two processes, and have braces in their names."""

Shake = Callable[[random.Random, int, int, int, int], tuple[int, int]]


def anywhere(chance: random.Random, low: int, high: int, start: int, end: int) -> tuple[int, int]:
    """Anywhere inside the parent."""
    first, last = sorted((chance.uniform(low, high), chance.uniform(low, high)))
    return int(first), int(last)


def together(chance: random.Random, low: int, high: int, start: int, end: int) -> tuple[int, int]:
    """Near the start of the parent, and about as long as before."""
    begin = low + int(chance.uniform(0, 0.03) * (high - low))
    return begin, begin + int(chance.uniform(0.8, 1.2) * (end - start))


def rough(chance: random.Random, low: int, high: int, start: int, end: int) -> tuple[int, int]:
    """Near its own place, perhaps outside of the parent."""
    length = end - start
    begin = start + int(chance.uniform(-0.3, 0.3) * length)
    return begin, max(begin, end + int(chance.uniform(-0.3, 0.3) * length))


def shaken(trace: SpanTable, shake: Shake, seed: str) -> SpanTable:
    chance = random.Random(seed)
    start, end = trace.start.copy(), trace.end.copy()
    for row, parent in enumerate(trace.parents):
        if parent >= 0:
            around = trace.intervals[parent]
            start[row], end[row] = shake(chance, *around, *trace.intervals[row])
    return trace.with_times(start, end)


def check(trace: SpanTable) -> None:
    found = diagnose(trace, default_gate(trace))
    if isinstance(found, Verdict):
        return  # not complete
    assert isinstance(found, Diagnosis)
    path = ranking_of(found).path
    assert sum(path.self_ns.values()) == ranking_of(found).wall_ns
    assert all(note.endswith(".") for note in found.notes)
    if found.findings:
        played = what_if(found, range(len(found.findings)))
        assert played.wall.low_s <= played.wall.likely_s <= played.wall.high_s


@pytest.mark.parametrize("shake", [anywhere, together, rough])
@pytest.mark.parametrize("name", TELLING)
def test_a_diagnosis_ends_whatever_the_times_are(name: str, shake: Shake) -> None:
    for trace in read(RECORDED / f"{name}.json"):
        for number in range(5):
            check(shaken(trace, shake, f"{name} {number}"))


@pytest.mark.full
@pytest.mark.parametrize("shake", [anywhere, together, rough])
@pytest.mark.parametrize("path", sorted(RECORDED.glob("[cfg]*/*.json")), ids=lambda path: path.stem)
def test_so_does_that_of_every_recorded_trace(path: Path, shake: Shake) -> None:
    if path.stem == "manifest":
        return
    for trace in read(path):
        for number in range(3):
            check(shaken(trace, shake, f"{path.stem} {number}"))
