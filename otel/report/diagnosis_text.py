"""A diagnosis for people at a terminal: where the time went, what to do, what that gives."""

from rich.console import Console, ConsoleOptions, RenderResult
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from trading_graph.otel.diagnosis import Diagnosis, Finding, PathClass, Standing
from trading_graph.otel.report.durations import between, brief, share
from trading_graph.otel.report.gains import gains_table, shortened
from trading_graph.otel.report.outlook import headline, outlook

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

    def __init__(self, diagnosis: Diagnosis) -> None:
        self._diagnosis = diagnosis

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the parts one below the other."""
        found = self._diagnosis
        yield f"Diagnosis of trace {found.trace.id}"
        yield f"[{_COLOURS[found.target.standing]}]{headline(found)}[/]"
        for sentence in outlook(found):
            yield Text(sentence)
        yield ""
        yield self._path(options.max_width)
        yield from self._findings()
        if found.steps:
            yield ""
            yield self._gains()

    def _path(self, width: int) -> Table:
        """The critical path by class, as bars."""
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        table.add_column("critical path")
        table.add_column("time", justify="right")
        table.add_column("share", justify="right")
        table.add_column("")
        whole = self._diagnosis.wall_s
        room = max(width - 50, 10)
        for kind, spent in self._diagnosis.by_class.items():
            bar = Text("━" * max(round(room * spent / whole), 1), _CLASSES[kind])
            table.add_row(str(kind), brief(spent), share(spent, whole), bar)
        return table

    def _findings(self) -> RenderResult:
        findings = self._diagnosis.findings
        for number, each in enumerate(findings[:_SHOWN], 1):
            yield ""
            yield from self._finding(number, each)
        if len(findings) > _SHOWN:
            yield f"and {len(findings) - _SHOWN} more that gain less (all of them: --format json)"

    def _finding(self, number: int, found: Finding) -> RenderResult:
        place = escape(shortened(found.place, _PLACE))
        yield f"[bold]{number}. {found.kind}[/] in {place} · gains [bold]{between(found.gain)}[/]"
        yield Padding(Text(found.evidence, "dim"), (0, 0, 0, 3))
        advice = found.advice + (f" Here: {found.here}" if found.here else "")
        yield Padding(f"[bold]do:[/] {escape(advice)}", (0, 0, 0, 3))
        if found.only_if:
            yield Padding(Text(f"Only if {found.only_if}."), (0, 0, 0, 3))

    def _gains(self) -> Table:
        """One fix on top of the other."""
        head, rows = gains_table(self._diagnosis, 40)
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        for title in head:
            table.add_column(title.lower(), justify="left" if title is head[0] else "right")
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        return table
