"""A portfolio's evaluation as Markdown, as a page, and in a terminal.

The page has no script and loads nothing, so it can be kept, mailed and printed. Its content
security policy allows its own style sheet, by hash, and nothing else.
"""

from base64 import b64encode
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, PrefixLoader
from rich.console import Console
from rich.text import Text

from trading_graph.graph.price_text import price_text
from trading_graph.otel.report import html as report_html
from trading_graph.otel.report.tables import Table
from trading_graph.service.portfolio.results import tables
from trading_graph.service.portfolio.results.drawings import account_chart, spark
from trading_graph.service.portfolio.results.evaluation import Evaluation
from trading_graph.service.portfolio.results.wording import (
    DEMONSTRATION,
    FORMULA,
    NOT_ADVICE,
    ORDERS,
    change_text,
    model_lines,
    per_cent,
    rules_lines,
    served_line,
)

MOST_CARDS = 60
"""How many decisions of a list the page draws; the others stand in a table."""
MOST_ROWS = 20
"""How many rows of a table a terminal shows."""

_PACKAGE = "trading_graph.service.portfolio.results"
_LISTS = (
    ("Buy", "buys"),
    ("Do not hold", "sells"),
    ("Hold", "holds"),
)
_NOTES = {
    "buys": FORMULA,
    "sells": "SELL: ranked by the same formula, the greatest expected loss avoided first. Never a "
    "short.",
    "holds": "A HOLD has no rank.",
}


def as_markdown(evaluation: Evaluation) -> str:
    """The evaluation as Markdown."""
    return _templates().get_template("report.md").render(_view(evaluation)).rstrip() + "\n"


def as_page(evaluation: Evaluation, links: Mapping[str, str]) -> str:
    """The evaluation as an HTML page; `links` are the addresses of the runs' reports, by run id."""
    ranking, tested, prices = evaluation.ranking, evaluation.back_test, evaluation.prices
    bars = {} if prices is None else prices.bars
    style, digest = _style()
    return (
        _templates()
        .get_template("report.html")
        .render(
            _view(evaluation),
            links=links,
            changes={
                each.ticker_day.run_id: change_text(each, ranking, "confidence")
                for each in ranking.places
            },
            sparks={
                each.ticker_day.run_id: spark(each, bars.get(each.decision.symbol))
                for _, key in _LISTS
                for each in getattr(ranking, key)[:MOST_CARDS]
            },
            charts=[] if tested is None else [account_chart(each) for each in tested.accounts],
            lists=[
                (title, places[:MOST_CARDS], tables.place_table(places[MOST_CARDS:], ranking), note)
                for title, places, note in (
                    (title, getattr(ranking, key), _NOTES[key]) for title, key in _LISTS
                )
            ],
            style=style,
            style_digest=digest,
        )
        + "\n"
    )


def show(evaluation: Evaluation, console: Console) -> None:
    """Print the evaluation for people."""
    view = _view(evaluation)
    ranking, tested = evaluation.ranking, evaluation.back_test
    console.print(Text(f"{evaluation.name}: ranking of {ranking.evening}", style="bold"))
    console.print(Text(view["served"]))
    if ranking.is_demonstration:
        console.print(Text(DEMONSTRATION, style="yellow"))
    for title, key in (
        *_LISTS,
        ("No model decided", "undecided"),
        ("Without a decision", "unfinished"),
        ("Left out of the list", "left_out"),
    ):
        _show_table(console, title, view[key])
    if ranking.ranked:
        console.print(Text(FORMULA, style="dim"))
    _show_table(console, "Orders", view["orders"])
    if evaluation.orders:
        console.print(Text(ORDERS, style="dim"))
    if tested is not None and tested.outcomes:
        _show_table(console, "Back-test", view["groups"])
        _show_table(console, "All purchases as one account", view["accounts"])
        for line in view["rules"]:
            console.print(Text(line, style="dim"))
    console.print(Text(NOT_ADVICE, style="dim"))


def _show_table(console: Console, title: str, table: Table) -> None:
    if not table.rows:
        return
    console.print()
    console.print(Text(title, style="bold"))
    first = Table(table.head, table.rows[:MOST_ROWS], table.texts)
    fitting, dropped = tables.fit(first, console.width)
    console.print(fitting.in_terminal())
    if dropped:
        console.print(Text(f"Too wide to show here, in the report: {', '.join(dropped)}", "dim"))
    if (more := len(table.rows) - MOST_ROWS) > 0:
        console.print(Text(f"and {more} more in the report", style="dim"))
    console.print()


def _view(evaluation: Evaluation) -> dict[str, Any]:
    """What all renderings show."""
    ranking, tested = evaluation.ranking, evaluation.back_test
    has_outcomes = tested is not None and bool(tested.outcomes)
    nothing = Table((), ())
    return {
        "name": evaluation.name,
        "ranking": ranking,
        "back_test": tested,
        "served": served_line(ranking),
        "demonstration": DEMONSTRATION,
        "formula": FORMULA,
        "not_advice": NOT_ADVICE,
        **{key: tables.place_table(getattr(ranking, key), ranking) for _, key in _LISTS},
        "undecided": tables.undecided_table(ranking),
        "unfinished": tables.unfinished_table(ranking),
        "left_out": tables.left_out_table(evaluation.left_out),
        "degraded": [each for each in ranking.ranked if each.decision.degraded],
        "orders": tables.order_table(evaluation.orders or ()),
        "orders_note": ORDERS,
        "groups": tables.group_table(tested) if tested and has_outcomes else nothing,
        "accounts": tables.account_table(tested) if tested and has_outcomes else nothing,
        "untested": tables.untested_table(tested) if tested else nothing,
        "rules": rules_lines(tested) if tested and has_outcomes else [],
        "models": model_lines(ranking),
    }


@cache
def _templates() -> Environment:
    templates = report_html.environment(
        ChoiceLoader(
            [
                PackageLoader(_PACKAGE),
                PrefixLoader({"report": PackageLoader(report_html.PACKAGE)}),
            ]
        )
    )
    templates.filters.update(per_cent=per_cent, price=price_text)
    return templates


@cache
def _style() -> tuple[str, str]:
    own = (files(_PACKAGE) / "templates" / "report.css").read_text("utf-8")
    style = f"{report_html.style_sheet()}\n{own}"
    return style, b64encode(sha256(style.encode()).digest()).decode()
