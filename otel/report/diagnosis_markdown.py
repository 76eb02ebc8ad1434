"""A diagnosis as Markdown: issue, actions by priority, metrics, gains, monitoring commands."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

from trading_graph.otel.diagnosis import Diagnosis, Finding, Standing, Theme
from trading_graph.otel.report.durations import between, brief, share
from trading_graph.otel.report.gains import gains_table, shortened
from trading_graph.otel.report.outlook import headline, outlook
from trading_graph.otel.report.verdict_text import completeness_line, measured
from trading_graph.otel.verdict import Outcome

_PRIORITIES = ("🔴", "🟡", "🟢")
_MARKS = {Outcome.PASS: "x", Outcome.FAIL: " ", Outcome.NOT_APPLICABLE: "-"}
_MARKUP = re.compile(r"([\\`*_\[\]<>|~#])")
_PLACE = 120


def diagnosis_markdown(found: Diagnosis) -> str:
    """The whole document; it ends with a newline."""
    return "\n".join(
        [
            *_issue(found),
            *_actions(found),
            *_metrics(found),
            *_gains(found),
            *_monitoring(found),
        ]
    )


def _issue(found: Diagnosis) -> list[str]:
    target = found.target
    gap = f"{target.now_s / target.limit_s:.1f}x slower"
    if target.standing is Standing.INSIDE:
        gap = f"none, {brief(target.limit_s - target.now_s)} to spare"
    path = [
        f"| {kind} | {brief(spent)} | {share(spent, found.wall_s)} |"
        for kind, spent in found.by_class.items()
    ]
    return [
        "# Trace Performance Diagnosis & Solutions",
        "",
        f"{_plain(found.title)} · trace `{_code(found.trace.id)}` · "
        f"{found.verdict.span_count} spans",
        "",
        "## 🚨 Performance Issue",
        "",
        f"{headline(found)} {_plain(' '.join(outlook(found)))}",
        "",
        "**Current vs Target Performance:**",
        "",
        "| Current | Target | Gap |",
        "|---------|--------|-----|",
        f"| {brief(target.now_s)} | {target.limit_s:g} s | {gap} |",
        "",
        "**Where the time of the critical path went:**",
        "",
        "| Class | Time | Share |",
        "|-------|------|-------|",
        *path,
        "",
    ]


def _actions(found: Diagnosis) -> list[str]:
    lines = ["## 🎯 Action Items", ""]
    if not found.findings:
        return [*lines, "Nothing was found that would make this run faster.", ""]
    for number, (theme, findings) in enumerate(_by_theme(found.findings).items()):
        mark = _PRIORITIES[min(number, len(_PRIORITIES) - 1)]
        lines += [f"### {mark} Priority {number + 1}: {theme}", ""]
        shown: set[str] = set()
        for each in findings:
            lines += _task(each)
            code = each.kind.code
            if code and code not in shown:
                lines += ["```python", code, "```", ""]
            shown.add(code)
    return lines


def _by_theme(findings: Sequence[Finding]) -> Mapping[Theme, Sequence[Finding]]:
    """Findings by theme, in the order of each theme's greatest gain."""
    themes: dict[Theme, list[Finding]] = defaultdict(list)
    for each in findings:
        themes[each.kind.theme].append(each)
    return themes


def _task(found: Finding) -> list[str]:
    return [
        f"**Task: {found.kind.task}** (gains {between(found.gain)})",
        "",
        f"- Where: {_plain(shortened(found.place, _PLACE))}",
        f"- Evidence: {_plain(found.evidence)}",
        f"- Do: {_plain(found.advice)}",
        *([f"- Here: {found.here}"] if found.here else []),
        *([f"- Only if {found.only_if}."] if found.only_if else []),
        "",
    ]


def _metrics(found: Diagnosis) -> list[str]:
    verdict = found.verdict
    return [
        "## 📊 Success Metrics",
        "",
        "### Verification Checklist",
        "",
        *(
            f"- [{_MARKS[result.outcome]}] {_plain(result.title)}: {_plain(measured(result))}"
            for result in verdict.checks
        ),
        "",
        completeness_line(verdict),
        "",
    ]


def _gains(found: Diagnosis) -> list[str]:
    """The table of the fixes, each on top of those before it."""
    head, rows = gains_table(found, 60)
    return [
        "### Expected Performance Gains",
        "",
        _row(head),
        "|" + "---|" * len(head),
        *(_row([_plain(cell) for cell in row]) for row in rows),
        "",
        "Each line is the run played again with its fix and all fixes above it: gains are never "
        "added. The interval keeps every observed order at one end, only declared order at the "
        "other, and 2 % of noise at both.",
        "",
    ]


def _monitoring(found: Diagnosis) -> list[str]:
    allowed = f"{found.target.limit_s:g}"
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
        f'grep "{_code(found.trace.id)}" logs/trading_graph.log',
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
    commands = ours if found.is_ours else theirs
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
