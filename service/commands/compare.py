"""`trading-graph compare`: what changed between two runs, or between two sets of runs."""

import sys
from collections.abc import Sequence

import click
from rich.console import Console

from trading_graph.otel.diagnosis import (
    NOTHING_SHARED,
    Comparison,
    Run,
    compare,
    complete_runs,
    repetition,
    set_flaw,
)
from trading_graph.otel.report.comparison import (
    ComparisonText,
    comparison_github,
    comparison_json,
    comparison_junit,
    comparison_markdown,
)
from trading_graph.otel.trace import SpanTable
from trading_graph.otel.trace.dependencies import Dependencies
from trading_graph.otel.trace.parts import Part
from trading_graph.service.exit_codes import ExitCode
from trading_graph.service.trace_source import find_trace, find_traces, read_dependencies

FORMATS = {
    "markdown": comparison_markdown,
    "json": comparison_json,
    "junit": comparison_junit,
    "github": comparison_github,
}


def compare_command(
    *,
    traces: tuple[str, ...],
    new: tuple[str, ...],
    source: str | None,
    ids: tuple[str, ...],
    root: str | None,
    forest: bool,
    join: bool,
    each: bool,
    tolerance: float | None,
    dependencies: str | None,
    format: str,
) -> ExitCode:
    """Compare and return the exit code.

    `traces` are the baseline and `new` the new runs; without `new`, `traces` names one of each.
    With `each`, every trace of a file is a run of its side. `tolerance` is in per cent.
    """
    share = None if tolerance is None else tolerance / 100
    if each and ids:
        raise click.UsageError("--each is instead of --id")
    part, order = Part(root, forest), read_dependencies(dependencies)
    sides = [_read(side, source, part, each, join) for side in _sides(traces, new, ids, each)]
    if flaw := set_flaw(*map(len, sides)):
        raise click.UsageError(flaw)
    before, after = map(complete_runs, sides)
    comparison = _compare(before, after, share, order)
    if format != "text":
        sys.stdout.write(FORMATS[format](comparison) + "\n")
    elif isinstance(comparison, Comparison):
        Console(file=sys.stdout, highlight=False, emoji=False).print(ComparisonText(comparison))
    else:
        sys.stdout.write("\n".join(["No comparison.", *(f"  - {text}" for text in comparison), ""]))
    if not isinstance(comparison, Comparison):
        return ExitCode.NOT_DONE
    return ExitCode.OK if comparison.passed else ExitCode.CHECK_FAILED


Word = tuple[str, str | None]
"""A trace as the command line names it, and the id that picks one of several in it."""


def _sides(
    words: tuple[str, ...], others: tuple[str, ...], ids: tuple[str, ...], each: bool
) -> tuple[list[Word], list[Word]]:
    """The baseline and the new runs; raises click.UsageError."""
    base, new = (words, others) if others else (words[:1], words[1:])
    if not base or not new:
        raise click.UsageError("Name two traces, or a baseline and after --with the new runs.")
    if not others and len(new) > 1:
        raise click.UsageError(
            f"{len(words)} traces are no pair; put --with before the new runs of a set."
        )
    if not each and (flaw := set_flaw(len(base), len(new))):
        raise click.UsageError(flaw)
    if [*base, *new].count("-") > 1:
        raise click.UsageError("Standard input can be read once only.")
    if ids and len(ids) != len(base) + len(new):
        raise click.UsageError(
            f"--id is given {len(ids)} times for {len(base) + len(new)} traces; give one for each, "
            "in their order."
        )
    pairs = list(zip((*base, *new), ids or [None] * (len(base) + len(new)), strict=True))
    return pairs[: len(base)], pairs[len(base) :]


def _read(
    side: Sequence[Word], source: str | None, part: Part, each: bool, join: bool
) -> list[tuple[str, SpanTable, str | None]]:
    """The traces of a side, each with the word that names it and the id; raises TraceError."""
    if each:
        return [
            (word, table, None)
            for word, _ in side
            for table in find_traces((word,), source, part, join)
        ]
    return [(word, find_trace((word,), source, id, part, join), id) for word, id in side]


def _compare(
    base: tuple[list[Run], list[str]],
    new: tuple[list[Run], list[str]],
    tolerance: float | None,
    order: Dependencies | None,
) -> Comparison | list[str]:
    """The comparison, or a sentence for each obstacle; raises click.UsageError."""
    (before, lacking), (after, lacking_too) = base, new
    if lacking or lacking_too:
        return [*lacking, *lacking_too]
    if flaw := repetition(before) or repetition(after):
        raise click.UsageError(flaw)
    return compare(before, after, tolerance, order) or [NOTHING_SHARED]
