"""A diagnosis as Markdown: issue, actions by priority, metrics, gains, monitoring commands."""

import re

from trading_graph.otel.diagnosis import Ranked
from trading_graph.otel.report.diagnosis_report import Report
from trading_graph.otel.report.diagnosis_text import shortened
from trading_graph.otel.report.durations import between, brief, faster, gain, limit, share
from trading_graph.otel.report.remedies import REMEDIES, by_theme
from trading_graph.otel.report.target import Standing, headline, outlook
from trading_graph.otel.report.verdict_text import completeness_line, measured
from trading_graph.otel.verdict import Outcome

_PRIORITIES = ("🔴", "🟡", "🟢")
_MARKS = {Outcome.PASS: "x", Outcome.FAIL: " ", Outcome.NOT_APPLICABLE: "-"}
_MARKUP = re.compile(r"([\\`*_\[\]<>|~#])")
_PLACE = 120


def diagnosis_markdown(report: Report) -> str:
    """The whole document; it ends with a newline."""
    return "\n".join(
        [
            *_issue(report),
            *_actions(report),
            *_metrics(report),
            *_gains(report),
            *_monitoring(report),
        ]
    )


def _issue(report: Report) -> list[str]:
    found = report.target
    gap = f"{found.now_ns / found.limit_ns:.1f}x slower"
    if found.standing is Standing.INSIDE:
        gap = f"none, {brief(found.limit_ns - found.now_ns)} to spare"
    path = [
        f"| {kind} | {brief(spent)} | {share(spent, report.diagnosis.wall_ns)} |"
        for kind, spent in report.by_class.items()
    ]
    return [
        "# Trace Performance Diagnosis & Solutions",
        "",
        f"{_plain(report.title)} · trace `{_code(report.trace.trace_id)}` · "
        f"{report.verdict.spans} spans",
        "",
        "## 🚨 Performance Issue",
        "",
        f"{headline(found)} {_plain(' '.join(outlook(found)))}",
        "",
        "**Current vs Target Performance:**",
        "",
        "| Current | Target | Gap |",
        "|---------|--------|-----|",
        f"| {brief(found.now_ns)} | {limit(found.limit_ns)} | {gap} |",
        "",
        "**Where the time of the critical path went:**",
        "",
        "| Class | Time | Share |",
        "|-------|------|-------|",
        *path,
        "",
    ]


def _actions(report: Report) -> list[str]:
    lines = ["## 🎯 Action Items", ""]
    if not report.diagnosis.findings:
        return [*lines, "Nothing was found that would make this run faster.", ""]
    for number, (theme, ranked) in enumerate(by_theme(report.diagnosis.findings).items()):
        mark = _PRIORITIES[min(number, len(_PRIORITIES) - 1)]
        lines += [f"### {mark} Priority {number + 1}: {theme}", ""]
        shown: set[str] = set()
        for each in ranked:
            lines += _task(report, each)
            code = REMEDIES[each.finding.kind].code
            if code and code not in shown:
                lines += ["```python", code, "```", ""]
            shown.add(code)
    return lines


def _task(report: Report, each: Ranked) -> list[str]:
    found = each.finding
    gained = gain(report.diagnosis.wall_ns, each.wall)
    here = report.places.get(found.kind)
    return [
        f"**Task: {REMEDIES[found.kind].task}** (gains {gained})",
        "",
        f"- Where: {_plain(shortened(found.place, _PLACE))}",
        f"- Evidence: {_plain(found.evidence)}",
        f"- Do: {_plain(found.advice)}",
        *([f"- Here: {here}"] if here else []),
        *([f"- Only if {found.if_only}."] if found.if_only else []),
        "",
    ]


def _metrics(report: Report) -> list[str]:
    verdict = report.verdict
    return [
        "## 📊 Success Metrics",
        "",
        "### Verification Checklist",
        "",
        *(
            f"- [{_MARKS[result.outcome]}] {_plain(result.title)}: {_plain(measured(result))}"
            for result in verdict.results
        ),
        "",
        completeness_line(verdict),
        "",
    ]


def _gains(report: Report) -> list[str]:
    """The table of the fixes, each on top of those before it."""
    projected = report.target.call_s
    wall = report.diagnosis.wall_ns
    head = ["Implementation", "Expected Runtime", "Improvement"]
    rows = [["Current", brief(wall), "Baseline"]]
    rows += [
        [
            f"+ {REMEDIES[step.finding.kind].task}: {_plain(shortened(step.finding.place, 60))}",
            between(step.wall.low_ns, step.wall.high_ns),
            faster(wall, step.wall.likely_ns),
        ]
        for step in report.diagnosis.steps
    ]
    if projected is not None:
        head.append(f"At {projected:g} s a call")
        for row, after in zip(rows, (report.target.now_ns, *report.target.after_ns), strict=True):
            row.append(brief(after))
    return [
        "### Expected Performance Gains",
        "",
        _row(head),
        "|" + "---|" * len(head),
        *(_row(row) for row in rows),
        "",
        "Each line is the run played again with its fix and all fixes above it: gains are never "
        "added. The interval keeps every observed order at one end, only declared order at the "
        "other, and 2 % of noise at both.",
        "",
    ]


def _monitoring(report: Report) -> list[str]:
    allowed = f"{report.target.limit_ns / 1e9:g}"
    ours = [
        "# Watch for parallel execution patterns",
        'grep "⏱️" logs/trading_graph.log | tail -20',
        "",
        "# Check analyst start times",
        "grep \"START\" logs/trading_graph.log | awk '{print $1, $2, $3, $NF}'",
        "",
        "# Monitor total runtime",
        'grep "Total execution time" logs/trading_graph.log',
        "",
        "# What the log says of this run",
        f'grep "{_code(report.trace.trace_id)}" logs/trading_graph.log',
        "",
        "# Judge and diagnose the next run",
        "trading-graph verify last",
        f"trading-graph diagnose last --target {allowed}",
    ]
    theirs = [
        "# Judge and diagnose the next trace",
        "trading-graph verify TRACE",
        f"trading-graph diagnose TRACE --target {allowed}",
    ]
    commands = ours if report.is_ours else theirs
    return ["## 🔍 Monitoring Commands", "", "```bash", *commands, "```", ""]


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _plain(text: str) -> str:
    """Text of a trace as Markdown that shows it as it is: names may hold anything."""
    line = " ".join(text.split())
    # An underscore inside a word is no markup, and most names have some.
    escaped = _MARKUP.sub(r"\\\1", line).replace("&", "&amp;")
    return re.sub(r"(?<=\w)\\_(?=\w)", "_", escaped)


def _code(text: str) -> str:
    """Text inside backticks or quotes: an id, of which only plain characters stay."""
    return re.sub(r"[^\w.:-]", "", text)
