"""A diagnosis as text for a terminal and as JSON, and the tables that every form of it shows."""

import msgspec
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table as TerminalTable
from rich.text import Text

from trading_graph.otel.diagnosis import (
    Diagnosis,
    Finding,
    PathClass,
    Standing,
)
from trading_graph.otel.report.documents.diagnosis import diagnosis_document, headline, outlook
from trading_graph.otel.report.documents.document import encode
from trading_graph.otel.report.durations import between, brief, faster, share
from trading_graph.otel.report.shortening import shorten
from trading_graph.otel.report.tables import Table, terminal_table
from trading_graph.otel.report.terminal import safe_drawing
from trading_graph.otel.report.time_use import time_of_largest

SHOWN = 12
"""The most findings in a form that does not list them all; the greatest gains come first."""

_STANDING_COLOURS = {
    Standing.NONE: "default",
    Standing.INSIDE: "green",
    Standing.IN_REACH: "yellow",
    Standing.OUT_OF_REACH: "red",
}
_CLASS_COLOURS = {
    PathClass.LLM: "cyan",
    PathClass.FIRST_TOKEN: "blue",
    PathClass.GENERATION: "cyan",
    PathClass.TOOL: "yellow",
    PathClass.HTTP: "green",
    PathClass.WAITING: "red",
    PathClass.BARRIER: "magenta",
    PathClass.LINKED: "cyan",
    PathClass.ORCHESTRATION: "dim",
}


def gains_table(diagnosis: Diagnosis, most: int) -> Table:
    """The expected gains: each fix on top of those before it.

    A place has at most `most` characters. Where latencies were simulated, a fourth column has the
    projected run.
    """
    head = ["Implementation", "Expected Runtime", "Improvement"]
    rows = [["Current", brief(diagnosis.wall_s), "baseline"]]
    rows += [
        [
            f"+ {step.kind.task}: {shorten(step.place, most)}",
            between(step.wall),
            faster(diagnosis.wall_s, step.wall.likely_s),
        ]
        for step in diagnosis.steps
    ]
    if (call_s := diagnosis.target.projected_call_s) is not None:
        head.append(f"At {call_s:g} s a call")
        rows[0].append(brief(diagnosis.target.now_s))
        for row, step in zip(rows[1:], diagnosis.steps, strict=True):
            row.append(brief(step.target_s))
    return Table(head, rows)


class ClassTime(msgspec.Struct, frozen=True):
    """What the critical path spent on one class of work."""

    kind: PathClass
    seconds: float
    part: float

    @property
    def cells(self) -> tuple[str, str, str]:
        """The class, the time, and the share of the run."""
        return str(self.kind), brief(self.seconds), share(self.part, 1.0)


def time_by_class(diagnosis: Diagnosis) -> list[ClassTime]:
    """The critical path by class, most first; the rows sum to the run."""
    return [
        ClassTime(kind, seconds, seconds / diagnosis.wall_s if diagnosis.wall_s else 0.0)
        for kind, seconds in diagnosis.by_class.items()
    ]


class DiagnosisText:
    """The diagnosis as rich draws it: where the time went, what to do, what that gives."""

    def __init__(self, diagnosis: Diagnosis) -> None:
        self._diagnosis = diagnosis

    @safe_drawing
    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the parts one below the other."""
        diagnosis = self._diagnosis
        yield f"Diagnosis of trace {diagnosis.trace.id}"
        yield f"[{_STANDING_COLOURS[diagnosis.target.standing]}]{headline(diagnosis)}[/]"
        for sentence in outlook(diagnosis):
            yield Text(sentence)
        yield ""
        yield self._path(options.max_width)
        if (inferred_s := diagnosis.inferred_s) > 0.01 * diagnosis.wall_s:
            part = share(inferred_s, diagnosis.wall_s)
            yield Text(f"{part} of it is in spans whose place there rests on times alone.", "dim")
        if largest := time_of_largest(diagnosis):
            yield Text(largest, "dim")
        for number, finding in enumerate(diagnosis.findings[:SHOWN], 1):
            yield ""
            yield from _finding_text(number, finding)
        if (more := len(diagnosis.findings) - SHOWN) > 0:
            yield f"and {more} more that gain less (all of them: --format json)"
        if diagnosis.steps:
            yield ""
            gains = gains_table(diagnosis, 40)
            yield Table([title.lower() for title in gains.head], gains.rows).in_terminal()

    def _path(self, width: int) -> TerminalTable:
        """The critical path by class, as bars."""
        table = terminal_table("critical path")
        table.add_column("time", justify="right")
        table.add_column("share", justify="right")
        table.add_column("")
        room = max(width - 50, 10)
        for row in time_by_class(self._diagnosis):
            bar = Text("━" * max(round(room * row.part), 1), _CLASS_COLOURS[row.kind])
            table.add_row(*row.cells, bar)
        return table


class FindingsText:
    """The first findings of a diagnosis as rich draws them, without anything else."""

    def __init__(self, diagnosis: Diagnosis, most: int) -> None:
        self._findings = diagnosis.findings
        self._most = most

    @safe_drawing
    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw them one below the other."""
        for number, finding in enumerate(self._findings[: self._most], 1):
            yield from _finding_text(number, finding)
        if (more := len(self._findings) - self._most) > 0:
            yield f"and {more} more"


def _finding_text(number: int, finding: Finding) -> RenderResult:
    place = escape(shorten(finding.place, 90))
    gain = between(finding.gain)
    yield f"[bold]{number}. {finding.kind}[/] in {place} · gains [bold]{gain}[/]"
    yield Padding(Text(finding.evidence, "dim"), (0, 0, 0, 3))
    advice = finding.advice + (f" Here: {finding.here}" if finding.here else "")
    yield Padding(f"[bold]do:[/] {escape(advice)}", (0, 0, 0, 3))
    if finding.only_if:
        yield Padding(Text(f"Only if {finding.only_if}."), (0, 0, 0, 3))


def diagnosis_json(diagnosis: Diagnosis) -> str:
    """One object, schema version 1, with times in seconds; docs/json.md describes it."""
    return encode(diagnosis_document(diagnosis))
