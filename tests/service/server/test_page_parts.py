"""What reports, verdicts and forms become on the pages, and that nothing becomes markup."""

import json
import re
from dataclasses import fields, replace
from typing import Any

import pytest

from tests.service.server.markup import EVIL, Tags, assert_inert
from trading_graph.graph.holdings import Cash, Holding
from trading_graph.service.run.request import ANALYSTS, RunRequest
from trading_graph.service.server.pages import home
from trading_graph.service.server.pages.durations_chart import JudgedRun, history
from trading_graph.service.server.pages.forms import Input
from trading_graph.service.server.pages.layout import ENVIRONMENT, STYLE, render
from trading_graph.service.server.pages.login import local
from trading_graph.service.server.pages.run_page import as_html, pieces
from trading_graph.service.server.pages.verdict_page import (
    RunDuration,
    run_duration,
    verdict_view,
)
from trading_graph.service.server.pages.work_list import run_row, trace_row
from trading_graph.service.store import RunState, StoredRun, StoredVerdict

NVDA = RunRequest(symbol="NVDA")


def link(text: str, address: str) -> str:
    part = ENVIRONMENT.from_string('{% from "parts.html" import link %}{{ link(text, address) }}')
    return part.render(text=text, address=address)


def verdict_section(document: str) -> str:
    return render("verdict.html", verdict=verdict_view(document))


def history_section(runs: list[RunDuration], passed: bool | None = True) -> str:
    judged = [JudgedRun(f"/runs/{at}", run, passed) for at, run in enumerate(runs)]
    return render("history.html", history=history(judged))


def form_section(typed: Input) -> str:
    return render("start_form.html", form=home.start_form(typed, "2025-11-14"))


REPORT = f"""# NVDA as of 2025-11-14: BUY

## Analysts

### Market analyst

## Heading of a model {EVIL}

- [+] A finding
- [title of news](javascript:alert(1)) ![x](http://example.org/x.png) <http://example.org>

[ref]: http://example.org

## Debate

### Bull researcher, round 1

For.

## Research plan

BUY.

## Risk team

### Neutral risk analyst, round 1

Fine.
Run 0123456789abcdef0123456789abcdef, 5.9 s.
"""


def test_a_report_is_taken_apart_by_who_wrote_it() -> None:
    found = pieces(REPORT)
    assert [each.title for each in found] == [
        "Market analyst",
        "Bull researcher, round 1",
        "Neutral risk analyst, round 1",
    ]
    assert [each.text for each in found[1:]] == ["For.", "Fine."]
    assert [each.title for each in pieces("something else")] == ["Report"]
    assert pieces("  ") == []


def test_what_a_model_wrote_is_formatted_and_inert() -> None:
    html = as_html(pieces(REPORT)[0].text)
    assert_inert(html)
    assert {tag for tag, _ in Tags(html).found} == {"h4", "ul", "li", "p"}
    assert "javascript:alert(1)" in html, "a link is shown as it was typed"
    assert "[ref]: http://example.org" in html


VERDICT = {"schema_version": 1, "trace_id": "0" * 32, "spans": 9, "measures": None}


def document(**more: Any) -> str:
    check = {
        "id": "tools",
        "title": "Tool calls run concurrently",
        "outcome": "fail",
        "measured": "0 of 3",
        "limit": "every group",
        "strength": "serial: they were dispatched one after the other",
        "advice": "Start them at once",
        "spans": [{"span_id": "1", "name": "execute_tool get_prices"}],
    }
    found = {"complete": True, "missing": [], "passed": False, "checks": [check | more]}
    return json.dumps({**VERDICT, **found})


def test_a_failed_check_says_why_where_and_what_to_do() -> None:
    page = re.sub(r"<[^>]+>", "", verdict_section(document()))
    for said in (
        "0 of 3 (limit: every group); they were dispatched one after the other",
        "Spans: execute_tool get_prices",
        "Do: Start them at once",
        "1 of 1 checks failed",
    ):
        assert said in page


def badges(page: str) -> list[tuple[str, str]]:
    """The badges of a page: their kind and their word."""
    return re.findall(r'<span class="badge (\w+)">([^<]+)</span>', page)


@pytest.mark.parametrize(
    ("strength", "badge", "reason"),
    [
        ("proven", ("good", "proven"), ""),
        ("overlapping, not proven: no lag is recorded", ("warn", "overlapping, not proven"), "no"),
        ("serial: an LLM turn stands between", ("bad", "serial"), "an LLM turn stands between"),
        ("root and no orphan; no span count was declared", None, "root and no orphan"),
    ],
)
def test_a_badge_is_a_word_and_its_reason_stands_with_the_figures(
    strength: str, badge: tuple[str, str] | None, reason: str
) -> None:
    page = verdict_section(document(outcome="pass", strength=strength))
    assert badges(page)[1:] == ([] if badge is None else [badge])
    (figures,) = re.findall(r'<span class="measured">([^<]*)</span>', page)
    assert reason in figures


def test_the_notes_of_a_verdict_are_in_sight_each_once() -> None:
    notes = ["5 spans (stock) ran one after the other.", EVIL]
    said = json.loads(document(outcome="pass", notes=notes))
    page = verdict_section(json.dumps({**said, "passed": True, "notes": [notes[0]]}))
    assert page.count(notes[0]) == 1
    assert page.index(notes[0]) < page.index("<details"), "they are not folded away"
    assert_inert(page)


def test_an_incomplete_trace_has_no_verdict() -> None:
    found = {"complete": False, "missing": [f"No root: {EVIL}"], "passed": None, "checks": []}
    page = verdict_section(json.dumps({**VERDICT, **found}))
    assert "no verdict" in page
    assert_inert(page)


@pytest.mark.parametrize("key", ["title", "measured", "limit", "strength", "advice"])
def test_what_a_verdict_says_never_becomes_markup(key: str) -> None:
    assert_inert(verdict_section(document(**{key: EVIL})))
    assert_inert(verdict_section(document(spans=[{"span_id": EVIL, "name": EVIL}])))


def test_checks_that_do_not_apply_are_not_counted() -> None:
    assert verdict_view(document(outcome="not applicable")).summary == "all of 0 checks"


def test_simulated_runs_show_what_they_would_take() -> None:
    said = document(projection={"call_s": 15.0, "run_s": 105.0})
    found = run_duration("NVDA", 5.9, verdict_view(said))
    assert (found.projected_s, found.call_s) == (105.0, 15.0)
    page = history_section([found])
    assert "at 15 s a call it takes 105 s" in page
    assert "120 s" in page
    assert run_duration("NVDA", 5.9, None) == RunDuration("NVDA", 5.9)


def test_a_bar_has_the_colour_of_the_verdict_and_leads_to_the_run() -> None:
    simulated = RunDuration("NVDA", 5.0, 130.0, 15.0)
    for passed, kind, word in (
        (True, "good", "passed"),
        (False, "bad", "failed"),
        (None, "plain", "no verdict"),
    ):
        page = history_section([simulated], passed)
        shapes = [a for tag, a in Tags(page).found if tag in ("a", "rect")]
        assert shapes[0]["href"] == "/runs/0"
        assert f"; {word}" in str(shapes[0]["aria-label"])
        bars = [
            a for a in shapes if a.get("class") in (f"measured {kind}-bar", f"projected {kind}-bar")
        ]
        projected, measured = sorted(bars[:2], key=lambda a: float(str(a["y"])))
        assert projected["class"] == f"projected {kind}-bar"
        assert float(str(measured["height"])) >= 2, "the measured part can be seen"
        assert f"{word}</li>" in page


def test_what_is_compared_with_the_limit_is_counted_over_it() -> None:
    page = history_section([RunDuration("a", 5.0, 130.0, 15.0), RunDuration("b", 119.0)])
    assert "1 over 120 s" in page
    assert_inert(history_section([RunDuration(EVIL, 1.0)]))
    assert history_section([]).strip() == ""


def stored(passed: bool | None, said: str) -> StoredVerdict:
    return StoredVerdict("1" * 32, "1" * 32, "shop", "GET /", 1.0, 2.5, passed, 3.0, said)


def test_a_row_names_the_check_that_failed_and_counts_the_others() -> None:
    check = json.loads(document())["checks"][0]
    two = json.dumps(json.loads(document()) | {"checks": [check, check | {"title": "Other"}]})
    assert trace_row(stored(False, document())).reason == "Tool calls run concurrently"
    assert trace_row(stored(False, two)).reason == "Tool calls run concurrently, and 1 more"
    passed = trace_row(stored(True, document(outcome="pass")))
    assert (passed.verdict, passed.reason) == ("passed", "")


def test_nothing_is_passed_where_nothing_was_judged() -> None:
    empty = {"complete": True, "missing": [], "passed": None, "checks": []}
    said = VERDICT | empty | {"nothing_to_judge": "There is nothing to judge."}
    row = trace_row(stored(None, json.dumps(said)))
    assert (row.verdict, row.verdict_kind) == ("no verdict", "plain")
    assert row.reason == "There is nothing to judge."
    said = VERDICT | empty | {"complete": False, "missing": ["No root.", "Two orphans."]}
    row = trace_row(stored(None, json.dumps(said)))
    assert (row.verdict, row.reason) == ("incomplete", "No root.")


def test_the_state_of_a_run_is_told_apart_from_its_verdict() -> None:
    run = StoredRun(
        "1" * 32,
        NVDA,
        "NVDA",
        "2025-11-14",
        RunState.CANCELLED,
        "1" * 32,
        None,
        None,
        1.0,
        2.0,
        5.5,
    )
    row = run_row(replace(run, passed=False), stored(False, document()))
    assert (row.state, row.verdict, row.seconds) == ("cancelled", "failed", 3.5)
    assert row.reason == "Tool calls run concurrently"
    row = run_row(replace(run, started=None), None)
    assert (row.state, row.verdict, row.seconds) == ("cancelled", "no verdict", None)
    assert "before it began" in row.reason
    row = run_row(replace(run, state=RunState.FAILED, error="The model is away."), None)
    assert (row.state, row.reason) == ("failed", "The model is away.")


PROFILE = {"spans": 1, "average": 1.0, "peak": 1, "serial_fraction": 1.0, "busy_s": 1.0}


def failings(errors: int, cancellations: int, retries: int = 0) -> dict[str, Any]:
    """The measures of a run in which so many spans failed."""
    return {
        **{"wall_s": 1.0, "work": PROFILE, "fan_outs": [], "llm_calls": 1, "llm_chain": 1},
        **{"barrier_idle_s": 0.0, "loop_lag_ms": None, "queue_wait_s": 0.0, "cache": {}},
        **{"errors": errors, "cancellations": cancellations, "retries": retries},
    }


@pytest.mark.parametrize(
    ("check", "measures", "word"),
    [
        ("errors", failings(9, 9), "cut short"),
        ("errors", failings(9, 8), "failed"),
        ("errors", failings(9, 9, retries=1), "failed"),
        ("errors", failings(0, 0), "failed"),
        ("tools", failings(9, 9), "failed"),
        ("errors", None, "failed"),
    ],
)
def test_a_cancelled_run_failed_only_where_something_failed_by_itself(
    check: str, measures: dict[str, Any] | None, word: str
) -> None:
    said = json.dumps({**json.loads(document(id=check)), "measures": measures})
    run = StoredRun(
        id="1" * 32,
        request=NVDA,
        symbol="NVDA",
        date="2025-11-14",
        state=RunState.CANCELLED,
        trace_id="1" * 32,
        traceparent=None,
        idempotency_key=None,
        created=1.0,
        passed=False,
    )
    row = run_row(run, stored(False, said))
    assert row.verdict == word
    assert (row.verdict_kind == "bad") == (word == "failed")
    assert verdict_view(said, cancelled=True).outcome == (row.verdict, row.verdict_kind)
    assert run_row(replace(run, state=RunState.DONE), stored(False, said)).verdict == "failed"
    assert verdict_view(said).outcome[0] == "failed"
    page = render("verdict.html", verdict=verdict_view(said, cancelled=True))
    assert (badges(page)[0][1], "was cancelled" in page) == (word, word == "cut short")


def test_decisions_and_verdicts_do_not_share_colours() -> None:
    for scheme in re.findall(r"\{ (--on:[^}]*)\}", STYLE.content):
        colours = dict(re.findall(r"--(\w+): ([^;]+);", scheme))
        dark = colours["on"] != "#fff"
        base = re.findall(r"--good: (#\w+); --warn: \S+ --bad: (#\w+)", STYLE.content)[dark]
        assert not {colours["buy"], colours["sell"], colours["hold"]} & set(base)
        assert colours["buy"] != colours["sell"]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("/runs/1?a=b", "/runs/1?a=b"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("/\t/evil.example", "/"),
        ("/\n/evil.example", "/"),
        ("", "/"),
        ("javascript:alert(1)", "/"),
    ],
)
def test_a_login_leads_to_a_page_of_ours_only(given: str, kept: str) -> None:
    assert local(given) == kept


def test_only_paths_and_web_addresses_become_links() -> None:
    assert "href" not in link("x", "javascript:alert(1)")
    assert "href" not in link("x", "//evil.example")
    assert 'rel="noreferrer"' in link("x", "https://smith.example/run")
    assert link("x", "/runs") == '<a href="/runs">x</a>'


def test_an_empty_budget_is_none_and_a_typed_one_holds() -> None:
    form = {"symbol": ["NVDA"], "max_calls": [""], "max_tokens": ["9000"], "max_seconds": ["1.5"]}
    asked = home.read_request(form)
    assert isinstance(asked, RunRequest)
    assert (asked.max_calls, asked.max_tokens, asked.max_seconds) == (None, 9000, 1.5)
    wrong = home.read_request({"symbol": ["NVDA"], "max_calls": ["0"]})
    assert isinstance(wrong, Input)
    assert set(wrong.errors) == {"max_calls"}


def test_holdings_are_written_in_short_in_a_form() -> None:
    form = {"symbol": ["NVDA"], "holdings": ["NVDA=10@150.2 AAPL=1@200USD"], "cash": ["5000 USD"]}
    asked = home.read_request(form)
    holdings = (Holding("NVDA", 10, 150.2), Holding("AAPL", 1, 200, "USD"))
    assert asked == RunRequest(symbol="NVDA", holdings=holdings, cash=Cash(5000, "USD"))
    wrong = home.read_request({**form, "holdings": ["NVDA"], "cash": ["much"]})
    assert isinstance(wrong, Input)
    assert set(wrong.errors) == {"holdings", "cash"}
    page = form_section(wrong)
    assert 'id="holdings-error"' in page
    assert 'value="much"' in page
    assert_inert(form_section(Input({"symbol": ["NVDA"], "holdings": [EVIL], "cash": [EVIL]})))


def test_a_form_becomes_a_request_or_says_what_is_wrong() -> None:
    asked = home.read_request({"symbol": ["NVDA"], "date": [""], "prefetch": ["1"]})
    assert asked == RunRequest(symbol="NVDA", prefetch=True)
    wrong = home.read_request({"symbol": [""], "debate_rounds": ["9"], "chosen": ["1"]})
    assert isinstance(wrong, Input)
    assert set(wrong.errors) == {"symbol", "debate_rounds", "analysts"}
    page = form_section(wrong)
    assert 'id="debate_rounds-error"' in page
    assert 'aria-invalid="true"' in page
    assert "<details open>" in page
    assert_inert(form_section(Input({"symbol": [EVIL]})))


def test_the_form_has_every_field_of_a_request_with_its_bounds() -> None:
    controls: dict[str, list[dict[str, str | None]]] = {}
    page = form_section(Input({"symbol": ["NVDA"], "max_calls": ["7"]}))
    for tag, attributes in Tags(page).found:
        if tag in ("input", "select"):
            controls.setdefault(str(attributes["name"]), []).append(attributes)
    assert controls.keys() == {each.name for each in fields(RunRequest)} | {"chosen", "key"}
    assert [each["value"] for each in controls["analysts"]] == list(ANALYSTS)
    (turns,), (budget,) = controls["analyst_turns"], controls["agent_budget"]
    assert (turns["min"], turns["max"], turns["value"], "step" in turns) == ("2", "8", "2", False)
    assert (budget["min"], budget["max"], budget["step"]) == ("1", "3600", "any")
    assert controls["max_calls"][0]["value"] == "7"
    assert controls["symbol"][0]["maxlength"] == "64"
    options = [each["value"] for tag, each in Tags(page).found if tag == "option"]
    assert options == ["parallel", "serial", "parallel", "sequential", "parallel", "sequential"]
    assert "<details open>" in page, "an option was changed"
    assert "<details open>" not in form_section(Input({"symbol": ["NVDA"]}))
