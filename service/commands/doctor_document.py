"""What `doctor` says, as a document: the findings, the newest run's cache and hosts, the rules."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from trading_graph.otel.errors import TraceError
from trading_graph.otel.report.documents.document import SCHEMA_VERSION, Document
from trading_graph.otel.report.tables import terminal_table
from trading_graph.otel.sources import read
from trading_graph.otel.trace import ERROR, SpanTable, semconv
from trading_graph.otel.vocabularies import Role, witness
from trading_graph.service.run.folder import TRACE
from trading_graph.service.trace_source import newest_run
from trading_graph.toolkit import data_attributes
from trading_graph.toolkit.cache_use import COUNTS
from trading_graph.toolkit.rate_limits import HOST_POLICIES, HostPolicy
from trading_graph.toolkit.ttl import CLOSED_DAY, TODAY, Lifetime


class SetupState(StrEnum):
    """How serious a finding is."""

    OK = "ok"
    OFF = "off"
    RED = "red"


class SetupFinding(Document, frozen=True, kw_only=True):
    """The result of a check; `advice` says what to do about a red one."""

    check: str
    state: SetupState
    found: str
    advice: str | None = None


class CacheUseJson(Document, frozen=True, kw_only=True):
    """What the cache did in a run for one kind of data; `toolkit.cache` says what it counts."""

    kind: str
    hits: int
    misses: int
    shared: int
    stale: int
    stale_errors: int
    negative: int
    stored: int
    refreshes: int
    failures: int
    evictions: int


class HostUseJson(Document, frozen=True, kw_only=True):
    """The requests of a run to one host, and the sources that sent them.

    `received_bytes` counts decompressed bodies. `failed` requests were refused or broke off;
    `retries` are part of the requests. The breaker of the host opened `opened` times, and let
    `probes` through afterwards.
    """

    host: str
    sources: list[str]
    requests: int
    connections: int
    received_bytes: int
    waited_s: float
    retries: int
    failed: int
    opened: int
    probes: int


class LastRunJson(Document, frozen=True, kw_only=True):
    """A run, and how the cache and the hosts did in it; `refused` fetches met an open breaker."""

    run_id: str
    symbol: str
    as_of: str
    cache: list[CacheUseJson]
    hosts: list[HostUseJson]
    refused: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRuleJson(HostPolicy):
    """The limits of the requests to a host."""

    host: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LifetimeJson(Lifetime):
    """How long a kind of data lives in the cache, in seconds."""

    kind: str


class DoctorJson(Document, frozen=True, kw_only=True):
    """What `trading-graph doctor --json` prints."""

    schema_version: Literal[1]
    well: bool
    findings: list[SetupFinding]
    last_run: LastRunJson | None
    hosts: list[HostRuleJson]
    lifetimes: list[LifetimeJson]


def doctor_document(findings: list[SetupFinding], last: LastRunJson | None) -> DoctorJson:
    """The document of the findings and of the newest run; the rules are those of the program."""
    policies = {**HOST_POLICIES, "every other": HostPolicy()}
    lifetimes = {**TODAY, "a day that has passed": CLOSED_DAY}
    return DoctorJson(
        schema_version=SCHEMA_VERSION,
        well=all(each.state is not SetupState.RED for each in findings),
        findings=findings,
        last_run=last,
        hosts=[HostRuleJson(host=host, **asdict(each)) for host, each in policies.items()],
        lifetimes=[LifetimeJson(kind=kind, **asdict(each)) for kind, each in lifetimes.items()],
    )


def last_run(out: Path) -> LastRunJson:
    """The newest run in a folder; raises TraceError if there is none, or it has not ended."""
    folder = newest_run(out)
    for trace in read(folder / TRACE):
        for run, role in enumerate(trace.roles):
            attributes = trace.attributes(run)
            if role is Role.RUN and attributes.get(semconv.RUN_ID) == folder.name:
                return LastRunJson(
                    run_id=folder.name,
                    symbol=str(attributes.get(data_attributes.SYMBOL)),
                    as_of=str(attributes.get(data_attributes.AS_OF)),
                    cache=list(_cache(trace, run)),
                    hosts=_hosts(trace, run),
                    refused=sum(_is_refused(trace, row) for row in trace.below(run)),
                )
    raise TraceError(f"The newest run, {folder.name}, has no end: it runs yet, or was killed.")


def _cache(trace: SpanTable, run: int) -> Iterator[CacheUseJson]:
    for event in trace.events(run):
        if event.name == semconv.CACHE_EVENT:
            attributes = event.attributes
            counts = {name: int(attributes.get(f"{semconv.CACHE}.{name}", 0)) for name in COUNTS}
            yield CacheUseJson(kind=str(attributes[semconv.CACHE_KIND]), **counts)


def _hosts(trace: SpanTable, run: int) -> list[HostUseJson]:
    requests: dict[str, list[int]] = defaultdict(list)
    opened: Counter[str] = Counter()
    for row in trace.below(run):
        if trace.roles[row] is Role.HTTP:
            attributes = trace.attributes(row)
            name, port = str(attributes.get("server.address")), attributes.get("server.port")
            requests[f"{name}:{port}" if port else name].append(row)
        for event in trace.events(row) if trace.roles[row] is Role.FETCH else ():
            if event.name == semconv.BREAKER_OPENED:
                opened[str(event.attributes.get("server.address"))] += 1
    return [_host(trace, name, requests[name], opened[name]) for name in sorted(requests)]


def _host(trace: SpanTable, name: str, rows: Sequence[int], opened: int) -> HostUseJson:
    attributes = [trace.attributes(row) for row in rows]
    parents = [int(trace.parent[row]) for row in rows]
    fetches = [row for row in parents if row >= 0 and trace.roles[row] is Role.FETCH]
    sources = [str(trace.attributes(row).get(semconv.SOURCE)) for row in fetches]
    # A fetch records the size of its last answer.
    last = [row for row in {*fetches} if trace.children(row)[-1] in {*rows}]
    return HostUseJson(
        host=name,
        sources=list(dict.fromkeys(sources)),
        requests=len(rows),
        connections=sum(each.get(semconv.POOL_REUSED) is False for each in attributes),
        received_bytes=sum(int(trace.number(row, semconv.RESPONSE_BYTES) or 0) for row in last),
        waited_s=sum(witness.wait_ms(each) or 0.0 for each in attributes) / 1e3,
        retries=sum(semconv.RESEND_COUNT in each for each in attributes),
        failed=sum(int(trace.status[row]) == ERROR for row in rows),
        opened=opened,
        probes=sum(each.get(semconv.BREAKER) == "half_open" for each in attributes),
    )


def _is_refused(trace: SpanTable, row: int) -> bool:
    """Whether a fetch was not sent, because its host's breaker was open."""
    asked_nobody = trace.roles[row] is Role.FETCH and not trace.children(row)
    return asked_nobody and trace.attributes(row).get(semconv.BREAKER) == "open"


_SIGNS = {SetupState.OK: "[green]✓[/]", SetupState.OFF: "[dim]-[/]", SetupState.RED: "[red]✗[/]"}

_Columns = Mapping[str, Callable[[Any], object]]
"""The columns of a table: by title what a row shows there."""

_CACHE: _Columns = {
    "kind": attrgetter("kind"),
    "hits": attrgetter("hits"),
    "misses": attrgetter("misses"),
    "shared": attrgetter("shared"),
    "stale": attrgetter("stale"),
    "on error": attrgetter("stale_errors"),
    "nothing": attrgetter("negative"),
    "failed": attrgetter("failures"),
    "gone": attrgetter("evictions"),
}
_HOSTS: _Columns = {
    "host": attrgetter("host"),
    "requests": attrgetter("requests"),
    "new": attrgetter("connections"),
    "kB": lambda use: f"{use.received_bytes / 1e3:.0f}",
    "waited": lambda use: f"{use.waited_s:.2f} s",
    "again": attrgetter("retries"),
    "failed": attrgetter("failed"),
    "opened": attrgetter("opened"),
    "sources": lambda use: ", ".join(use.sources),
}
_HOST_RULES: _Columns = {
    "host": attrgetter("host"),
    "a second": lambda rule: f"{rule.requests_per_s:.3g}" if rule.requests_per_s else "any",
    "burst": lambda rule: rule.burst if rule.requests_per_s else "",
    "tries": attrgetter("attempts"),
    "opens after": lambda rule: rule.breaker_failures or "never",
    "for": lambda rule: _time(rule.breaker_open_s),
    "at most": lambda rule: f"{rule.max_body_bytes / 2**20:.0f} MiB",
}
_LIFETIMES: _Columns = {
    "kind": attrgetter("kind"),
    "fresh": lambda life: _time(life.fresh_s),
    "then old at once": lambda life: _time(life.revalidate_s),
    "then old on error": lambda life: _time(life.if_error_s),
}


def show(document: DoctorJson, console: Console) -> None:
    """Print the document for people."""
    table = Table(box=None, show_header=False, padding=(0, 1, 0, 0))
    for each in document.findings:
        advice = f"\n[yellow]→ {escape(each.advice)}[/]" if each.advice else ""
        table.add_row(_SIGNS[each.state], each.check, f"{escape(each.found)}{advice}")
    console.print(table)
    if last := document.last_run:
        about = f"of the last run ({last.symbol} as of {last.as_of})"
        _show_table(console, f"Cache {about}", _CACHE, last.cache)
        _show_table(console, f"Hosts {about}", _HOSTS, last.hosts)
        if last.refused:
            console.print(f"[yellow]{last.refused} fetches met an open breaker.[/]")
    _show_table(console, "Rules of hosts", _HOST_RULES, document.hosts)
    _show_table(console, "Lifetimes in the cache", _LIFETIMES, document.lifetimes)
    red = sum(each.state is SetupState.RED for each in document.findings)
    console.print(f"\n[red]{red} to mend.[/]" if red else "\n[green]All is well.[/]")


def _show_table(console: Console, title: str, columns: _Columns, rows: Iterable[object]) -> None:
    first, *others = columns
    table = terminal_table(first)
    for name in others:
        table.add_column(name, justify="left" if name == "sources" else "right", overflow="fold")
    for row in rows:
        table.add_row(*(escape(str(cell(row))) for cell in columns.values()))
    console.print(f"\n[bold]{escape(title)}[/]")
    console.print(table if table.row_count else "[dim]nothing was recorded[/]")


def _time(seconds: float) -> str:
    """A duration in its largest unit."""
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s" if seconds else "-"
