"""What a run with simulated latencies takes at their full length.

Only simulated latency is scaled back. Each instant of the critical path is either spent waiting for
an LLM call or a fetch, for up to the latency that its server simulates, or it is the program's own
time, which stands as it is.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from otel.diagnosis import CallTree, critical_path
from otel.trace import Trace
from otel.trace.kinds import Role


@dataclass(frozen=True, slots=True)
class Latencies:
    """What an LLM call and a fetch take, in seconds, and the scale at which that is simulated."""

    call_s: float
    fetch_s: float
    scale: float


@dataclass(frozen=True, slots=True)
class FullScale:
    """A run's critical path: so many simulated latencies after each other, and its own time.

    `calls` and `fetches` are whole numbers but for what of a latency is not on the path, as when a
    branch joins a fetch that is already on its way.
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
    tree: CallTree, declared: Mapping[int, tuple[int, ...]], latencies: Latencies
) -> FullScale:
    """The simulated latencies on a run's critical path; `declared` as `critical_path` takes it."""
    simulated_ns = {
        Role.LLM: latencies.call_s * latencies.scale * 1e9,
        Role.FETCH: latencies.fetch_s * latencies.scale * 1e9,
    }
    spent: dict[int, int] = defaultdict(int)
    for row, start, end in critical_path(tree, declared).segments:
        for awaited in _awaited(tree, row):
            low = max(start, tree.start[awaited])
            high = min(end, tree.end[awaited])
            if high > low:
                spent[awaited] += high - low
                break
    # A call that took longer than its server lets it take did so on the program's account.
    waited = dict.fromkeys(simulated_ns, 0.0)
    for row, took in spent.items():
        role = tree.trace.roles[row]
        waited[role] += min(took, simulated_ns[role])
    return FullScale(
        latencies,
        calls=waited[Role.LLM] / simulated_ns[Role.LLM],
        fetches=waited[Role.FETCH] / simulated_ns[Role.FETCH],
        own_s=(tree.wall_ns - sum(waited.values())) / 1e9,
    )


def _awaited(tree: CallTree, row: int) -> Iterator[int]:
    """The calls and fetches that a span may have waited for: the one it is a part of, or those of
    others that it joined and links to.
    """
    trace = tree.trace
    above = row
    while above != tree.run:
        if trace.roles[above] in (Role.LLM, Role.FETCH):
            yield above
            return
        above = int(trace.parent[above])
    yield from _joined(trace, row)


def _joined(trace: Trace, row: int) -> Iterator[int]:
    linked = {link.span_id for link in trace.links(row)}
    for other in range(len(trace)) if linked else ():
        if trace.span_ids[other] in linked and trace.roles[other] is Role.FETCH:
            yield other
