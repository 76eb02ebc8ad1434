"""The report of a run as Markdown: a summary of one page, the reports of all agents, the sources.

It reads as plain text and rendered. What models wrote is shown as they wrote it, but for what would
act on a reader or break the outline: headings are pushed below those of the report, and neither
HTML nor an image of theirs remains one.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined

from trading_graph.graph.analysis import Analysis
from trading_graph.graph.decisions import UNKNOWN_STAYS, Action, DecidedBy, Decision
from trading_graph.graph.price_text import money_text
from trading_graph.graph.state import State
from trading_graph.service.run.folder import CHART
from trading_graph.service.run.price_chart import Level, Subject, describe, draw_chart
from trading_graph.service.run.request import RunRequest
from trading_graph.service.run.source_table import SOURCE_HEAD, source_rows
from trading_graph.toolkit.chart_bars import ChartBars

DECIDED_BY = {
    DecidedBy.MODEL: "",
    DecidedBy.RULE: "decided by a rule",
    DecidedBy.NOBODY: "decided by no model",
}
"""What a decision that is no model's ruling is called."""

_HIGHEST = 4
"""The level of the highest heading in what an agent wrote."""

_MOST_WARNINGS = 8
"""So many warnings stand in the summary; of more, the rest has a section of its own."""

_HEADING = re.compile(r"^ {0,3}#{1,6}(?=\s|$)")
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})")
_UNDERLINE = re.compile(r"^ {0,3}(?:=+|-+)\s*$")
_ACTIVE = re.compile(r"<(?=[A-Za-z/!?])|!(?=\[)")


def report(analysis: Analysis) -> str:
    """The whole analysis."""
    decision = analysis.decision
    return _REPORT.render(
        decision=decision,
        decided_by=DECIDED_BY[decision.decided_by],
        final=decision.decision,
        plan=decision.plan,
        proposal=decision.proposal,
        unknown_stays=UNKNOWN_STAYS,
        summary=_summary(analysis),
        notes=[note for note in decision.notes if note not in analysis.gaps],
        reports=analysis.reports,
        statements=analysis.statements,
        opinions=analysis.opinions,
        source_head=SOURCE_HEAD,
        sources=source_rows(decision.sources),
        seconds=analysis.seconds,
    )


def unfinished_report(state: State, request: RunRequest, run_id: str, sentence: str) -> str:
    """What the agents of a run that failed had brought, and why it failed."""
    return _UNFINISHED.render(
        symbol=request.symbol,
        as_of=request.date,
        run_id=run_id,
        sentence=sentence,
        reports=state.get("reports", []),
        statements=state.get("statements", []),
        plan=state.get("plan"),
        proposal=state.get("proposal"),
        currency=state["levels"].currency if "levels" in state else "",
        opinions=state.get("opinions", []),
    )


def chart(analysis: Analysis) -> str | None:
    """The prices that the decision saw, with its levels, as SVG; None for a run without prices."""
    if analysis.history is None:
        return None
    decision = analysis.decision
    return draw_chart(analysis.history, chart_levels(decision), _subject(decision))


def chart_levels(decision: Decision) -> list[Level]:
    """The levels that a decision has."""
    final = decision.decision
    prices = (("entry", final.entry), ("stop", final.stop), ("target", final.target))
    return [Level(name, price) for name, price in prices if price is not None]


def _subject(decision: Decision) -> Subject:
    return Subject(decision.symbol, decision.currency, decision.name)


@dataclass(frozen=True, slots=True)
class Summary:
    """What the first page says beside the decision itself."""

    levels: Sequence[tuple[str, str, str]]
    reward: str
    basis: str
    against: Sequence[str]
    debated: bool
    missing: str
    gaps: Sequence[str]
    warnings: Sequence[str]
    other_warnings: Sequence[str]
    ground: Sequence[tuple[str, str]]
    chart: str
    chart_file: str = CHART


def _summary(analysis: Analysis) -> Summary:
    decision = analysis.decision
    history = analysis.history
    return Summary(
        levels=list(_level_rows(decision)),
        reward=_reward(decision),
        basis=_basis(decision),
        against=_against(decision),
        debated=bool(analysis.statements),
        missing=_missing(analysis),
        gaps=analysis.gaps,
        warnings=decision.warnings[:_MOST_WARNINGS],
        other_warnings=decision.warnings[_MOST_WARNINGS:],
        ground=list(_ground(analysis)),
        chart="" if history is None else _alternative(history, decision),
    )


def _alternative(history: ChartBars, decision: Decision) -> str:
    """The chart in words, where it cannot be seen."""
    words = describe(history, chart_levels(decision), _subject(decision))
    return words.replace("[", "(").replace("]", ")")


def _level_rows(decision: Decision) -> Iterator[tuple[str, str, str]]:
    """Target, entry and stop: name, price, and distance from the entry."""
    entry = decision.decision.entry
    for level in sorted(chart_levels(decision), key=lambda level: level.price, reverse=True):
        change = ""
        if entry is not None and level.name != "entry":
            change = f"{100 * (level.price / entry - 1):+.1f} %"
        yield level.name.capitalize(), money_text(level.price, decision.currency), change


def _reward(decision: Decision) -> str:
    """What there is to gain against what there is to lose, or what the levels of a SELL mean."""
    final = decision.decision
    if final.entry is None or final.stop is None or final.target is None:
        return ""
    if final.action is Action.HOLD:
        return ""  # What is neither bought nor sold has neither to weigh.
    if final.action is Action.SELL:
        stop = money_text(final.stop, decision.currency)
        target = money_text(final.target, decision.currency)
        return (
            f"If the price rises to {stop}, the SELL was wrong; it is expected to fall to {target}."
        )
    ratio = abs(final.target - final.entry) / abs(final.entry - final.stop)
    return f"The gain at the target is {ratio:.1f} times the loss at the stop."


def _basis(decision: Decision) -> str:
    """On how many reports the confidence rests."""
    basis = decision.confidence_basis
    if basis is None:
        return ""
    text = f"{basis.reports_with_data} of {basis.reports_expected} reports stand on data"
    if decision.decided_by is DecidedBy.MODEL and basis.confidence != basis.stated:
        text += f", which lowered it from {basis.stated:.2f}"
    return text


def _against(decision: Decision) -> list[str]:
    """The risks that remain, and the points that held of the other side; of both for a HOLD."""
    plan, final = decision.plan, decision.decision
    both = [*plan.bull_points, *plan.bear_points]
    points = {Action.BUY: plan.bear_points, Action.SELL: plan.bull_points, Action.HOLD: both}
    return list(dict.fromkeys([*final.risks, *points[final.action]]))


def _missing(analysis: Analysis) -> str:
    """What is missing, in one sentence; the gaps of the analysis stand below it."""
    decision = analysis.decision
    parts = []
    if decision.missing_reports:
        parts.append(f"no report of {_names(decision.missing_reports)}")
    if decision.reports_without_data:
        parts.append(f"no data in the report of {_names(decision.reports_without_data)}")
    if decision.undecided:
        parts.append(f"no usable answer of {_names(decision.undecided)}")
    if decision.session is None:
        parts.append("no prices")
    if parts:
        return f"{'; '.join(parts)}."
    if decision.degraded:
        return "see the warnings."
    return "" if analysis.gaps else "nothing that was looked for."


def _names(agents: Sequence[str]) -> str:
    return ", ".join(agent.replace("_", " ") for agent in agents)


def _ground(analysis: Analysis) -> Iterator[tuple[str, str]]:
    """What the decision rests on: names and values."""
    decision, history = analysis.decision, analysis.history
    yield "As of", f"{decision.as_of}, session of {decision.session or 'no day: no prices'}"
    if history is not None:
        yield "Last close", money_text(history.close[-1], decision.currency)
    if decision.instrument:
        yield "Instrument", decision.instrument
    if decision.benchmark:
        yield "Benchmark", decision.benchmark
    yield "Model", decision.model
    if decision.language:
        yield "Language asked for", decision.language
    yield "Data", decision.data
    if decision.simulated_latency:
        yield "Latencies", "simulated"


def line(text: str) -> str:
    """Text of a model as one line of a paragraph or a list."""
    return _ACTIVE.sub(r"\\\g<0>", " ".join(text.split()))


def cell(text: str) -> str:
    """Text as a cell of a table."""
    return line(text).replace("|", r"\|")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose columns are aligned where it is read as text too; it ends with a newline."""
    cells = [list(head), *([cell(each) for each in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        " | ".join(each.ljust(width) for each, width in zip(row, widths, strict=True))
        for row in cells
    ]
    rule = "|".join("-" * (width + 2) for width in widths)
    first, *others = (f"| {line} |" for line in lines)
    return "\n".join([first, f"|{rule}|", *others]) + "\n"


def below(text: str) -> str:
    """Text of a model as a part of the report: its headings stand below those of the report."""
    lines: list[str] = []
    headings: list[int] = []
    fence = ""
    for each in text.splitlines():
        mark = _FENCE.match(each)
        if fence:
            closes = mark and mark[1].startswith(fence) and not each.strip().strip(fence[0])
            fence = "" if closes else fence
            lines.append(each)
            continue
        if mark:
            fence = mark[1]
        elif _UNDERLINE.match(each) and lines and lines[-1].strip():
            # It would make a heading of the line before, higher than those around.
            lines.append("")
        elif _HEADING.match(each):
            headings.append(len(lines))
        lines.append(each if mark else _ACTIVE.sub(r"\\\g<0>", each))
    _push(lines, headings)
    # An open fence would swallow the rest of the report.
    return "\n".join([*lines, fence] if fence else lines)


def _push(lines: list[str], headings: Sequence[int]) -> None:
    """Bring the highest heading to its level, and the others after it."""
    levels = [len(lines[i].split()[0]) for i in headings]
    for i, level in zip(headings, levels, strict=True):
        pushed = min(level - min(levels) + _HIGHEST, 6)
        lines[i] = "#" * pushed + lines[i].lstrip()[level:]


_TEMPLATES = Environment(
    loader=PackageLoader("trading_graph.service.run"),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    auto_reload=False,
)
_TEMPLATES.filters.update(below=below, line=line)
_TEMPLATES.globals["table"] = table
_REPORT = _TEMPLATES.get_template("report.md")
_UNFINISHED = _TEMPLATES.get_template("unfinished.md")
