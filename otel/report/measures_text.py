"""The measures of a run in a few lines for a terminal."""

from rich.console import Group as Lines
from rich.table import Table

from trading_graph.otel.trace import Profile
from trading_graph.otel.verdict import Measures


def measures_text(found: Measures) -> Lines:
    """A row a fan-out, and a line of what the rest of the trace shows."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("fan-out", "branches", "spans at once", "work at once", "alone", "last start"):
        table.add_column(title, justify="left" if title == "fan-out" else "right")
    for each in found.fan_outs:
        table.add_row(
            each.name.removeprefix("dispatch "),
            str(len(each.branches)),
            _at_once(each.wrappers),
            _at_once(each.work),
            f"{each.work.serial_fraction:.0%}",
            "-" if each.last_start_s is None else f"+{each.last_start_s:.3f} s",
        )
    table.add_row(
        "the whole run", "", "", _at_once(found.work), f"{found.work.serial_fraction:.0%}", ""
    )
    return Lines(table, _line(found))


def _at_once(found: Profile) -> str:
    return f"{found.average:.1f} (peak {found.peak})"


def _line(found: Measures) -> str:
    parts = [f"{found.llm_calls} LLM calls, {found.llm_chain} in series"]
    if found.loop_lag_ms is not None:
        parts.append(f"event loop late by at most {found.loop_lag_ms:.0f} ms")
    if found.barrier_idle_s:
        parts.append(f"{found.barrier_idle_s:.3f} s idle at barriers")
    if found.queue_wait_s:
        parts.append(f"{found.queue_wait_s:.3f} s waited for connections")
    if found.cache:
        parts.append(
            "cache: " + ", ".join(f"{count} {name}" for name, count in found.cache.items())
        )
    if failures := found.errors + found.retries:
        parts.append(
            f"{failures} errors and retries ({found.cancellations} cancelled, "
            f"{found.retries} retried)"
        )
    return "[dim]" + " · ".join(parts) + "[/]"
