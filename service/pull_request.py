"""What a pull request is told of its tests' traces: a table, and an annotation for each fault.

    python -m trading_graph.service.pull_request NEW --base BASE --table FILE

Every trace of the folder NEW is judged, and compared with those in the file of that name in BASE,
where there is one. Workflow commands go to stdout and the table, as Markdown, to a file. The exit
codes are those of `verify`.
"""

import argparse
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from trading_graph.otel.diagnosis import (
    NOTHING_SHARED,
    Comparison,
    compare,
    complete_runs,
    set_flaw,
)
from trading_graph.otel.errors import TraceError
from trading_graph.otel.report.ci import annotation
from trading_graph.otel.report.comparison import comparison_github
from trading_graph.otel.report.durations import brief
from trading_graph.otel.report.tables import Table
from trading_graph.otel.report.verdict import as_github
from trading_graph.otel.trace import SpanTable
from trading_graph.otel.verdict import judge
from trading_graph.service.commands.verify import Demands, code_of, code_of_all, outcome_of
from trading_graph.service.exit_codes import ExitCode, expected_failure
from trading_graph.service.trace_source import find_traces

MARK = "<!-- trading-graph: traces -->"
"""By which the comment of an earlier push is found again."""

_MOST_ROWS = 200
_SUFFIX = ".json"


class TraceRow(msgspec.Struct, frozen=True):
    """A trace of a test: how it was judged, and how it compares; annotations say what is wrong."""

    test: str
    code: ExitCode
    outcome: str
    seconds: float | None = None
    base_seconds: float | None = None
    change: str = ""
    annotations: tuple[str, ...] = ()

    @property
    def cells(self) -> tuple[str, ...]:
        """The row of the table."""
        times = ("" if each is None else brief(each) for each in (self.base_seconds, self.seconds))
        return (self.test, self.outcome, *times, self.change)


def rows_of(
    new: Path, base: Path | None, demands: Demands, tolerance: float | None
) -> Iterator[TraceRow]:
    """A row for each run in each file of a folder, in the order of their names."""
    for path in sorted(new.glob(f"*{_SUFFIX}")):
        before = base / path.name if base is not None else None
        try:
            yield from _rows(path, before, demands, tolerance)
        except TraceError as error:
            sentence = str(error)
            yield TraceRow(
                path.stem,
                ExitCode.NOT_DONE,
                f"no verdict: {sentence}",
                annotations=(annotation("error", "no trace", sentence),),
            )


def _rows(
    path: Path, before: Path | None, demands: Demands, tolerance: float | None
) -> Iterator[TraceRow]:
    tables = find_traces((str(path),), "file", join=True)
    compared = _compared(tables, before, tolerance)
    for number, table in enumerate(tables):
        verdict = judge(table, demands.gate(table))
        code = code_of(verdict)
        wrong = [] if code is ExitCode.OK else as_github(verdict).splitlines()
        row = TraceRow(
            test=path.stem if len(tables) == 1 else f"{path.stem} ({number + 1})",
            code=code,
            outcome=outcome_of(verdict),
            seconds=None if verdict.run is None else verdict.run.duration_s,
        )
        if number == 0 and compared is not None:
            row = _with_change(row, compared)
            if code is ExitCode.OK or row.code is ExitCode.CHECK_FAILED:
                wrong += row.annotations
        yield msgspec.structs.replace(row, annotations=tuple(wrong))


def _compared(
    tables: Sequence[SpanTable], before: Path | None, tolerance: float | None
) -> Comparison | str | None:
    """The comparison with a file of the base, or why there is none; None without such a file."""
    if before is None or not before.is_file():
        return None
    earlier = find_traces((str(before),), "file", join=True)
    if flaw := set_flaw(len(earlier), len(tables)):
        return flaw
    (base, lacking), (new, lacking_too) = (
        complete_runs([(before.stem, each, None) for each in side]) for side in (earlier, tables)
    )
    if lacking or lacking_too:
        return next(iter((*lacking, *lacking_too)))
    return compare(base, new, tolerance) or NOTHING_SHARED


def _with_change(row: TraceRow, compared: Comparison | str) -> TraceRow:
    if isinstance(compared, str):
        return msgspec.structs.replace(row, change=f"not compared: {compared}")
    worse = [f"{each.kind}: {each.place}" for each in compared.regressions]
    change = compared.change
    share = change.delta_ns / change.base_ns if change.base_ns else 0.0
    words = [f"{share:+.0%}" + (" (slower)" if change.regressed else ""), *worse]
    return msgspec.structs.replace(
        row,
        code=row.code if compared.passed else ExitCode.CHECK_FAILED,
        base_seconds=change.base_ns / 1e9,
        change="; ".join(words),
        annotations=() if compared.passed else tuple(comparison_github(compared).splitlines()),
    )


def table_text(rows: Sequence[TraceRow], with_base: bool) -> str:
    """The comment: a sentence and the table, as Markdown."""
    codes = Counter(row.code for row in rows)
    summary = (
        f"{len(rows)} traces: {codes[ExitCode.OK]} passed, {codes[ExitCode.CHECK_FAILED]} failed, "
        f"{codes[ExitCode.NOT_DONE]} without a verdict."
    )
    if not with_base:
        summary += " There are no traces of the base branch to compare with."
    table = Table(
        ("Test", "Verdict", "Before", "Now", "Change"),
        [row.cells for row in rows[:_MOST_ROWS]],
        texts=("Verdict", "Change"),
    )
    more = [f"and {len(rows) - _MOST_ROWS} more"] if len(rows) > _MOST_ROWS else []
    return "\n".join([MARK, "### Traces", "", summary, "", *table.in_markdown(), "", *more])


def main(words: Sequence[str] | None = None) -> ExitCode:
    """Print the annotations, write the table, and return the exit code."""
    parser = argparse.ArgumentParser(prog="pull_request", description=__doc__)
    parser.add_argument("new", type=Path)
    parser.add_argument("--base", type=Path)
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--gate")
    parser.add_argument("--tolerance", type=float, help="in per cent")
    arguments = parser.parse_args(words)
    base = arguments.base if arguments.base is not None and arguments.base.is_dir() else None
    tolerance = None if arguments.tolerance is None else arguments.tolerance / 100
    try:
        rows = list(
            rows_of(arguments.new, base, Demands(arguments.gate or None, None, False), tolerance)
        )
        if not rows:
            raise TraceError(
                f"There is no trace in {arguments.new}; let tests use the fixture `recorded_spans`."
            )
        arguments.table.write_text(table_text(rows, base is not None), encoding="utf-8")
    except Exception as error:
        failure = expected_failure(error)
        if failure is None:
            raise
        sys.stdout.write(annotation("error", "Traces", failure[0]) + "\n")
        return failure[1].exit_code
    for row in rows:
        # Commas and colons would end the title.
        test = re.sub(r"[^\w.-]", "_", row.test)
        for line in row.annotations:
            sys.stdout.write(line.replace("title=", f"title={test} - ", 1) + "\n")
    return code_of_all(Counter(row.code for row in rows), 1)


if __name__ == "__main__":
    sys.exit(main())
