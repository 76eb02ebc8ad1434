"""A verdict in all its forms: text for a terminal, JSON, Markdown, JUnit XML, annotations."""

from datetime import UTC, datetime
from typing import Self

import msgspec
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.markup import escape
from rich.padding import Padding

from trading_graph.otel.report.ci import Case, CaseEnd, annotation, junit
from trading_graph.otel.report.documents.document import encode
from trading_graph.otel.report.documents.verdict import CheckJson, verdict_document
from trading_graph.otel.report.durations import brief
from trading_graph.otel.report.limits import limit_lines, limits_table
from trading_graph.otel.report.tables import OUTSIDE, Table, plain
from trading_graph.otel.report.terminal import bars, safe_drawing
from trading_graph.otel.trace import Profile, table_of
from trading_graph.otel.verdict import (
    CheckResult,
    Interruption,
    LlmUse,
    Measures,
    Outcome,
    Use,
    Verdict,
)
from trading_graph.otel.visible import visible, visible_line

_SHOWN = 8
_TERMINAL_MARKS = {
    Outcome.PASS: "[green]✓[/]",
    Outcome.FAIL: "[red]✗[/]",
    Outcome.NOT_APPLICABLE: "[dim]-[/]",
}
_MARKDOWN_MARKS = {Outcome.PASS: "x", Outcome.FAIL: " ", Outcome.NOT_APPLICABLE: "-"}


class CheckRow(msgspec.Struct, frozen=True):
    """A line of the checklist, which every form shows: a check, its outcome and its figures.

    `strength` has the reason with it. `names` are those of the first spans that show a failure, and
    `span_count` says how many there are.
    """

    id: str
    title: str
    outcome: Outcome
    measured: str
    limit: str
    strength: str
    causes: tuple[str, ...]
    notes: tuple[str, ...]
    advice: str
    names: tuple[str, ...]
    span_count: int

    @classmethod
    def of(cls, check: CheckResult | CheckJson) -> Self:
        """The line of a check's result, or of a check in the JSON of a verdict."""
        return cls(
            id=check.id,
            title=check.title,
            outcome=check.outcome,
            measured=check.measured,
            limit=check.limit,
            strength=check.grade if isinstance(check, CheckResult) else check.strength,
            causes=check.causes,
            notes=check.notes,
            advice=check.advice,
            names=tuple(
                visible_line(f"{span.name} {span.item}".rstrip()) for span in check.spans[:_SHOWN]
            ),
            span_count=len(check.spans),
        )

    @property
    def figures(self) -> str:
        """What was measured, and its limit."""
        if self.outcome is Outcome.NOT_APPLICABLE:
            return f"not applicable: {self.measured}"
        return f"{self.measured} (limit: {self.limit})"

    @property
    def line(self) -> str:
        """What was measured, its limit and its strength."""
        if self.outcome is Outcome.NOT_APPLICABLE or not self.strength:
            return self.figures
        return f"{self.figures} · {self.strength}"

    @property
    def more(self) -> int:
        """How many spans show the failure beside those that are named."""
        return self.span_count - len(self.names)

    @property
    def spans(self) -> str:
        """The spans that show a failure, by name."""
        return ", ".join(self.names) + (f" and {self.more} more" if self.more else "")


def checklist(verdict: Verdict) -> list[CheckRow]:
    """The lines of a verdict's checklist, in the order of the gate."""
    return [CheckRow.of(result) for result in verdict.checks]


class VerdictText:
    """The verdict as rich draws it: the checks, the measures, and what to do about failures."""

    def __init__(self, verdict: Verdict) -> None:
        self._verdict = verdict
        self._measures = verdict.measures

    @safe_drawing
    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the checklist, or what is missing."""
        verdict = self._verdict
        trace_id = verdict.trace.id
        if not verdict.judged:
            yield f"[yellow]No verdict[/] on trace {trace_id}: {_unjudged_because(verdict)}"
            for sentence in unjudged(verdict):
                yield f"  - {escape(sentence)}"
            return
        outcome = "[green]passed[/]" if verdict.passed else "[red]failed[/]"
        nothing = f"; concurrency: nothing to judge, {verdict.nothing_to_judge}"
        yield f"Verdict on trace {trace_id}: {outcome}{nothing if verdict.nothing_to_judge else ''}"
        yield completeness_line(verdict)
        for note in verdict.notes:
            yield escape(note)
        for row, result in zip(checklist(verdict), verdict.checks, strict=True):
            yield f"{_TERMINAL_MARKS[row.outcome]} {escape(row.title)}"
            yield Padding(f"[dim]{escape(row.line)}[/]", (0, 0, 0, 4))
            for note in row.notes:
                yield Padding(f"[dim]note: {escape(note)}[/]", (0, 0, 0, 4))
            if row.outcome is Outcome.FAIL:
                drawing = bars(result.spans[:_SHOWN], width=options.max_width - 6)
                yield Padding(drawing, (0, 0, 0, 4))
                if row.more:
                    yield f"    and {row.more} more"
                yield Padding(f"[bold]do:[/] {escape(row.advice)}", (0, 0, 0, 4))
        if self._measures is not None:
            yield ""
            yield _measures_text(self._measures)


def _unjudged_because(verdict: Verdict) -> str:
    return "nothing in it is recognised." if verdict.is_complete else "it is not complete."


def unjudged(verdict: Verdict) -> tuple[str, ...]:
    """Why there is no verdict, in sentences."""
    return verdict.missing or (verdict.unrecognised,)


def completeness_line(verdict: Verdict) -> str:
    """How complete the trace is, in a sentence, and whether the run was resumed."""
    if not verdict.exact:
        is_called = bool(table_of(verdict.trace).orphans)
        shape = "one span without its parent" if is_called else "one root and no orphan"
        return (
            f"The trace has {shape} among {verdict.span_count} spans; it declares no span count, "
            "so it is probably complete."
        )
    resumed = "".join(f" {_resumption(each)}" for each in verdict.interruptions)
    return (
        f"The trace is complete: all {verdict.span_count} spans that it declares are here.{resumed}"
    )


def _resumption(one: Interruption) -> str:
    when = datetime.fromtimestamp(one.at_ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    spans = f"{one.killed_spans} span{'' if one.killed_spans == 1 else 's'}"
    when += f" after {one.after_ns / 1e9:.3f} s"
    happened = f"its process was killed at {when} with {spans} open"
    if one.failure:
        happened = f"it had failed at {when} ({one.failure})"
    return (
        f"The run was resumed: {happened}, and the {one.dead_ns / 1e9:.3f} s until the next "
        "process count as nobody's time."
    )


def _measures_text(measures: Measures) -> Group:
    """A row for each fan-out, and a line of what the rest of the trace shows."""
    head = ("fan-out", "branches", "spans at once", "work at once", "alone", "last start")
    rows = [
        (
            each.name.removeprefix("dispatch "),
            str(len(each.branches)),
            _at_once(each.wrappers),
            _at_once(each.work),
            f"{each.work.serial_fraction:.0%}",
            "-" if each.last_start_s is None else f"+{each.last_start_s:.3f} s",
        )
        for each in measures.fan_outs
    ]
    work = measures.work
    rows.append(("the whole run", "", "", _at_once(work), f"{work.serial_fraction:.0%}", ""))
    parts: list[RenderableType] = [Table(head, rows).in_terminal()]
    if len(measures.use.agents) > 1:
        parts += ["", agents_table(measures.use).in_terminal(), escape(_largest(measures)), ""]
    if measures.limits:
        parts += ["", limits_table(measures.limits).in_terminal()]
        parts += [escape(line) for line in limit_lines(measures)]
        parts.append("")
    return Group(*parts, f"[dim]{' · '.join(_measures_line(measures))}[/]")


def agents_table(use: Use) -> Table:
    """Time, LLM calls and tokens by agent and node, those with the most time of their own first."""
    head = ("agent or node", "visits", "time", "own", "LLM calls", "LLM time", "tokens in / out")
    rows = [
        (
            each.name or OUTSIDE,
            str(each.visits),
            brief(each.wall_s),
            brief(each.own_s),
            str(each.llm.calls),
            brief(each.llm.time_s),
            _tokens(each.llm),
        )
        for each in use.agents[:_SHOWN]
    ]
    more = len(use.agents) - len(rows)
    if more:
        rows.append((f"and {more} more", "", "", "", "", "", ""))
    return Table(head, rows)


def _tokens(llm: LlmUse) -> str:
    """Input and output tokens; a dash where none are recorded."""
    if llm.input_tokens is None and llm.output_tokens is None:
        return "-"
    return f"{llm.input_tokens or 0:,} / {llm.output_tokens or 0:,}"


def _largest(measures: Measures) -> str:
    """A sentence that names the agent or node with the most time of its own."""
    total, most = measures.use.llm, measures.use.agents[0]
    parts = [f"{brief(most.own_s)} of {brief(measures.wall_s)}"]
    if total.calls:
        parts.append(f"{most.llm.calls} of {total.calls} LLM calls")
    tokens, of = (
        sum(filter(None, (each.input_tokens, each.output_tokens))) for each in (most.llm, total)
    )
    if of:
        parts.append(f"{tokens:,} of {of:,} tokens")
    return f"Most time is in {most.name or OUTSIDE}: {', '.join(parts)}."


def _at_once(profile: Profile) -> str:
    return f"{profile.average:.1f} (peak {profile.peak})"


def _measures_line(measures: Measures) -> list[str]:
    parts = [f"{measures.llm_calls} LLM calls, {measures.llm_chain} in series"]
    if measures.loop_lag_ms is not None:
        parts.append(f"event loop late by at most {measures.loop_lag_ms:.0f} ms")
    if measures.barrier_idle_s:
        parts.append(f"{measures.barrier_idle_s:.3f} s idle at barriers")
    if measures.queue_wait_s and not measures.limits:  # whose table says more
        parts.append(f"{measures.queue_wait_s:.3f} s waited for connections")
    if measures.cache:
        counts = ", ".join(f"{count} {name}" for name, count in measures.cache.items())
        parts.append(f"cache: {counts}")
    if failures := measures.errors + measures.retries:
        parts.append(
            f"{failures} errors and retries ({measures.cancellations} cancelled, "
            f"{measures.retries} retried)"
        )
    return parts


def as_json(verdict: Verdict) -> str:
    """One object, schema version 1; docs/verdict.md describes it."""
    return encode(verdict_document(verdict))


def as_markdown(verdict: Verdict) -> str:
    """The checklist as Markdown, for a report or a step summary."""
    lines = [f"## Verdict on trace `{verdict.trace.id}`", ""]
    if not verdict.judged:
        lines += [f"**No verdict**: {_unjudged_because(verdict)}", ""]
        lines += [f"- {plain(text)}" for text in unjudged(verdict)]
        return visible("\n".join([*lines, ""]))
    lines += [f"**{'Passed' if verdict.passed else 'Failed'}.** {completeness_line(verdict)}", ""]
    for note in verdict.notes:
        lines += [plain(note), ""]
    for row in checklist(verdict):
        lines.append(markdown_item(row))
        lines += [f"  - Note: {plain(note)}" for note in row.notes]
        if row.outcome is Outcome.FAIL:
            lines.append(f"  - Spans: {plain(row.spans)}")
            lines.append(f"  - Do: {plain(row.advice)}")
    if (measures := verdict.measures) is not None and measures.limits:
        lines += ["", *limits_table(measures.limits).in_markdown(), ""]
        lines += [f"- {plain(line)}" for line in limit_lines(measures)]
    return visible("\n".join([*lines, ""]))


def markdown_item(row: CheckRow) -> str:
    """A line of the checklist as an item of a Markdown list."""
    return f"- [{_MARKDOWN_MARKS[row.outcome]}] {plain(row.title)}: {plain(row.line)}"


def as_junit(verdict: Verdict) -> str:
    """A JUnit test suite: a case for each check; a trace that is not complete is one error."""
    cases = [_case(row) for row in checklist(verdict)]
    if not verdict.judged:
        reasons = "\n".join(unjudged(verdict))
        cases = [Case("complete", CaseEnd.ERROR, "there is no verdict", reasons)]
    return junit(f"trace {verdict.trace.id}", "trace", cases)


def _case(row: CheckRow) -> Case:
    if row.outcome is Outcome.FAIL:
        text = f"Spans: {row.spans}\nDo: {row.advice}"
        return Case(row.id, CaseEnd.FAILURE, f"{row.title}: {row.line}", text)
    if row.outcome is Outcome.NOT_APPLICABLE:
        return Case(row.id, CaseEnd.SKIPPED, row.line)
    return Case(row.id)


def as_github(verdict: Verdict) -> str:
    """Workflow commands: an annotation for each failure, and one for an incomplete trace."""
    if not verdict.judged:
        return annotation("error", "No verdict", " ".join(unjudged(verdict)))
    lines = [
        annotation("error", row.title, f"{row.line}. Do: {row.advice}")
        for row in checklist(verdict)
        if row.outcome is Outcome.FAIL
    ]
    if verdict.passed:
        lines.append(annotation("notice", "Verdict", completeness_line(verdict)))
    lines += [annotation("notice", "Note", note) for note in verdict.notes]
    return "\n".join(lines)
