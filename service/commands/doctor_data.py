"""The data that `doctor` shows: how cache and hosts did in the newest run, and their rules."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from trading_graph.otel.errors import TraceError
from trading_graph.otel.sources import read
from trading_graph.otel.trace import ERROR, SpanTable, semconv
from trading_graph.otel.vocabularies import Role, witness
from trading_graph.service.run.folder import TRACE
from trading_graph.service.trace_source import newest_run
from trading_graph.toolkit import data_attributes
from trading_graph.toolkit.rate_limits import HOST_POLICIES, HostPolicy
from trading_graph.toolkit.ttl import CLOSED_DAY, TODAY, Lifetime


@dataclass(frozen=True, slots=True)
class RunCacheCounts:
    """What the cache did in a run for one kind of data, as `toolkit.cache_statistics` counts."""

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


_COUNTS = tuple(each.name for each in fields(RunCacheCounts) if each.name != "kind")


@dataclass(slots=True)
class RunHostCounts:
    """The requests of a run to one host, and the sources that sent them.

    `received_bytes` counts decompressed bodies. `failed` requests were refused or broke off;
    `retries` are part of the requests. The breaker of the host opened `opened` times, and let
    `probes` through afterwards.
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
    cache: tuple[RunCacheCounts, ...]
    hosts: tuple[RunHostCounts, ...]
    refused: int


def last_run(out: Path) -> LastRun:
    """The newest run in a folder; raises TraceError if there is none, or it has not ended."""
    folder = newest_run(out)
    for trace in read(folder / TRACE):
        for run, role in enumerate(trace.roles):
            attributes = trace.attributes(run)
            if role is Role.RUN and attributes.get(semconv.RUN_ID) == folder.name:
                return LastRun(
                    run_id=folder.name,
                    symbol=str(attributes.get(data_attributes.SYMBOL)),
                    as_of=str(attributes.get(data_attributes.AS_OF)),
                    cache=tuple(_cache(trace, run)),
                    hosts=tuple(_hosts(trace, run)),
                    refused=sum(_is_refused(trace, row) for row in trace.below(run)),
                )
    raise TraceError(f"The newest run, {folder.name}, has no end: it runs yet, or was killed.")


def _cache(trace: SpanTable, run: int) -> Iterator[RunCacheCounts]:
    for event in trace.events(run):
        if event.name == semconv.CACHE_EVENT:
            counts = {
                name: int(event.attributes.get(f"{semconv.CACHE}.{name}", 0)) for name in _COUNTS
            }
            yield RunCacheCounts(str(event.attributes[semconv.CACHE_KIND]), **counts)


def _hosts(trace: SpanTable, run: int) -> list[RunHostCounts]:
    hosts: dict[str, RunHostCounts] = {}
    for row in trace.below(run):
        if trace.roles[row] is Role.HTTP:
            attributes = trace.attributes(row)
            name = f"{attributes.get('server.address')}"
            if port := attributes.get("server.port"):
                name += f":{port}"
            host = hosts.setdefault(name, RunHostCounts(name))
            _count(host, trace, row)
    for row in trace.below(run):
        for event in trace.events(row) if trace.roles[row] is Role.FETCH else ():
            name = str(event.attributes.get("server.address"))
            if event.name == semconv.BREAKER_OPENED and name in hosts:
                hosts[name].opened += 1
    return sorted(hosts.values(), key=lambda host: host.host)


def _count(host: RunHostCounts, trace: SpanTable, row: int) -> None:
    attributes = trace.attributes(row)
    host.requests += 1
    host.connections += attributes.get(semconv.POOL_REUSED) is False
    host.waited_s += (witness.wait_ms(attributes) or 0.0) / 1e3
    host.retries += semconv.RESEND_COUNT in attributes
    host.failed += int(trace.status[row]) == ERROR
    host.probes += attributes.get(semconv.BREAKER) == "half_open"
    parent = int(trace.parent[row])
    if parent < 0 or trace.roles[parent] is not Role.FETCH:
        return
    source = str(trace.attributes(parent).get(semconv.SOURCE))
    if source not in host.sources:
        host.sources.append(source)
    if row == trace.children(parent)[-1]:  # a fetch records the size of its last answer
        host.received_bytes += int(trace.number(parent, semconv.RESPONSE_BYTES) or 0)


def _is_refused(trace: SpanTable, row: int) -> bool:
    """Whether a fetch was not sent, because its host's breaker was open."""
    asked_nobody = trace.roles[row] is Role.FETCH and not trace.children(row)
    return asked_nobody and trace.attributes(row).get(semconv.BREAKER) == "open"


_OTHERS = "every other"
_CLOSED = "a day that has passed"


def data_document(last: LastRun | None) -> dict[str, Any]:
    """The rules and the last run as JSON values."""
    return {
        "last_run": None if last is None else asdict(last),
        "hosts": [{"host": name, **asdict(policy)} for name, policy in _policies()],
        "lifetimes": [{"kind": kind, **asdict(life)} for kind, life in _lifetimes()],
    }


def show_data(console: Console, last: LastRun | None) -> None:
    """Print the tables of the last run, if there is one, and of the rules."""
    if last is not None:
        about = f"of the last run ({last.symbol} as of {last.as_of})"
        _table(
            console,
            f"Cache {about}",
            ("kind", "hits", "misses", "shared", "stale", "on error", "nothing", "failed", "gone"),
            [
                (
                    each.kind,
                    each.hits,
                    each.misses,
                    each.shared,
                    each.stale,
                    each.stale_errors,
                    each.negative,
                    each.failures,
                    each.evictions,
                )
                for each in last.cache
            ],
        )
        _table(
            console,
            f"Hosts {about}",
            ("host", "requests", "new", "kB", "waited", "again", "failed", "opened", "sources"),
            [
                (
                    each.host,
                    each.requests,
                    each.connections,
                    f"{each.received_bytes / 1e3:.0f}",
                    f"{each.waited_s:.2f} s",
                    each.retries,
                    each.failed,
                    each.opened,
                    ", ".join(each.sources),
                )
                for each in last.hosts
            ],
        )
        if last.refused:
            console.print(f"[yellow]{last.refused} fetches met an open breaker.[/]")
    _table(
        console,
        "Rules of hosts",
        ("host", "a second", "burst", "tries", "opens after", "for", "at most"),
        [
            (
                name,
                "any" if each.requests_per_s is None else f"{each.requests_per_s:.3g}",
                "" if each.requests_per_s is None else each.burst,
                each.attempts,
                "never" if each.breaker_failures is None else each.breaker_failures,
                _time(each.breaker_open_s),
                f"{each.max_body_bytes / 2**20:.0f} MiB",
            )
            for name, each in _policies()
        ],
    )
    _table(
        console,
        "Lifetimes in the cache",
        ("kind", "fresh", "then old at once", "then old on error"),
        [
            (kind, _time(each.fresh_s), _time(each.revalidate_s), _time(each.if_error_s))
            for kind, each in _lifetimes()
        ],
    )


def _policies() -> list[tuple[str, HostPolicy]]:
    return [*HOST_POLICIES.items(), (_OTHERS, HostPolicy())]


def _lifetimes() -> list[tuple[str, Lifetime]]:
    return [*TODAY.items(), (_CLOSED, CLOSED_DAY)]


def _table(
    console: Console, title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]
) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        right = column not in (columns[0], "sources")
        table.add_column(column, justify="right" if right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(escape(str(cell)) for cell in row))
    console.print(f"\n[bold]{escape(title)}[/]")
    console.print(table if table.row_count else "[dim]nothing was recorded[/]")


def _time(seconds: float) -> str:
    """A duration in its largest unit."""
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s" if seconds else "-"
