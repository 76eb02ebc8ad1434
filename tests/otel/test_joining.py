"""Traces of one test that links connect, as one trace."""

from collections.abc import Mapping

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import Link, SpanContext, TraceFlags

from trading_graph.otel.sources.in_memory import from_spans
from trading_graph.otel.trace import SpanTable
from trading_graph.otel.trace.joining import join, linked_groups
from trading_graph.otel.verdict import completeness
from trading_graph.otel.vocabularies import witness

S = 10**9
START_S = 1_000


def context(trace: int, span: int) -> SpanContext:
    return SpanContext(trace, span, is_remote=False, trace_flags=TraceFlags(1))


def span(
    trace: int,
    number: int,
    start_s: float,
    end_s: float,
    parent: int | None = None,
    links: tuple[tuple[int, int], ...] = (),
    attributes: Mapping[str, int] | None = None,
) -> ReadableSpan:
    return ReadableSpan(
        name=f"span {number}",
        context=context(trace, number),
        parent=None if parent is None else context(trace, parent),
        links=[Link(context(*each)) for each in links],
        attributes=attributes,
        start_time=int((START_S + start_s) * S),
        end_time=int((START_S + end_s) * S),
    )


def joined(*spans: ReadableSpan) -> SpanTable:
    (group,) = linked_groups(from_spans(spans))
    return join(group)


def parents(table: SpanTable) -> dict[str, str | None]:
    names = table.names
    return {
        name: names[above] if above >= 0 else None
        for name, above in zip(names, table.parents, strict=True)
    }


def test_unlinked_traces_stay_apart_in_order_of_start() -> None:
    tables = from_spans([span(1, 1, 3, 4), span(2, 2, 1, 2), span(3, 3, 2, 3, links=((9, 9),))])
    assert [[each.names[0] for each in group] for group in linked_groups(tables)] == [
        ["span 2"],
        ["span 3"],
        ["span 1"],
    ]


def test_a_root_hangs_below_what_it_links_to_and_did_not_hold_it_up() -> None:
    table = joined(span(1, 1, 0, 1), span(1, 2, 0, 1, parent=1), span(2, 3, 2, 3, links=((1, 2),)))
    assert parents(table) == {"span 1": None, "span 2": "span 1", "span 3": "span 2"}
    assert {table.names[row] for row in table.followers} == {"span 3"}
    assert completeness(table).complete


def test_links_connect_over_several_traces_whoever_has_them() -> None:
    table = joined(
        span(1, 1, 0, 9, links=((2, 2),)), span(2, 2, 1, 2), span(3, 3, 3, 4, links=((2, 2),))
    )
    assert parents(table) == {"span 1": None, "span 2": "span 1", "span 3": "span 2"}


def test_a_cause_that_started_later_is_none() -> None:
    table = joined(span(1, 1, 0, 1), span(2, 2, 1, 2, links=((1, 1), (3, 3))), span(3, 3, 0.5, 4))
    assert parents(table) == {"span 1": None, "span 2": "span 1", "span 3": "span 1"}
    again = joined(span(1, 1, 0, 1, links=((2, 2),)), span(2, 2, 0.5, 2, links=((1, 1),)))
    assert parents(again) == {"span 1": None, "span 2": "span 1"}


def test_links_and_missing_parents_are_kept() -> None:
    table = joined(span(1, 1, 0, 1), span(2, 2, 1, 2, parent=7, links=((1, 1),)))
    assert len(table.orphans) == 1
    assert [each.span_id for each in table.links(table.orphans[0])] == [table.span_ids[0]]
    assert not completeness(table).complete


def test_each_part_is_held_to_its_own_count() -> None:
    def whole(first: int, second: int) -> SpanTable:
        return joined(
            span(1, 1, 0, 5, attributes={witness.SPANS_STARTED: first}),
            span(1, 2, 1, 2, parent=1),
            span(2, 3, 3, 4, links=((1, 2),), attributes={witness.SPANS_STARTED: second}),
        )

    assert completeness(whole(2, 1)).complete
    assert completeness(whole(2, 2)).missing == ("'span 3' declares 2 spans, and 1 are here.",)
    assert completeness(whole(4, 1)).missing == ("'span 1' declares 4 spans, and 2 are here.",)


def test_spans_of_one_id_in_two_traces_are_told() -> None:
    table = joined(span(1, 1, 0, 1), span(2, 1, 2, 3, links=((1, 1),)))
    assert table.flaws
