"""A diagnosis as one HTML page: no script, nothing loaded, so it can be kept, mailed and printed.

Its content security policy allows its own style sheet, by hash, and nothing else: no script could
run even if a name in a trace became markup.
"""

from base64 import b64encode
from hashlib import sha256
from importlib.resources import files

from trading_graph.otel.report.diagnosis_report import Report
from trading_graph.otel.report.durations import brief, limit
from trading_graph.otel.report.markup import Markup, element, joined
from trading_graph.otel.report.page_findings import checklist, findings, gains
from trading_graph.otel.report.page_timeline import (
    before_and_after,
    concurrency,
    path_by_class,
    waterfall,
)
from trading_graph.otel.report.target import Standing, headline, outlook
from trading_graph.otel.report.timeline import Timeline

_STANDING = {
    Standing.INSIDE: "inside its target",
    Standing.IN_REACH: "over its target, which is in reach",
    Standing.OUT_OF_REACH: "over its target, which is out of reach",
}


def page(report: Report) -> str:
    """The whole document."""
    timeline = Timeline(report.diagnosis)
    body = joined(
        [
            _header(report),
            before_and_after(report, timeline),
            findings(report),
            gains(report),
            waterfall(timeline),
            concurrency(report, timeline),
            path_by_class(report),
            checklist(report),
            _footer(report),
        ]
    )
    return document(f"Diagnosis: {report.title}", body)


def document(title: str, body: Markup) -> str:
    """A page around a body, with the style sheet and the policy that allows nothing but it."""
    style = (files("trading_graph.otel.report") / "page.css").read_text("utf-8")
    digest = b64encode(sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        # Not escaped: it is ours, and in a style element entities are not read.
        element("style", Markup(style)),
    )
    whole = element("html", head, element("body", element("main", body)), lang="en")
    return f"<!doctype html>\n{whole}\n"


def _header(report: Report) -> Markup:
    found = report.target
    figures = [
        _figure("now", brief(found.now_ns), _gap(report)),
        _figure("target", limit(found.limit_ns), "at most"),
    ]
    if report.diagnosis.steps:
        number = len(report.diagnosis.steps)
        fixes = "with the one fix made" if number == 1 else f"with all {number} fixes made"
        times = f"{found.now_ns / max(found.least_ns, 1):.1f}x faster"
        figures.append(_figure("predicted", brief(found.least_ns), f"{fixes}, {times}"))
    return element(
        "header",
        element("p", "Trace performance diagnosis", class_="kicker"),
        element("h1", report.title),
        element(
            "p",
            element("span", _STANDING[found.standing], class_=f"badge {_slug(found.standing)}"),
            " ",
            headline(found),
            class_="headline",
        ),
        element("dl", joined(figures), class_="figures"),
        element("p", " ".join(outlook(found)), class_="outlook"),
    )


def _figure(name: str, value: str, note: str) -> Markup:
    return element(
        "div",
        element("dt", name),
        element("dd", value, class_="value"),
        element("dd", note, class_="note"),
        class_=f"figure {name}",
    )


def _gap(report: Report) -> str:
    found = report.target
    if found.standing is Standing.INSIDE:
        return f"{brief(found.limit_ns - found.now_ns)} to spare"
    return f"{found.now_ns / found.limit_ns:.1f}x the target"


def _slug(standing: Standing) -> str:
    return standing.replace(" ", "-")


def _footer(report: Report) -> Markup:
    return element(
        "footer",
        element(
            "p",
            "Trace ",
            element("code", report.trace.trace_id),
            f", {report.verdict.spans} spans.",
        ),
        element(
            "p",
            "Every prediction is the run played again from this trace with the change made; gains "
            "are never added. An interval keeps every observed order at its slow end and only "
            "declared order at its fast end, with 2 % of noise at both. No new contention is "
            "assumed.",
        ),
    )
