"""What `doctor` shows beside its findings: how data is fetched and kept, and how that went last."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from trading_graph.service.last_run import LastRun
from trading_graph.toolkit.rate_limits import HOST_POLICIES, HostPolicy
from trading_graph.toolkit.ttl import CLOSED_DAY, TODAY, Lifetime

_OTHERS = "every other"
_CLOSED = "a day that has passed"


def data_document(last: LastRun | None) -> dict[str, Any]:
    """The same as JSON values."""
    return {
        "last_run": None if last is None else asdict(last),
        "hosts": [{"host": name, **asdict(policy)} for name, policy in _policies()],
        "lifetimes": [{"kind": kind, **asdict(life)} for kind, life in _lifetimes()],
    }


def show_data(console: Console, last: LastRun | None) -> None:
    """Print the tables: the last run's, if there is one, and the rules."""
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
    """Seconds as a person says them."""
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s" if seconds else "-"
