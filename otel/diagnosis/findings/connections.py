"""Connections that were opened although an earlier one to the same host could have been reused."""

import heapq
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from trading_graph.otel.diagnosis.actions import ShortenBy
from trading_graph.otel.diagnosis.findings.candidate import Candidate, seconds
from trading_graph.otel.diagnosis.findings.kind import FindingKind
from trading_graph.otel.diagnosis.schedule import Schedule
from trading_graph.otel.trace import semconv
from trading_graph.otel.vocabularies import Role

IDLE_NS = 15_000_000_000
"""How long a client keeps an idle connection: aiohttp's default of 15 s."""


def cold_connections(schedule: Schedule) -> Iterator[Candidate]:
    """Requests on the critical path that opened a connection without need.

    The search goes host by host. The first request to a host has to open a connection, and so do
    requests that run at once; only a request that starts after an earlier one has returned its
    connection could have reused that connection.
    """
    trace = schedule.tree.trace
    connect_ns = {row: int(ms * 1e6) for row, ms in trace.numbers(semconv.CONNECT_MS) if ms > 0}
    if not connect_ns:
        return
    time_ns = schedule.path.total_ns
    for host, requests in _by_host(schedule).items():
        cold = [row for row in _could_reuse(schedule, requests) if row in connect_ns]
        on_path = tuple([row for row in cold if time_ns.get(row)])
        if not on_path:
            continue
        reused = any(trace.attributes(row)[semconv.POOL_REUSED] for row in requests)
        cost = seconds(sum(connect_ns[row] for row in on_path))
        yield Candidate(
            kind=FindingKind.COLD_CONNECTIONS,
            place=host,
            evidence=f"{len(on_path)} requests on the critical path opened a connection in {cost}, "
            f"while one that was open already could have been kept; {len(cold)} of "
            f"{len(requests)} requests to this host did so.",
            rows=on_path,
            actions=(ShortenBy(tuple((row, connect_ns[row]) for row in cold)),),
            proven=reused,
            only_if="" if reused else "the server keeps connections open",
        )


def _by_host(schedule: Schedule) -> Mapping[str, Sequence[int]]:
    """The requests that say whether they reused a connection, by host, in order of start."""
    tree, trace = schedule.tree, schedule.tree.trace
    reused = trace.values(semconv.POOL_REUSED)
    by_host: dict[str, list[int]] = defaultdict(list)
    for row in sorted(row for row in tree.rows if reused[row] is not None):
        attributes = trace.attributes(row)
        address, port = attributes.get(semconv.SERVER_ADDRESS), attributes.get(semconv.SERVER_PORT)
        if address:
            by_host[f"{address}:{port}" if port else str(address)].append(row)
    return by_host


def _could_reuse(schedule: Schedule, requests: Sequence[int]) -> Iterator[int]:
    """The requests at whose start a connection would have been idle, had all been kept open."""
    tree, failed = schedule.tree, schedule.tree.trace.failed
    idle: list[int] = []
    for row in requests:
        start = tree.start[row]
        while idle and idle[0] < start - IDLE_NS:
            heapq.heappop(idle)
        if idle and idle[0] <= start:
            heapq.heappop(idle)
            yield row
        if row not in failed:
            heapq.heappush(idle, _return_ns(schedule, row))


def _return_ns(schedule: Schedule, row: int) -> int:
    """When a request returns its connection, which is when it has its whole answer.

    The span of a request ends at the headers, and the fetch around it later. If a fetch has several
    requests, each is done when the next one starts.
    """
    tree, trace = schedule.tree, schedule.tree.trace
    if row == tree.run or trace.roles[tree.parents[row]] is not Role.FETCH:
        return tree.end[row]
    parent = tree.parents[row]
    siblings = tree.children(parent)
    after = bisect_left(siblings, tree.end[row], key=tree.start.__getitem__)
    return tree.start[siblings[after]] if after < len(siblings) else tree.end[parent]
