"""A verdict for people at a terminal: checks, measures, and what to do about failures."""

from datetime import UTC, datetime

from rich.console import Console, ConsoleOptions, RenderResult
from rich.markup import escape
from rich.padding import Padding

from trading_graph.otel.report.measures_text import measures_text
from trading_graph.otel.report.waterfall import bars
from trading_graph.otel.verdict import CheckResult, Interruption, Outcome, Verdict

_MARKS = {
    Outcome.PASS: "[green]✓[/]",
    Outcome.FAIL: "[red]✗[/]",
    Outcome.NOT_APPLICABLE: "[dim]-[/]",
}
_SHOWN = 8


class VerdictText:
    """The verdict as rich draws it."""

    def __init__(self, verdict: Verdict) -> None:
        self._verdict = verdict
        self._measures = verdict.measures

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the checklist, or what is missing."""
        verdict = self._verdict
        trace_id = verdict.trace.id
        if not verdict.judged:
            yield f"[yellow]No verdict[/] on trace {trace_id}: it is not complete."
            for sentence in verdict.missing:
                yield f"  - {escape(sentence)}"
            return
        outcome = "[green]passed[/]" if verdict.passed else "[red]failed[/]"
        yield f"Verdict on trace {trace_id}: {outcome}"
        yield completeness_line(verdict)
        for result in verdict.checks:
            yield f"{_MARKS[result.outcome]} {escape(result.title)}"
            yield Padding(f"[dim]{escape(measured(result))}[/]", (0, 0, 0, 4))
            if result.outcome is Outcome.FAIL:
                shown = bars(result.spans[:_SHOWN], width=options.max_width - 6)
                yield Padding(shown, (0, 0, 0, 4))
                if len(result.spans) > _SHOWN:
                    yield f"    and {len(result.spans) - _SHOWN} more"
                yield Padding(f"[bold]do:[/] {escape(result.advice)}", (0, 0, 0, 4))
        if self._measures is not None:
            yield ""
            yield measures_text(self._measures)


def completeness_line(verdict: Verdict) -> str:
    """How complete the trace is, in a sentence, and whether the run was resumed."""
    if not verdict.exact:
        return (
            f"The trace has one root and no orphan among {verdict.span_count} spans; it declares "
            "no span count, so it is probably complete."
        )
    resumed = "".join(f" {_interrupted(each)}" for each in verdict.interruptions)
    return (
        f"The trace is complete: all {verdict.span_count} spans that it declares are here.{resumed}"
    )


def _interrupted(one: Interruption) -> str:
    when = datetime.fromtimestamp(one.at_ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    spans = f"{one.killed_spans} span{'' if one.killed_spans == 1 else 's'}"
    return (
        f"The run was resumed: its process was killed at {when} after {one.after_ns / 1e9:.3f} s "
        f"with {spans} open, and the {one.dead_ns / 1e9:.3f} s until the next process count as "
        "nobody's time."
    )


def measured(result: CheckResult) -> str:
    """What a check measured, its limit and its strength, in a line."""
    if result.outcome is Outcome.NOT_APPLICABLE:
        return f"not applicable: {result.measured}"
    grade = f" · {result.grade}" if result.grade else ""
    return f"{result.measured} (limit: {result.limit}){grade}"
