"""The view of a trace holds every span, and marks on them what verdict and diagnosis say."""

import json

import pytest

from tests.otel.report.runs import BEGIN, slow_diagnosis, slow_run
from tests.otel.verdict.test_resumed import market_killed
from tests.schema_files import assert_fits
from trading_graph.graph.gate_loader import own_gate
from trading_graph.otel.diagnosis import Diagnosis, diagnose
from trading_graph.otel.report.documents.document import encode
from trading_graph.otel.report.documents.span_details import LONGEST, view_export
from trading_graph.otel.report.documents.trace_view import trace_view, what_if_document
from trading_graph.otel.trace import SpanTable, SpanValues, Trace, TraceBuilder
from trading_graph.otel.verdict import interruptions, judge
from trading_graph.otel.vocabularies import Role

MS = 1_000_000


def span(id: str, parent: str, start: int, end: int, **attributes: object) -> SpanValues:
    return SpanValues(id, parent, f"span {id}", 1, start, end, 0, lambda: attributes)


def table(*spans: SpanValues) -> SpanTable:
    builder = TraceBuilder("f" * 32)
    for each in spans:
        builder.add(each)
    return builder.build()


def test_it_holds_every_span_and_the_whole_critical_path() -> None:
    trace = slow_run(detached=True)
    found = slow_diagnosis(trace=trace)
    view = trace_view(Trace(trace), found.verdict, found)
    assert sorted(view.spans.id) == sorted(trace.span_ids)
    for at, span_id in enumerate(view.spans.id):
        row = trace.row_of[span_id]
        assert view.names[view.spans.name[at]] == trace.names[row]
        assert view.spans.start_ns[at] == trace.intervals[row][0] - BEGIN
        above = view.spans.parent[at]
        assert (view.spans.id[above] if above >= 0 else "") == trace.parent_id(row)
    assert sum(end - start for _, start, end in view.path) / 1e9 == pytest.approx(found.wall_s)
    ends = [end for _, _, end in view.path]
    assert [start for _, start, _ in view.path] == [0, *ends[:-1]], "an exact partition"


def test_checks_and_findings_name_their_spans() -> None:
    found = slow_diagnosis()
    view = trace_view(Trace(slow_run()), found.verdict, found)
    failed = {each.id: each.spans for each in found.verdict.failures}
    assert failed
    for check in view.checks:
        named = [view.spans.id[at] for at in check.spans]
        assert named == list(dict.fromkeys(span.id for span in failed.get(check.id, ())))
    assert [each.number for each in view.findings] == list(range(1, len(found.findings) + 1))
    assert [len(each.spans) for each in view.findings] == [len(e.spans) for e in found.findings]


def test_one_finding_fixed_is_what_the_diagnosis_predicts_and_more_are_played_together() -> None:
    found = slow_diagnosis()
    trace = Trace(slow_run())
    for number, finding in enumerate(found.findings, 1):
        played = what_if_document(trace, found, [number])
        assert played.wall_s.likely == pytest.approx(finding.wall.likely_s)
        assert (played.wall_s.low, played.wall_s.high) == pytest.approx(
            (finding.wall.low_s, finding.wall.high_s)
        )
        run = trace_view(trace, found.verdict, found).run or 0
        assert played.end_ns[run] / 1e9 == pytest.approx(played.wall_s.likely, rel=0.01)
    both = what_if_document(trace, found, [2, 1, 2])
    assert both.findings == [1, 2]
    assert both.wall_s.likely <= min(each.wall.likely_s for each in found.findings[:2])
    for wrong in ([], [0], [len(found.findings) + 1]):
        with pytest.raises(LookupError, match="numbered from 1"):
            what_if_document(trace, found, wrong)


def test_a_resumed_run_keeps_the_spans_that_its_verdict_leaves_out() -> None:
    trace = market_killed().trace(225)
    found = diagnose(trace, own_gate())
    assert isinstance(found, Diagnosis)
    view = trace_view(Trace(trace), found.verdict, found)
    assert sorted(view.spans.id) == sorted(trace.span_ids)
    (death,) = interruptions(trace, trace.roots[0])
    whole = (int(trace.end.max()) - int(trace.start.min()) - death.dead_ns) / 1e9
    assert view.duration_ns / 1e9 == pytest.approx(whole), "nobody lived in the rest"
    dead = [at for at, role in enumerate(view.spans.role) if view.roles[role] == Role.INTERRUPTION]
    assert [view.spans.end_ns[at] - view.spans.start_ns[at] for at in dead] == [0]


def test_a_trace_without_a_verdict_has_a_view() -> None:
    trace = table(
        span("a", "gone", 5 * MS, 9 * MS),
        span("b", "c", 6 * MS, 7 * MS),
        span("c", "b", 6 * MS, 8 * MS),
        span("d", "a", 0, 0),
        span("e", "a", 8 * MS, 7 * MS),
    )
    verdict = judge(trace, own_gate())
    view = trace_view(Trace(trace), verdict)
    assert view.missing == list(verdict.missing)
    at = {span_id: place for place, span_id in enumerate(view.spans.id)}
    assert {id: view.spans.parent[at[id]] for id in "abc"} == {"a": -2, "b": -2, "c": -2}
    assert view.spans.start_ns[at["d"]] == 0, "no time is known, so it is at the beginning"
    assert view.duration_ns == 4 * MS
    assert all(s <= e for s, e in zip(view.spans.start_ns, view.spans.end_ns, strict=True))
    assert view.path == []
    assert trace_view(Trace(table())).spans.id == []


def test_details_are_words_whatever_was_recorded() -> None:
    trace = table(
        span(
            "a", "", 0, 9, long="x" * (LONGEST + 1), number=1.5, yes=True, list=[1, "ä"], odd=b"b"
        ),
        span("b", "a", 1, 2, **{"\ud800": float("nan")}),
    )
    found = judge(trace, own_gate())
    document = json.loads(encode(view_export(Trace(trace), found)))
    assert_fits(document, "view")
    values = {each["key"]: each["value"] for each in document["details"][0]["attributes"]}
    assert values["long"].endswith(f"... ({LONGEST + 1:,} characters)")
    assert (values["number"], values["yes"], values["list"]) == ("1.5", "true", '[1, "ä"]')
    assert document["details"][1]["attributes"] == [{"key": "\ud800", "value": "NaN"}]


def test_a_diagnosed_trace_fits_its_schema() -> None:
    trace = slow_run()
    found = slow_diagnosis(trace=trace)
    document = json.loads(encode(view_export(Trace(trace), found)))
    assert_fits(document, "view")
    for at, details in enumerate(document["details"]):
        assert details["span_id"] == document["view"]["spans"]["id"][at]
        named = [f["number"] for f in document["view"]["findings"] if at in f["spans"]]
        assert details["findings"] == named
    path = sum(each["own_on_path_s"] for each in document["details"])
    assert path == pytest.approx(found.wall_s)
    played = json.loads(encode(what_if_document(Trace(trace), found, [1])))
    assert_fits(played, "what-if")
