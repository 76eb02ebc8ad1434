"""How the cache and the hosts did in the newest run, read from its trace."""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path

from trading_graph.otel.errors import TraceError
from trading_graph.otel.sources import read
from trading_graph.otel.trace import ERROR, SpanTable, semconv
from trading_graph.otel.trace.kinds import Role
from trading_graph.service.run_folder import TRACE
from trading_graph.service.trace_source import newest_run
from trading_graph.toolkit import data_attributes


@dataclass(frozen=True, slots=True)
class CacheOfRun:
    """What the cache did for a run with one kind of data, as `toolkit.cache` counts."""

    kind: str
    hits: int = 0
    misses: int = 0
    shared: int = 0
    stale: int = 0
    stale_errors: int = 0
    negative: int = 0
    refreshes: int = 0
    failures: int = 0
    evictions: int = 0


_COUNTS = tuple(each.name for each in fields(CacheOfRun) if each.name != "kind")


@dataclass(slots=True)
class HostOfRun:
    """The requests of a run to one host, and the sources that sent them.

    `received_bytes` are those of bodies, decompressed. `failed` requests were refused or broke off;
    `retries` count among the requests. The host's breaker opened `opened` times, and let `probes`
    through afterwards.
    """

    host: str
    sources: list[str] = field(default_factory=list)
    requests: int = 0
    connections: int = 0
    received_bytes: int = 0
    waited_s: float = 0.0
    retries: int = 0
    failed: int = 0
    opened: int = 0
    probes: int = 0


@dataclass(frozen=True, slots=True)
class LastRun:
    """A run, and how the cache and the hosts did in it; `refused` fetches met an open breaker."""

    run_id: str
    symbol: str
    as_of: str
    cache: tuple[CacheOfRun, ...]
    hosts: tuple[HostOfRun, ...]
    refused: int


def last_run(out: Path) -> LastRun:
    """The newest run below a folder; raises TraceError where none is there, or none has ended."""
    folder = newest_run(out)
    for trace in read(folder / TRACE):
        for run, role in enumerate(trace.roles):
            said = trace.attributes(run)
            if role is Role.RUN and said.get(semconv.RUN_ID) == folder.name:
                return LastRun(
                    run_id=folder.name,
                    symbol=str(said.get(data_attributes.SYMBOL)),
                    as_of=str(said.get(data_attributes.AS_OF)),
                    cache=tuple(_cache(trace, run)),
                    hosts=tuple(_hosts(trace, run)),
                    refused=sum(_is_refused(trace, row) for row in trace.below(run)),
                )
    raise TraceError(f"The newest run, {folder.name}, has no end: it runs yet, or was killed.")


def _cache(trace: SpanTable, run: int) -> Iterator[CacheOfRun]:
    for event in trace.events(run):
        if event.name == semconv.CACHE_EVENT:
            counts = {
                name: int(event.attributes.get(f"{semconv.CACHE}.{name}", 0)) for name in _COUNTS
            }
            yield CacheOfRun(str(event.attributes[semconv.CACHE_KIND]), **counts)


def _hosts(trace: SpanTable, run: int) -> list[HostOfRun]:
    hosts: dict[str, HostOfRun] = {}
    for row in trace.below(run):
        if trace.roles[row] is Role.HTTP:
            said = trace.attributes(row)
            name = f"{said.get('server.address')}"
            if port := said.get("server.port"):
                name += f":{port}"
            host = hosts.setdefault(name, HostOfRun(name))
            _count(host, trace, row)
    for row in trace.below(run):
        for event in trace.events(row) if trace.roles[row] is Role.FETCH else ():
            name = str(event.attributes.get("server.address"))
            if event.name == semconv.BREAKER_OPENED and name in hosts:
                hosts[name].opened += 1
    return sorted(hosts.values(), key=lambda host: host.host)


def _count(host: HostOfRun, trace: SpanTable, row: int) -> None:
    said = trace.attributes(row)
    host.requests += 1
    host.connections += said.get(semconv.POOL_REUSED) is False
    host.waited_s += (trace.number(row, semconv.QUEUE_WAIT_MS) or 0.0) / 1e3
    host.retries += semconv.RESEND_COUNT in said
    host.failed += int(trace.status[row]) == ERROR
    host.probes += said.get(semconv.BREAKER) == "half_open"
    parent = int(trace.parent[row])
    if parent < 0 or trace.roles[parent] is not Role.FETCH:
        return
    source = str(trace.attributes(parent).get(semconv.SOURCE))
    if source not in host.sources:
        host.sources.append(source)
    if row == trace.children(parent)[-1]:  # the fetch tells the size of its last answer
        host.received_bytes += int(trace.number(parent, semconv.RESPONSE_BYTES) or 0)


def _is_refused(trace: SpanTable, row: int) -> bool:
    """Whether a fetch was not sent, because its host's breaker was open."""
    asked_nobody = trace.roles[row] is Role.FETCH and not trace.children(row)
    return asked_nobody and trace.attributes(row).get(semconv.BREAKER) == "open"
