"""A diagnosis as one HTML page: no script, nothing loaded, so it can be kept, mailed and printed.

Its content security policy allows its own style sheet, by hash, and nothing else: no script could
run even if a name in a trace became markup.
"""

from base64 import b64encode
from hashlib import sha256
from importlib.resources import files

from trading_graph.otel.diagnosis import Diagnosis, Standing, ranking_of
from trading_graph.otel.report.durations import brief
from trading_graph.otel.report.markup import Markup, element, joined
from trading_graph.otel.report.outlook import headline, outlook
from trading_graph.otel.report.page_findings import checklist, findings, gains
from trading_graph.otel.report.page_timeline import (
    before_and_after,
    concurrency,
    path_by_class,
    waterfall,
)
from trading_graph.otel.report.timeline import Timeline

_STANDING = {
    Standing.INSIDE: "inside its target",
    Standing.IN_REACH: "over its target, which is in reach",
    Standing.OUT_OF_REACH: "over its target, which is out of reach",
}


def page(found: Diagnosis) -> str:
    """The whole document."""
    timeline = Timeline(ranking_of(found))
    body = joined(
        [
            _header(found),
            before_and_after(found, timeline),
            findings(found),
            gains(found),
            waterfall(timeline),
            concurrency(found, timeline),
            path_by_class(found),
            checklist(found),
            _footer(found),
        ]
    )
    return document(f"Diagnosis: {found.title}", body)


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


def _header(found: Diagnosis) -> Markup:
    target = found.target
    figures = [
        _figure("now", brief(target.now_s), _gap(found)),
        _figure("target", f"{target.limit_s:g} s", "at most"),
    ]
    if found.steps:
        number = len(found.steps)
        fixes = "with the one fix made" if number == 1 else f"with all {number} fixes made"
        times = f"{target.now_s / max(target.least_s, 1e-9):.1f}x faster"
        figures.append(_figure("predicted", brief(target.least_s), f"{fixes}, {times}"))
    return element(
        "header",
        element("p", "Trace performance diagnosis", class_="kicker"),
        element("h1", found.title),
        element(
            "p",
            element("span", _STANDING[target.standing], class_=f"badge {_slug(target.standing)}"),
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


def _gap(found: Diagnosis) -> str:
    target = found.target
    if target.standing is Standing.INSIDE:
        return f"{brief(target.limit_s - target.now_s)} to spare"
    return f"{target.now_s / target.limit_s:.1f}x the target"


def _slug(standing: Standing) -> str:
    return standing.replace(" ", "-")


def _footer(found: Diagnosis) -> Markup:
    return element(
        "footer",
        element(
            "p",
            "Trace ",
            element("code", found.trace.id),
            f", {found.verdict.span_count} spans.",
        ),
        element(
            "p",
            "Every prediction is the run played again from this trace with the change made; gains "
            "are never added. An interval keeps every observed order at its slow end and only "
            "declared order at its fast end, with 2 % of noise at both. No new contention is "
            "assumed.",
        ),
    )
