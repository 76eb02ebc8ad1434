"""What a run with simulated latencies takes at their full length.

Only simulated latency is scaled back. Each instant of the critical path is either spent waiting for
an LLM call or a fetch, for up to the latency that its server simulates, or it is the program's own
time, which stands as it is.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from trading_graph.otel.diagnosis import CallTree, critical_path
from trading_graph.otel.trace.kinds import Role


@dataclass(frozen=True, slots=True)
class Latencies:
    """What an LLM call and a fetch take, in seconds, and the scale at which that is simulated."""

    call_s: float
    fetch_s: float
    scale: float


@dataclass(frozen=True, slots=True)
class FullScale:
    """A run's critical path: so many simulated latencies after each other, and its own time.

    `calls` and `fetches` count latencies; a part of one, where a branch joins a fetch of another
    that is on its way.
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

    `joined` names, by row, the fetch that another one really was; links say the same. What of such
    a fetch passed before the branch came counts as well, since the branch was late by its own time,
    unless it was another latency that it waited for meanwhile.
    """
    simulated_ns = {
        Role.LLM: latencies.call_s * latencies.scale * 1e9,
        Role.FETCH: latencies.fetch_s * latencies.scale * 1e9,
    }
    spent: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for row, start, end in critical_path(tree, declared).segments:
        for awaited in _awaited(tree, row, joined or {}):
            low, high = max(start, tree.start[awaited]), min(end, tree.end[awaited])
            if high > low:
                spent[awaited].append((low, high))
                break
    # A call that took longer than its server lets it take did so on the program's account.
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


def _awaited(tree: CallTree, row: int, joined: Mapping[int, int]) -> Iterator[int]:
    """The calls and fetches that a span may have waited for: the one it is a part of, or those of
    others that it joined.
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
