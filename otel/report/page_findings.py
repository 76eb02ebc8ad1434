"""The parts of the page that say what to do: findings, the table of gains, the checklist."""

from trading_graph.otel.diagnosis import Diagnosis, Finding
from trading_graph.otel.report.charts import bar, strip
from trading_graph.otel.report.durations import between, brief
from trading_graph.otel.report.gains import gains_table, shortened
from trading_graph.otel.report.markup import Markup, element, joined
from trading_graph.otel.report.verdict_text import measured
from trading_graph.otel.verdict import Outcome

_SHOWN = 12
_PLACE = 110
_MARKS = {Outcome.PASS: "✓", Outcome.FAIL: "✗", Outcome.NOT_APPLICABLE: "-"}


def section(title: str, *inside: Markup, note: str = "", class_: str | None = None) -> Markup:
    """A part of the page with its heading."""
    lead = [element("p", note, class_="lead")] if note else []
    return element("section", element("h2", title), *lead, *inside, class_=class_)


def findings(found: Diagnosis) -> Markup:
    """What was found, the greatest gain first."""
    if not found.findings:
        said = "Nothing was found that would make this run faster."
        return section("What to do", element("p", said))
    cards = [_card(each, found.wall_s) for each in found.findings[:_SHOWN]]
    more = len(found.findings) - _SHOWN
    return section(
        "What to do",
        element("ol", joined(cards), class_="findings"),
        *([element("p", f"And {more} more that gain less.", class_="lead")] if more > 0 else []),
        note="By what each would gain alone. Of the run's time, the coloured part is what mending "
        "this saves, and the pale part what it may save.",
    )


def _card(found: Finding, wall: float) -> Markup:
    here, code = found.here, found.kind.code
    predicted = between(found.wall)
    return element(
        "li",
        element(
            "div",
            element("h3", found.kind.task),
            element("p", "gains ", element("b", between(found.gain)), class_="gain"),
            class_="head",
        ),
        element(
            "p",
            element("span", str(found.kind), class_="kind"),
            " in ",
            element("span", shortened(found.place, _PLACE), class_="place"),
        ),
        strip(
            [
                bar("track", 0, found.wall.low_s, wall, height=10),
                bar("doubt", found.wall.low_s, min(found.wall.high_s, wall), wall, height=10),
                *(
                    [bar("sure", found.wall.high_s, wall, wall, height=10)]
                    if found.wall.high_s < wall
                    else []
                ),
            ],
            10,
            f"{predicted} of {brief(wall)}",
        ),
        element("p", f"{brief(wall)} → {predicted}", class_="from-to"),
        element("p", found.evidence),
        element(
            "p",
            element("b", "Do: "),
            found.advice,
            f" Here: {here}" if here else "",
        ),
        *([element("p", f"Only if {found.only_if}.", class_="only-if")] if found.only_if else []),
        *(
            [element("details", element("summary", "In code"), element("pre", code), class_="code")]
            if code
            else []
        ),
    )


def gains(found: Diagnosis) -> Markup:
    """The fixes one on top of the other."""
    if not found.steps:
        return Markup("")
    head, rows = gains_table(found, 60)
    return section(
        "Expected performance gains",
        element(
            "div",
            element(
                "table",
                element("thead", element("tr", joined(element("th", each) for each in head))),
                element("tbody", joined(_row(row, head) for row in rows)),
            ),
            class_="scroll gains",
        ),
        note="Each line is the run played again with this fix and all above it.",
    )


def _row(cells: list[str], head: list[str]) -> Markup:
    first, *others = cells
    # A phone has no room for columns; there a label stands before the last.
    labels = [None, None, head[-1].lower()]
    return element(
        "tr",
        element("th", first, scope="row"),
        joined(
            element("td", each, data_label=label)
            for each, label in zip(others, labels, strict=False)
        ),
    )


def checklist(found: Diagnosis) -> Markup:
    """The verdict of the default gate."""
    lines = [
        element(
            "li",
            element("span", _MARKS[each.outcome], class_="mark", aria_label=str(each.outcome)),
            element("span", each.title, class_="check"),
            element("span", measured(each), class_="measured"),
            class_=each.outcome.replace(" ", "-"),
        )
        for each in found.verdict.checks
    ]
    return section("Verification checklist", element("ul", joined(lines), class_="checks"))
