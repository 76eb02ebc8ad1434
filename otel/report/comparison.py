"""A comparison in all its forms: text for a terminal, JSON, Markdown, JUnit XML, annotations.

The forms for machines also say why there is no comparison: a sentence for each missing thing.
"""

from collections.abc import Sequence

from rich.console import Console, ConsoleOptions, RenderResult
from rich.markup import escape
from rich.padding import Padding

from trading_graph.otel.diagnosis import (
    Change,
    Comparison,
    Moved,
    PathChange,
    PathSide,
    Regression,
    RegressionKind,
    UseSide,
)
from trading_graph.otel.report.ci import Case, CaseEnd, annotation, junit
from trading_graph.otel.report.documents.comparison import comparison_document
from trading_graph.otel.report.documents.document import encode
from trading_graph.otel.report.durations import exact
from trading_graph.otel.report.tables import OUTSIDE, Table, plain
from trading_graph.otel.report.terminal import safe_drawing
from trading_graph.otel.visible import visible

_SHOWN = 10
_TITLE = "No comparison"

Result = Comparison | Sequence[str]
"""A comparison, or the sentences that say why there is none."""


class ComparisonText:
    """A comparison as rich draws it: the change, what was lost, and where the time moved."""

    def __init__(self, comparison: Comparison) -> None:
        self._comparison = comparison

    @safe_drawing
    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it."""
        comparison = self._comparison
        regressed = comparison.change.regressed
        outcome = "[green]no regression[/]" if comparison.passed else "[red]regression[/]"
        yield f"{escape(_title(comparison))}: {outcome}"
        yield f"{'[red]✗[/]' if regressed else '[green]✓[/]'} {_change_line(comparison.change)}"
        for loss in comparison.regressions:
            yield f"[red]✗[/] {loss.kind}: {escape(loss.place)}"
            yield Padding(f"[dim]{escape(loss.evidence)}[/]", (0, 0, 0, 4))
        for gain in comparison.improvements:
            yield f"[green]↑[/] {gain.kind}: {escape(gain.place)}"
        for note in comparison.notes:
            yield f"[yellow]{escape(note)}[/]"
        if comparison.moved:
            yield ""
            yield moved_table(comparison).in_terminal(wrap=False)
        if use := use_table(comparison):
            yield ""
            yield use.in_terminal()
        changed = [each for each in comparison.paths if each.changed]
        if changed:
            yield ""
            table = paths_table(changed).in_terminal()
            if len(changed) > _SHOWN:
                table.add_row(f"and {len(changed) - _SHOWN} more")
            yield table


def moved_table(comparison: Comparison) -> Table:
    """The places that moved most, everything else as one line, and their sum."""
    first, rest = comparison.moved[:_SHOWN], comparison.moved[_SHOWN:]
    places = list(first)
    if rest:
        before, after = sum(each.base_ns for each in rest), sum(each.new_ns for each in rest)
        places.append(Moved(f"{len(rest)} other places", before, after))
    change = comparison.change
    at_rest = change.base_ns - sum(each.base_ns for each in comparison.moved)
    if at_rest:
        places.append(Moved("all that did not move", at_rest, at_rest))
    places.append(Moved("the run", change.base_ns, change.new_ns))
    return Table(
        ("where the time of the critical path moved", "before", "now", "difference"),
        [
            (each.place, _time(each.base_ns), _time(each.new_ns), _signed(each.delta_ns))
            for each in places
        ],
    )


def paths_table(changed: Sequence[PathChange]) -> Table:
    """The call paths that changed most; a cell has one value where both sides have the same."""
    return Table(
        ("call path", "count", "median", "on path", "at once inside", "asked again", "failed"),
        [
            (
                each.path,
                *_both(_cells(each.base), _cells(each.new)),
            )
            for each in changed[:_SHOWN]
        ],
    )


def use_table(comparison: Comparison) -> Table | None:
    """LLM calls and tokens of the agents that changed, and of the run; None where there are none.

    A cell has one value where both sides have the same.
    """
    if comparison.use.base == comparison.use.new == _NO_USE:
        return None
    first, rest = comparison.agents[:_SHOWN], len(comparison.agents) - _SHOWN
    rows = [(each.name or OUTSIDE, *_both(_use(each.base), _use(each.new))) for each in first]
    if rest > 0:
        rows.append((f"and {rest} more", "", "", ""))
    use = comparison.use
    rows.append(("the run", *_both(_use(use.base), _use(use.new))))
    return Table(("agent or node", "LLM calls", "input tokens", "output tokens"), rows)


_NO_USE = UseSide(0, None, None)


def _use(side: UseSide) -> tuple[str, ...]:
    tokens = (side.input_tokens, side.output_tokens)
    return f"{side.llm_calls:g}", *("-" if each is None else f"{each:,g}" for each in tokens)


def _both(base: Sequence[str], new: Sequence[str]) -> tuple[str, ...]:
    """The cells of both sides; one value where they are the same."""
    return tuple(
        before if before == after else f"{before} → {after}"
        for before, after in zip(base, new, strict=True)
    )


def _cells(side: PathSide) -> tuple[str, ...]:
    return (
        f"{side.count:g}",
        "-" if side.duration_ns is None else _time(side.duration_ns),
        _time(side.on_path_ns),
        "-" if side.overlap is None else f"{side.overlap:.0%}",
        f"{side.duplicates}",
        f"{side.errors}",
    )


def _title(comparison: Comparison) -> str:
    new, base = (
        f"{len(runs)} runs" if len(runs) > 1 else f"run {runs[0].trace.id}"
        for runs in (comparison.new, comparison.base)
    )
    return f"{new} against {base}"


def _change_line(change: Change) -> str:
    """How the duration changed, in a sentence."""
    share = f" ({change.delta_ns / change.base_ns:+.1%})" if change.base_ns else ""
    interval = ""
    if (change.low_ns, change.high_ns) != (change.delta_ns, change.delta_ns):
        interval = f", 95 % interval {_signed(change.low_ns)} to {_signed(change.high_ns)}"
    return (
        f"{_time(change.base_ns)} became {_time(change.new_ns)}: "
        f"{_signed(change.delta_ns)}{share}{interval}; tolerated {_signed(change.tolerance_ns)}"
    )


def _time(nanoseconds: float) -> str:
    return exact(nanoseconds / 1e9)


def _signed(nanoseconds: float) -> str:
    return exact(nanoseconds / 1e9, sign=True)


def comparison_json(result: Result) -> str:
    """One object, schema version 1; docs/compare.md describes it."""
    return encode(comparison_document(result))


def comparison_markdown(result: Result) -> str:
    """The change, the losses and the two tables, for a report or a step summary."""
    if not isinstance(result, Comparison):
        lines = [f"## {_TITLE}", "", *(f"- {plain(text)}" for text in result), ""]
        return visible("\n".join(lines))
    verdict = "No regression" if result.passed else "Regression"
    lines = [
        f"## {plain(_title(result))}",
        "",
        f"**{verdict}.** {_change_line(result.change)}.",
        "",
        *(
            f"- [ ] {each.kind}: {plain(each.place)}. {plain(each.evidence)}"
            for each in result.regressions
        ),
        *(f"- [x] {each.kind}: {plain(each.place)}" for each in result.improvements),
        *(f"- {note}" for note in result.notes),
        "",
        *moved_table(result).in_markdown(),
        "",
        *([*use.in_markdown(), ""] if (use := use_table(result)) else ()),
        *paths_table([each for each in result.paths if each.changed]).in_markdown(),
        "",
    ]
    return visible("\n".join(lines))


def comparison_junit(result: Result) -> str:
    """A JUnit test suite: a case for the duration and one for each kind of loss."""
    if not isinstance(result, Comparison):
        error = Case("comparable", CaseEnd.ERROR, "the runs cannot be compared", "\n".join(result))
        return junit("comparison", "comparison", [error])
    duration = Case("duration")
    if result.change.regressed:
        duration = Case("duration", CaseEnd.FAILURE, _change_line(result.change))
    losses = [_case(kind, result.regressions) for kind in RegressionKind]
    return junit(_title(result), "comparison", [duration, *losses])


def _case(kind: RegressionKind, regressions: Sequence[Regression]) -> Case:
    lines = [f"{each.place}: {each.evidence}" for each in regressions if each.kind is kind]
    adverb = kind in (RegressionKind.SERIAL, RegressionKind.LOST)
    name = f"nothing {kind}" if adverb else f"no {kind}"
    if not lines:
        return Case(name)
    return Case(name, CaseEnd.FAILURE, f"{len(lines)} of: {kind}", "\n".join(lines))


def comparison_github(result: Result) -> str:
    """Workflow commands: an annotation for each regression, or why there is no comparison."""
    if not isinstance(result, Comparison):
        return annotation("error", _TITLE, " ".join(result))
    lines = [
        annotation("error", f"{each.kind}: {each.place}", each.evidence)
        for each in result.regressions
    ]
    if result.change.regressed:
        lines.insert(0, annotation("error", "slower", _change_line(result.change)))
    return "\n".join(lines or [annotation("notice", "no regression", _change_line(result.change))])
