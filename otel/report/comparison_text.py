"""A comparison for people at a terminal: the change, what was lost, and where the time moved."""

from collections.abc import Sequence

from rich.console import Console, ConsoleOptions, RenderResult
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from trading_graph.otel.diagnosis import Change, Comparison, Moved, PathChange, PathSide, Run

SHOWN = 10
"""So many places and call paths are shown, those that moved most first."""

COLUMNS = ("count", "median", "on path", "at once inside", "asked again", "failed")


class ComparisonText:
    """A comparison as rich draws it."""

    def __init__(self, comparison: Comparison) -> None:
        self._comparison = comparison

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it."""
        found = self._comparison
        outcome = "[green]no regression[/]" if found.passed else "[red]regression[/]"
        yield f"{escape(side(found.new))} against {escape(side(found.base))}: {outcome}"
        yield f"{'[red]✗[/]' if found.change.regressed else '[green]✓[/]'} {change(found.change)}"
        for loss in found.regressions:
            yield f"[red]✗[/] {loss.kind}: {escape(loss.place)}"
            yield Padding(f"[dim]{escape(loss.evidence)}[/]", (0, 0, 0, 4))
        for gain in found.improvements:
            yield f"[green]↑[/] {gain.kind}: {escape(gain.place)}"
        for note in found.notes:
            yield f"[yellow]{escape(note)}[/]"
        if found.moved:
            yield ""
            yield _moved(found)
        changed = [each for each in found.paths if each.changed]
        if changed:
            yield ""
            yield _paths(changed)


def side(runs: Sequence[Run]) -> str:
    """The runs of one side, in a few words."""
    return f"{len(runs)} runs" if len(runs) > 1 else f"run {runs[0].trace.id}"


def change(found: Change) -> str:
    """How the duration changed, in a sentence."""
    share = f" ({found.delta_ns / found.base_ns:+.1%})" if found.base_ns else ""
    interval = ""
    if (found.low_ns, found.high_ns) != (found.delta_ns, found.delta_ns):
        interval = f", 95 % interval {signed(found.low_ns)} to {signed(found.high_ns)}"
    return (
        f"{found.base_ns / 1e9:.3f} s became {found.new_ns / 1e9:.3f} s: "
        f"{signed(found.delta_ns)}{share}{interval}; tolerated {signed(found.tolerance_ns)}"
    )


def signed(nanoseconds: float) -> str:
    """A difference in seconds."""
    return f"{nanoseconds / 1e9:+.3f} s"


def shown_moved(found: Comparison) -> list[Moved]:
    """The places that moved most, everything else as one line, and their sum."""
    first, rest = found.moved[:SHOWN], found.moved[SHOWN:]
    lines = list(first)
    if rest:
        lines.append(_sum(f"{len(rest)} other places", rest))
    at_rest = found.change.base_ns - sum(each.base_ns for each in found.moved)
    if at_rest:
        lines.append(Moved("all that did not move", at_rest, at_rest))
    return [*lines, Moved("the run", found.change.base_ns, found.change.new_ns)]


def _sum(name: str, some: Sequence[Moved]) -> Moved:
    return Moved(name, sum(each.base_ns for each in some), sum(each.new_ns for each in some))


def cells(found: PathChange) -> list[str]:
    """What a table shows of a call path: one value where both sides have the same."""
    before, after = _values(found.base), _values(found.new)
    return [a if a == b else f"{a} → {b}" for a, b in zip(before, after, strict=True)]


def _values(found: PathSide) -> tuple[str, ...]:
    return (
        f"{found.count:g}",
        "-" if found.duration_ns is None else f"{found.duration_ns / 1e9:.3f} s",
        f"{found.on_path_ns / 1e9:.3f} s",
        "-" if found.overlap is None else f"{found.overlap:.0%}",
        f"{found.duplicates}",
        f"{found.errors}",
    )


def _moved(found: Comparison) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("where the time of the critical path moved", overflow="fold")
    for title in ("before", "now", "difference"):
        table.add_column(title, justify="right", no_wrap=True)
    for each in shown_moved(found):
        table.add_row(
            escape(each.place),
            f"{each.base_ns / 1e9:.3f} s",
            f"{each.new_ns / 1e9:.3f} s",
            signed(each.delta_ns),
        )
    return table


def _paths(changed: Sequence[PathChange]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("call path", overflow="fold")
    for title in COLUMNS:
        table.add_column(title, justify="right", overflow="fold")
    for each in changed[:SHOWN]:
        table.add_row(escape(each.path), *cells(each))
    if len(changed) > SHOWN:
        table.add_row(f"and {len(changed) - SHOWN} more")
    return table
