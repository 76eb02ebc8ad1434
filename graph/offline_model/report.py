"""An analyst's report: its bullets, their figures, its text, and that text read back.

    ## Market report: AAPL as of 2025-11-14

    - [+] The close of 272.41 is above the 50-day average of 255.23 (get_indicators)
    - [0] No data: ...

    Written by the offline model's rules from embedded data.
    Score: +0.35

The weightiest bullets stand first. The score is the sum of their points, limited to -1 to 1.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from trading_graph.graph.offline_model import rules
from trading_graph.graph.offline_model.conversation import Conversation, Passage, one_line
from trading_graph.graph.options import ANALYSTS
from trading_graph.toolkit.symbols import identify

_SCORE = "Score:"
_NO_DATA = "- [0] No data:"
# How the prompts mark a report without data about the symbol.
_NO_EVIDENCE = "none"
_NOT_APPLICABLE = "not_applicable"
_BILLION = 1e9
_MILLION = 1e6


@dataclass(frozen=True, slots=True)
class Bullet:
    """One sentence of a report, its source tool, and its points (0 only informs)."""

    points: float
    text: str
    tool: str

    @property
    def line(self) -> str:
        """The bullet as a line of the report."""
        mark = "+" if self.points > 0 else "-" if self.points < 0 else "0"
        return f"- [{mark}] {one_line(self.text)} ({self.tool})"


@dataclass(frozen=True, slots=True)
class ToolRequest:
    """A tool call of an analyst's first turn: for the benchmark, the symbol, or no symbol.

    The benchmark is the index of the symbol's market; what has none gets no such call.
    """

    tool: str
    benchmark: bool = False
    forms: tuple[str, ...] = ()
    about_symbol: bool = True

    def arguments(self, symbol: str) -> dict[str, Any]:
        """The call's arguments."""
        if not self.about_symbol:
            return {}
        subject: dict[str, Any] = {"symbol": benchmark_of(symbol) if self.benchmark else symbol}
        return subject | ({"forms": list(self.forms)} if self.forms else {})


def benchmark_of(symbol: str) -> str:
    """The index against which a symbol is measured; "" for what no index measures."""
    return identify(symbol).benchmark


@dataclass(frozen=True, slots=True)
class Analyst:
    """The rules of one analyst: which tools it calls, and what it observes in the results."""

    title: str
    requests: tuple[ToolRequest, ...]
    bullets: Callable[[Conversation], Iterator[Bullet]]


@dataclass(frozen=True, slots=True)
class ReportSummary:
    """A report as later agents see it; `missing` is the sentence why it does not count."""

    agent: str
    good: tuple[str, ...] = ()
    bad: tuple[str, ...] = ()
    score: float = 0.0
    missing: str | None = None


def write_report(title: str, conversation: Conversation, bullets: Iterable[Bullet]) -> str:
    """The text of the report, its weightiest bullets first and its score last."""
    by_weight = sorted(bullets, key=lambda bullet: -abs(bullet.points))
    score = clamp(sum(bullet.points for bullet in by_weight), -1, 1)
    live = any(result.data.get("data_mode") == "live" for result in conversation.results)
    data = "live" if live else "embedded"
    return "\n".join(
        (
            f"## {title} report: {conversation.symbol} as of {conversation.as_of}",
            "",
            *(bullet.line for bullet in by_weight),
            "",
            f"Written by the offline model's rules from {data} data.",
            f"{_SCORE} {score:+.2f}",
        )
    )


def read_reports(conversation: Conversation) -> list[ReportSummary]:
    """The reports in the prompt, one for each analyst, in the analysts' order.

    Not those that by nature have no data: nothing is missing there, and nothing is to be weighed.
    """
    blocks = conversation.blocks("report")
    reports: Mapping[str, ReportSummary] = {
        report.agent: report
        for report in map(read_report, (b for b in blocks if _data(b) != _NOT_APPLICABLE))
    }
    return [reports[agent] for agent in ANALYSTS if agent in reports]


def _data(block: Passage) -> str | None:
    return block.attributes.get("data")


def read_report(block: Passage) -> ReportSummary:
    """Read one report; one without a score or data counts as missing."""
    agent = block.attributes.get("agent", "")
    if block.attributes.get("missing") == "true":
        reason = one_line(block.text).rstrip(".") or "no reason was given"
        return ReportSummary(agent, missing=f"The report of {agent} is missing: {reason}.")
    lines = [line.strip() for line in block.text.splitlines()]
    scores = [line[len(_SCORE) :] for line in lines if line.startswith(_SCORE)]
    score = _score(scores[-1]) if scores else None
    if score is None:
        return ReportSummary(agent, missing=f"The report of {agent} ends without a score.")
    bullet_lines = [line for line in lines if line.startswith("- [")]
    empty = bullet_lines and all(line.startswith(_NO_DATA) for line in bullet_lines)
    if empty or _data(block) == _NO_EVIDENCE:
        return ReportSummary(agent, missing=f"The report of {agent} had no data to weigh.")
    return ReportSummary(
        agent,
        good=tuple(line[6:] for line in lines if line.startswith("- [+] ")),
        bad=tuple(line[6:] for line in lines if line.startswith("- [-] ")),
        score=score,
    )


def _score(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return clamp(value, -1, 1) if -2 < value < 2 else None


def weighted_score(reports: Iterable[ReportSummary]) -> float:
    """The mean of the available scores, weighted by analyst; 0 when there is none."""
    present = [report for report in reports if report.missing is None]
    weights = [rules.ANALYST_WEIGHTS[report.agent] for report in present]
    if not present:
        return 0.0
    total = sum(w * report.score for w, report in zip(weights, present, strict=True))
    return total / sum(weights)


def arguments(reports: Iterable[ReportSummary], *, good: bool) -> list[str]:
    """The weightiest bullets of one sign from each report, with the analyst's name."""
    limit = rules.ARGUMENTS_PER_REPORT
    return [
        f"{report.agent}: {text}"
        for report in reports
        for text in (report.good if good else report.bad)[:limit]
    ]


def missing_sentences(reports: Iterable[ReportSummary]) -> list[str]:
    """One sentence for each missing report."""
    return [report.missing for report in reports if report.missing is not None]


def quote(value: float) -> str:
    """The number for a sentence: two decimals, up to four digits below one, or in millions."""
    size = abs(value)
    if size >= _BILLION:
        return f"{value / _BILLION:.2f} billion"
    if size >= _MILLION:
        return f"{value / _MILLION:.2f} million"
    if size >= 1 or size == 0:
        return f"{value:.2f}"
    decimals = min(12, 3 - math.floor(math.log10(size)))
    whole, _, fraction = f"{value:.{decimals}f}".partition(".")
    return f"{whole}.{fraction.rstrip('0'):0<2}"


def percent(fraction: float) -> str:
    """A fraction in per cent with one decimal."""
    return f"{100 * fraction:.1f} %"


def clamp(value: float, low: float, high: float) -> float:
    """The value, limited to the range; never minus zero."""
    return min(max(value, low), high) + 0.0
