"""The folder that a run leaves: `trace.jsonl` as it goes, `decision.json` and `report.md` at its
end.

The latter two appear whole or not at all: a run that failed leaves its trace alone. While it goes
on there are `order.json`, what it was asked to do, `open.jsonl`, the spans that have started, and
`checkpoints.sqlite`, what its nodes have brought: all that another process needs to go on with it.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trading_graph.graph.analysis import (
        Analysis,  # importing it takes seconds, and `verify` needs a name
    )

DECISION, REPORT, TRACE = "decision.json", "report.md", "trace.jsonl"
ORDER, JOURNAL, CHECKPOINTS = "order.json", "open.jsonl", "checkpoints.sqlite"


class RunFolder:
    """One run's folder below the place where runs are kept."""

    def __init__(self, out: Path, run_id: str) -> None:
        self.path = out / run_id

    def create(self, order: str) -> None:
        """Make the folder of a run that begins; raises OSError, also where there is one."""
        self.path.mkdir(parents=True)
        _replace(self.order, order)

    @property
    def trace(self) -> Path:
        """The run's trace, OTLP JSON lines."""
        return self.path / TRACE

    @property
    def journal(self) -> Path:
        """What has started, while the run is not over."""
        return self.path / JOURNAL

    @property
    def checkpoints(self) -> Path:
        """What the nodes have brought, while the run is not over."""
        return self.path / CHECKPOINTS

    @property
    def order(self) -> Path:
        """What the run was asked to do, while it is not over."""
        return self.path / ORDER

    @property
    def decision(self) -> Path:
        """What came of the run."""
        return self.path / DECISION

    def write(self, analysis: "Analysis") -> None:
        """Write the decision and the report."""
        _replace(self.decision, analysis.decision.model_dump_json(indent=2) + "\n")
        _replace(self.path / REPORT, report(analysis))


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.partial")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def report(analysis: "Analysis") -> str:
    """The whole analysis as Markdown."""
    made = analysis.decision
    final = made.decision
    lines = [
        f"# {made.symbol} as of {made.as_of}: {final.action}",
        "",
        f"Model: {made.model}. Data: {made.data}. Session served: {made.session}."
        + (" Latencies are simulated." if made.simulated_latency else ""),
        "Not investment advice.",
        "",
        f"- Confidence {final.confidence:.2f}, horizon {final.horizon_days} days, "
        f"position {final.position_pct:g} % of the portfolio",
        f"- Entry {final.entry:g}, stop {final.stop:g}, target {final.target:g}",
        "",
        final.rationale,
        "",
        *_list("Evidence", final.evidence),
        *_list("Risks that remain", final.risks),
        *_list("Warnings", made.warnings),
        "## Analysts",
        "",
        *(f"{_heading(said.agent)}\n\n{said.text}\n" for said in analysis.reports),
        "## Debate",
        "",
        *(f"{_heading(said.agent, said.round)}\n\n{said.text}\n" for said in analysis.statements),
        "## Research plan",
        "",
        f"{made.plan.action} with confidence {made.plan.confidence:.2f}. {made.plan.summary}",
        "",
        "## Trade proposal",
        "",
        f"{made.proposal.action} at {made.proposal.entry:g}, stop {made.proposal.stop:g}, target "
        f"{made.proposal.target:g}, {made.proposal.position_pct:g} %. {made.proposal.rationale}",
        "",
        "## Risk team",
        "",
        *(f"{_heading(said.agent, said.round)}\n\n{said.text}\n" for said in analysis.opinions),
        f"Run {made.run_id}, {analysis.seconds:.1f} s.",
        "",
    ]
    return "\n".join(lines)


def _heading(agent: str, round_: int | None = None) -> str:
    spoken = agent.replace("_", " ").capitalize()
    return f"### {spoken}" + (f", round {round_}" if round_ else "")


def _list(title: str, items: list[str]) -> list[str]:
    return [f"## {title}", "", *(f"- {item}" for item in items), ""] if items else []
