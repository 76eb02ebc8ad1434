"""The parts of the page that say what to do: findings, the table of gains, the checklist."""

from trading_graph.otel.diagnosis import Ranked
from trading_graph.otel.report.charts import bar, strip
from trading_graph.otel.report.diagnosis_report import Report
from trading_graph.otel.report.diagnosis_text import shortened
from trading_graph.otel.report.durations import between, brief, faster, gain
from trading_graph.otel.report.markup import Markup, element, joined
from trading_graph.otel.report.remedies import REMEDIES
from trading_graph.otel.report.verdict_text import measured
from trading_graph.otel.verdict import Outcome

_SHOWN = 12
_PLACE = 110
_MARKS = {Outcome.PASS: "✓", Outcome.FAIL: "✗", Outcome.NOT_APPLICABLE: "-"}


def section(title: str, *inside: Markup, note: str = "", class_: str | None = None) -> Markup:
    """A part of the page with its heading."""
    lead = [element("p", note, class_="lead")] if note else []
    return element("section", element("h2", title), *lead, *inside, class_=class_)


def findings(report: Report) -> Markup:
    """What was found, the greatest gain first."""
    ranked = report.diagnosis.findings
    if not ranked:
        said = "Nothing was found that would make this run faster."
        return section("What to do", element("p", said))
    cards = [_card(report, each) for each in ranked[:_SHOWN]]
    more = len(ranked) - _SHOWN
    return section(
        "What to do",
        element("ol", joined(cards), class_="findings"),
        *([element("p", f"And {more} more that gain less.", class_="lead")] if more > 0 else []),
        note="By what each would gain alone. Of the run's time, the coloured part is what mending "
        "this saves, and the pale part what it may save.",
    )


def _card(report: Report, each: Ranked) -> Markup:
    found, wall = each.finding, report.diagnosis.wall_ns
    here = report.places.get(found.kind)
    code = REMEDIES[found.kind].code
    predicted = between(each.wall.low_ns, each.wall.high_ns)
    return element(
        "li",
        element(
            "div",
            element("h3", REMEDIES[found.kind].task),
            element("p", "gains ", element("b", gain(wall, each.wall)), class_="gain"),
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
                bar("track", 0, each.wall.low_ns, wall, height=10),
                bar("doubt", each.wall.low_ns, min(each.wall.high_ns, wall), wall, height=10),
                *(
                    [bar("sure", each.wall.high_ns, wall, wall, height=10)]
                    if each.wall.high_ns < wall
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
        *([element("p", f"Only if {found.if_only}.", class_="only-if")] if found.if_only else []),
        *(
            [element("details", element("summary", "In code"), element("pre", code), class_="code")]
            if code
            else []
        ),
    )


def gains(report: Report) -> Markup:
    """The fixes one on top of the other."""
    steps, projected = report.diagnosis.steps, report.target.call_s
    if not steps:
        return Markup("")
    wall = report.diagnosis.wall_ns
    head = ["Implementation", "Expected runtime", "Improvement"]
    rows = [["Current", brief(wall), "baseline"]]
    rows += [
        [
            f"+ {REMEDIES[step.finding.kind].task}: {shortened(step.finding.place, 60)}",
            between(step.wall.low_ns, step.wall.high_ns),
            faster(wall, step.wall.likely_ns),
        ]
        for step in steps
    ]
    if projected is not None:
        head.append(f"At {projected:g} s a call")
        for row, after in zip(rows, (report.target.now_ns, *report.target.after_ns), strict=True):
            row.append(brief(after))
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


def checklist(report: Report) -> Markup:
    """The verdict of the default gate."""
    lines = [
        element(
            "li",
            element("span", _MARKS[each.outcome], class_="mark", aria_label=str(each.outcome)),
            element("span", each.title, class_="check"),
            element("span", measured(each), class_="measured"),
            class_=each.outcome.replace(" ", "-"),
        )
        for each in report.verdict.results
    ]
    return section("Verification checklist", element("ul", joined(lines), class_="checks"))
