"""A diagnosis for people at a terminal: where the time went, what to do, what that gives."""

from rich.console import Console, ConsoleOptions, RenderResult
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from trading_graph.otel.diagnosis import PathClass, Ranked
from trading_graph.otel.report.diagnosis_report import Report
from trading_graph.otel.report.durations import between, brief, faster, gain, share
from trading_graph.otel.report.remedies import REMEDIES
from trading_graph.otel.report.target import Standing, headline, outlook

_COLOURS = {Standing.INSIDE: "green", Standing.IN_REACH: "yellow", Standing.OUT_OF_REACH: "red"}
_CLASSES = {
    PathClass.LLM: "cyan",
    PathClass.TOOL: "yellow",
    PathClass.HTTP: "green",
    PathClass.WAITING: "red",
    PathClass.BARRIER: "magenta",
    PathClass.ORCHESTRATION: "dim",
}
_SHOWN = 12
_PLACE = 90


class DiagnosisText:
    """The diagnosis as rich draws it."""

    def __init__(self, report: Report) -> None:
        self._report = report

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the parts one below the other."""
        found = self._report.target
        yield f"Diagnosis of trace {self._report.trace.trace_id}"
        yield f"[{_COLOURS[found.standing]}]{headline(found)}[/]"
        for sentence in outlook(found):
            yield Text(sentence)
        yield ""
        yield self._path(options.max_width)
        yield from self._findings()
        if found.diagnosis.steps:
            yield ""
            yield self._gains()

    def _path(self, width: int) -> Table:
        """The critical path by class, as bars."""
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        table.add_column("critical path")
        table.add_column("time", justify="right")
        table.add_column("share", justify="right")
        table.add_column("")
        whole = self._report.diagnosis.wall_ns
        room = max(width - 50, 10)
        for kind, spent in self._report.by_class.items():
            bar = Text("━" * max(round(room * spent / whole), 1), _CLASSES[kind])
            table.add_row(str(kind), brief(spent), share(spent, whole), bar)
        return table

    def _findings(self) -> RenderResult:
        ranked = self._report.diagnosis.findings
        for number, each in enumerate(ranked[:_SHOWN], 1):
            yield ""
            yield from self._finding(number, each)
        if len(ranked) > _SHOWN:
            yield f"and {len(ranked) - _SHOWN} more that gain less (all of them: --format json)"

    def _finding(self, number: int, each: Ranked) -> RenderResult:
        found = each.finding
        gained = gain(self._report.diagnosis.wall_ns, each.wall)
        place = escape(shortened(found.place, _PLACE))
        yield f"[bold]{number}. {found.kind}[/] in {place} · gains [bold]{gained}[/]"
        yield Padding(Text(found.evidence, "dim"), (0, 0, 0, 3))
        here = self._report.places.get(found.kind)
        advice = found.advice + (f" Here: {here}" if here else "")
        yield Padding(f"[bold]do:[/] {escape(advice)}", (0, 0, 0, 3))
        if found.if_only:
            yield Padding(Text(f"Only if {found.if_only}."), (0, 0, 0, 3))

    def _gains(self) -> Table:
        """One fix on top of the other."""
        report, projected = self._report, self._report.target.call_s
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        table.add_column("implementation")
        table.add_column("expected runtime", justify="right")
        table.add_column("improvement", justify="right")
        if projected is not None:
            table.add_column(f"at {projected:g} s a call", justify="right")
        wall, now = report.diagnosis.wall_ns, report.target.now_ns
        rows = [("Current", brief(wall), "baseline", brief(now))]
        rows += [
            (
                f"+ {REMEDIES[step.finding.kind].task}: {shortened(step.finding.place, 40)}",
                between(step.wall.low_ns, step.wall.high_ns),
                faster(wall, step.wall.likely_ns),
                brief(after),
            )
            for step, after in zip(report.diagnosis.steps, report.target.after_ns, strict=True)
        ]
        for row in rows:
            cells = row if projected is not None else row[:3]
            table.add_row(*(Text(cell) for cell in cells))
        return table


def shortened(place: str, most: int) -> str:
    """A place with its middle left out where it is long; its ends tell most."""
    text = " ".join(place.split())
    if len(text) <= most:
        return text
    return f"{text[: most // 2 - 1]}…{text[-(most - most // 2) :]}"
