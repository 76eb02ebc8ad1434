"""An analyst's report as text, written here and read back here, so that both agree.

    ## Market report: AAPL as of 2025-11-14

    - [+] The close of 272.41 is above the 50-day average of 255.23 (get_indicators)
    - [0] No data: ...

    Written by the offline model's rules from embedded data.
    Score: +0.35

The weightiest findings stand first; the score is the sum of their points, held between -1 and 1.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from trading_graph.graph.offline_model import rules
from trading_graph.graph.offline_model.conversation import ANALYSTS, Block, Conversation
from trading_graph.graph.offline_model.figures import clamp, one_line

_SCORE = "Score:"
_NO_DATA = "- [0] No data:"


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence of a report, the tool it stands on, and its points (0 informs only)."""

    points: float
    text: str
    tool: str

    @property
    def bullet(self) -> str:
        """The finding as a line of the report."""
        mark = "+" if self.points > 0 else "-" if self.points < 0 else "0"
        return f"- [{mark}] {one_line(self.text)} ({self.tool})"


@dataclass(frozen=True, slots=True)
class ReadReport:
    """A report as the later agents see it; `missing` is the sentence why it does not count."""

    agent: str
    good: tuple[str, ...] = ()
    bad: tuple[str, ...] = ()
    score: float = 0.0
    missing: str | None = None


def write_report(title: str, conversation: Conversation, findings: Iterable[Finding]) -> str:
    """The report with its weightiest findings first and its score last."""
    ordered = sorted(findings, key=lambda finding: -abs(finding.points))
    score = clamp(sum(finding.points for finding in ordered), -1, 1)
    data = "live" if _is_live(conversation) else "embedded"
    return "\n".join(
        (
            f"## {title} report: {conversation.symbol} as of {conversation.as_of}",
            "",
            *(finding.bullet for finding in ordered),
            "",
            f"Written by the offline model's rules from {data} data.",
            f"{_SCORE} {score:+.2f}",
        )
    )


def read_reports(conversation: Conversation) -> list[ReadReport]:
    """The reports in the prompt, one an analyst, in the analysts' order."""
    found: Mapping[str, ReadReport] = {
        report.agent: report for report in map(_read, conversation.blocks("report"))
    }
    return [found[agent] for agent in ANALYSTS if agent in found]


def _read(block: Block) -> ReadReport:
    agent = block.attributes.get("agent", "")
    if block.attributes.get("missing") == "true":
        reason = one_line(block.text).rstrip(".") or "no reason was given"
        return ReadReport(agent, missing=f"The report of {agent} is missing: {reason}.")
    lines = [line.strip() for line in block.text.splitlines()]
    scores = [line[len(_SCORE) :] for line in lines if line.startswith(_SCORE)]
    score = _score(scores[-1]) if scores else None
    if score is None:
        return ReadReport(agent, missing=f"The report of {agent} ends without a score.")
    bullets = [line for line in lines if line.startswith("- [")]
    if bullets and all(bullet.startswith(_NO_DATA) for bullet in bullets):
        return ReadReport(agent, missing=f"The report of {agent} had no data to weigh.")
    return ReadReport(
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


def weighted_score(reports: Iterable[ReadReport]) -> float:
    """The mean of the scores that are there, weighted by analyst; 0 when there is none."""
    present = [report for report in reports if report.missing is None]
    weights = [rules.ANALYST_WEIGHTS[report.agent] for report in present]
    if not present:
        return 0.0
    total = sum(w * report.score for w, report in zip(weights, present, strict=True))
    return total / sum(weights)


def arguments(reports: Iterable[ReadReport], *, good: bool) -> list[str]:
    """The weightiest bullets of one sign from every report, each with its analyst."""
    limit = rules.ARGUMENTS_PER_REPORT
    return [
        f"{report.agent}: {text}"
        for report in reports
        for text in (report.good if good else report.bad)[:limit]
    ]


def missing_sentences(reports: Iterable[ReadReport]) -> list[str]:
    """One sentence for every report that is not there."""
    return [report.missing for report in reports if report.missing is not None]


def _is_live(conversation: Conversation) -> bool:
    return any(result.data.get("data_mode") == "live" for result in conversation.results)
