"""A verdict on a page: each check with what it measured, its limit, its proof, and what to do."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from trading_graph.otel.report.gains import shortened
from trading_graph.otel.report.markup import Markup, element, joined
from trading_graph.otel.report.page_findings import section
from trading_graph.service.server.pages.layout import badge

_MARKS = {"pass": "✓", "fail": "✗"}
_KINDS = {"proven": "good", "simulated": "plain", "overlapping": "warn"}
_SHOWN = 8
_LONGEST = 80


def verdict_section(document: str) -> Markup:
    """The verdict, from its JSON."""
    found = json.loads(document)
    if not found["complete"]:
        missing = joined(element("li", each) for each in found["missing"])
        return section(
            "Verdict",
            element("p", badge("no verdict", "warn"), " The trace is not complete."),
            element("ul", missing, class_="plain"),
        )
    checks = found["checks"]
    measures = found["measures"]
    parts = [element("ol", joined(_check(each) for each in checks), class_="checks judged")]
    if measures and measures["fan_outs"]:
        parts.append(_fan_outs(measures["fan_outs"]))
    return section(
        "Verdict",
        element("p", badge(*outcome(found["passed"])), " ", f"{in_short(document)}."),
        *(
            element("p", _interrupted(each), class_="note")
            for each in found.get("interruptions", ())
        ),
        *parts,
        note=f"Read from {found['spans']} spans. Proven means: the work below the spans "
        "overlapped, less what it waited in queues, while the event loop and the CPU were free.",
        class_="verdict",
    )


def in_short(document: str) -> str:
    """How many checks failed, in words."""
    checks = [each["outcome"] for each in json.loads(document)["checks"]]
    failed, judged = checks.count("fail"), len(checks) - checks.count("not applicable")
    return f"{failed} of {judged} checks failed" if failed else f"all of {judged} checks"


def _interrupted(found: Mapping[str, Any]) -> str:
    return (
        f"Interrupted after {found['after_s']:.1f} s, and taken up {found['dead_s']:.1f} s later; "
        "that time is not counted."
    )


def outcome(passed: bool | None) -> tuple[str, str]:
    """A verdict in a word, and the kind of its badge."""
    if passed is None:
        return "no verdict", "plain"
    return ("passed", "good") if passed else ("failed", "bad")


def _check(result: Mapping[str, Any]) -> Markup:
    outcome, strength = result["outcome"], result["strength"]
    applies = outcome in _MARKS
    limit = f" (limit: {result['limit']})" if applies else ""
    lines = [
        element(
            "span",
            _MARKS.get(outcome, "-"),
            class_="mark",
            role="img",
            aria_label={"pass": "passed", "fail": "failed"}.get(outcome, "not applicable"),
        ),
        element("span", result["title"], class_="check"),
        *([badge(strength, _kind(strength))] if strength and applies else [element("span")]),
        element(
            "span",
            "" if applies else "not applicable: ",
            f"{result['measured']}{limit}",
            class_="measured",
        ),
    ]
    if outcome == "fail":
        names = [shortened(each["name"], _LONGEST) for each in result["spans"]]
        if names:
            more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            shown = ", ".join(names[:_SHOWN])
            lines.append(element("span", f"Spans: {shown}{more}", class_="measured"))
        if result["advice"]:
            lines.append(element("span", element("b", "Do: "), result["advice"], class_="advice"))
    return element("li", joined(lines), class_=outcome.replace(" ", "-"))


def _kind(strength: str) -> str:
    return next((kind for sign, kind in _KINDS.items() if strength.startswith(sign)), "bad")


def _fan_outs(found: Sequence[Mapping[str, Any]]) -> Markup:
    head = ("Fan-out", "Branches", "Spans overlap", "Work overlaps", "At once", "Last start")
    rows = [
        element(
            "tr",
            element(
                "th",
                shortened(each["name"], _LONGEST),
                " ",
                badge(each["strength"], _kind(each["strength"])),
                scope="row",
            ),
            element("td", str(each["branches"])),
            element("td", _share(each["spans_overlap"])),
            element("td", _share(each["work_overlap"])),
            element("td", f"{each['work']['average']:.1f}"),
            element("td", _seconds(each["last_start_s"])),
        )
        for each in found
    ]
    table = element(
        "table",
        element("thead", element("tr", joined(element("th", each, scope="col") for each in head))),
        element("tbody", joined(rows)),
    )
    return joined(
        [
            element("h3", "Fan-outs"),
            element(
                "div", table, class_="scroll", tabindex="0", role="region", aria_label="Fan-outs"
            ),
        ]
    )


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.0f} %"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f} s"
