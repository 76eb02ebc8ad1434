"""What a run decided, what it relied on, what speaks against it, and what its agents wrote."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from trading_graph.graph.decisions import Action, Decision
from trading_graph.otel.report.markup import Markup, element, joined
from trading_graph.otel.report.page_findings import section
from trading_graph.service.run.folder import DECISION, REPORT
from trading_graph.service.server.pages.layout import figure
from trading_graph.service.server.pages.report_text import Piece, as_html, pieces

_MOST_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Left:
    """What a run left in its folder, the reports as HTML already."""

    decision: Decision | None
    reports: Sequence[tuple[Piece, Markup]]


def left_in(folder: Path) -> Left:
    """Read what a run left. Blocks."""
    try:
        decision = Decision.model_validate_json(_read(folder / DECISION))
    except (OSError, ValidationError):
        decision = None
    try:
        written = pieces(_read(folder / REPORT).decode(errors="replace"))
    except OSError:
        written = []
    return Left(decision, [(each, as_html(each.text)) for each in written])


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_MOST_BYTES)


def decision_section(made: Decision) -> Markup:
    """The decision with its levels, reasons and warnings."""
    final = made.decision
    figures = [
        figure("entry", f"{final.entry:,g}"),
        figure("stop", f"{final.stop:,g}", _away(final.stop, final.entry)),
        figure("target", f"{final.target:,g}", _away(final.target, final.entry)),
        figure("position", f"{final.position_pct:g} %", "of the portfolio"),
        figure("horizon", f"{final.horizon_days} days"),
    ]
    warnings = [element("li", each) for each in made.warnings]
    return section(
        "Decision",
        *([element("ul", joined(warnings), class_="warnings")] if warnings else []),
        element("p", final.rationale, class_="rationale"),
        element("dl", joined(figures), class_="figures small"),
        _levels(final.stop, final.entry, final.target, final.action),
        _listed("Evidence", final.evidence),
        _listed("Risks that remain", final.risks),
        note=f"Session of {made.session}. {made.model[:1].upper()}{made.model[1:]}; data: "
        f"{made.data}." + (" Latencies are simulated." if made.simulated_latency else ""),
    )


def _away(level: float, entry: float) -> str:
    return f"{(level - entry) / entry:+.1%}".replace("%", " %")


def _levels(stop: float, entry: float, target: float, action: Action) -> Markup:
    """Loss and gain to scale, on one line."""
    low, high = min(stop, target), max(stop, target)
    if high <= low:
        return Markup("")
    at = 100 * (entry - low) / (high - low)
    loss_first = stop < target
    parts = [("loss", 0.0, at), ("win", at, 100.0)] if loss_first else []
    parts = parts or [("win", 0.0, at), ("loss", at, 100.0)]
    label = f"{action}: stop {stop:g}, entry {entry:g}, target {target:g}"
    return element(
        "svg",
        joined(
            element("rect", class_=kind, x=f"{start:.2f}%", width=f"{end - start:.2f}%", height=8)
            for kind, start, end in parts
        ),
        element("rect", class_="entry", x=f"{at:.2f}%", y=-3, width=2, height=14),
        class_="strip levels",
        width="100%",
        height=8,
        role="img",
        aria_label=label,
    )


def _listed(title: str, items: Sequence[str]) -> Markup:
    if not items:
        return Markup("")
    listed = element("ul", joined(element("li", each) for each in items), class_="plain")
    return joined([element("h3", title), listed])


def reports_section(left: Left) -> Markup:
    """What the agents wrote, each behind its name, and what the deciders ruled."""
    written = [(piece.title, html) for piece, html in left.reports]
    if left.decision is not None:
        # In the order of the run: the risk team speaks of the proposal.
        at = next((n for n, (title, _) in enumerate(written) if "risk" in title), len(written))
        written[at:at] = _ruled(left.decision)
    opened = [
        element(
            "details",
            element("summary", title),
            element("div", html, class_="prose"),
            class_="more",
        )
        for title, html in written
    ]
    return section("Reports", *opened, note="What each agent wrote.") if opened else Markup("")


def _ruled(made: Decision) -> Sequence[tuple[str, Markup]]:
    plan, trade = made.plan, made.proposal
    return [
        (
            "Research manager: plan",
            element("p", f"{plan.action} with confidence {plan.confidence:.2f}. {plan.summary}"),
        ),
        (
            "Trader: proposal",
            element(
                "p",
                f"{trade.action} at {trade.entry:g}, stop {trade.stop:g}, target "
                f"{trade.target:g}, {trade.position_pct:g} %. {trade.rationale}",
            ),
        ),
    ]
