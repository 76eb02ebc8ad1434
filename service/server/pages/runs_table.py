"""Runs as a table: what each decided, how long it took, and what its verdict says."""

from collections.abc import Sequence

from trading_graph.otel.report.markup import Markup, element, joined
from trading_graph.service.server.pages.layout import badge, link, moment
from trading_graph.service.server.pages.verdict_view import outcome
from trading_graph.service.store import RunState, StoredRun

STATE_KINDS = {
    RunState.QUEUED: "plain",
    RunState.RUNNING: "live",
    RunState.DONE: "good",
    RunState.FAILED: "bad",
    RunState.CANCELLED: "plain",
}
# A phone has no room for the columns that are `wide`.
_HEAD = (
    ("Run", ""),
    ("Started, UTC", "wide"),
    ("Decision", ""),
    ("Confidence", "wide"),
    ("Seconds", ""),
    ("Verdict", ""),
)


def runs_table(runs: Sequence[StoredRun]) -> Markup:
    """Runs that are over."""
    head = (element("th", name, scope="col", class_=wide or None) for name, wide in _HEAD)
    return element(
        "table",
        element("thead", element("tr", joined(head))),
        element("tbody", joined(_row(run) for run in runs)),
        class_="runs",
    )


def _row(run: StoredRun) -> Markup:
    seconds = "" if run.seconds is None else f"{run.seconds:.1f}"
    confidence = "" if run.confidence is None else f"{run.confidence:.2f}"
    verdict = badge(*outcome(run.passed)) if run.state is RunState.DONE else state_badge(run)
    return element(
        "tr",
        element(
            "th",
            link(run.symbol, f"/runs/{run.id}", class_="symbol"),
            " ",
            element("span", f"as of {run.date}", class_="note"),
            " ",
            marks(run),
            scope="row",
        ),
        element("td", moment(run.started or run.created), class_="wide"),
        element("td", action(run.action)),
        element("td", confidence, class_="wide"),
        element("td", seconds),
        element("td", verdict),
    )


def action(name: str | None) -> Markup:
    """BUY, HOLD or SELL in its colour."""
    if name is None:
        return element("span", "-", class_="note")
    return element("b", name, class_=f"action {name.lower()}")


def state_badge(run: StoredRun) -> Markup:
    """Where a run is in its life."""
    return badge(run.state, STATE_KINDS[run.state])


def marks(run: StoredRun) -> Markup:
    """What is out of the ordinary in a run."""
    return joined(
        [
            *([badge("degraded", "warn")] if run.degraded else []),
            *([badge("resumed", "plain")] if run.resumed else []),
        ]
    )
