"""Limits, late branches and rows: what is called which, in traces drawn by hand."""

import json
from collections.abc import Iterable

from tests.otel.diagnosis.phases import MS, Drawing, slots_of
from trading_graph.otel.diagnosis import FindingKind, RankedCandidate, Ranking, rank
from trading_graph.otel.trace import SpanTable
from trading_graph.otel.verdict.causes import Cause
from trading_graph.otel.verdict.parallelism import Strength, parallelism
from trading_graph.otel.vocabularies import Role

UNEQUAL = (100, 140, 90, 170, 150, 120)


def ranked(drawing: Drawing, end: int) -> Ranking:
    trace = drawing.trace(end)
    return rank(trace, trace.roots[0])


def kinds(ranking: Ranking) -> set[FindingKind]:
    return {each.candidate.kind for each in ranking.candidates}


def of_kind(ranking: Ranking, kind: FindingKind) -> RankedCandidate:
    (found,) = [each for each in ranking.candidates if each.candidate.kind is kind]
    return found


def rows(trace: SpanTable, ids: Iterable[str]) -> list[int]:
    return [trace.row_of[f"{each:0>16}"] for each in ids]


def test_a_limit_on_the_calls_of_open_branches_is_named_and_simulated() -> None:
    drawing = Drawing()
    for number, (start, time) in enumerate(zip(slots_of(UNEQUAL, 2), UNEQUAL, strict=True)):
        agent = drawing.add(f"agent {number}", Role.AGENT, 0, start + time + 10)
        drawing.add("chat", Role.LLM, start, start + time, agent)
    ranking = ranked(drawing, 440)
    limit = of_kind(ranking, FindingKind.LIMIT)
    assert "at most 2 calls in them ran at once" in limit.candidate.evidence
    assert limit.wall.likely_ns == (max(UNEQUAL) + 10) * MS


def test_calls_that_follow_those_of_their_own_branch_meet_no_limit() -> None:
    drawing = Drawing()
    for number in range(4):
        agent = drawing.add(f"agent {number}", Role.AGENT, 0, 410)
        for start, end in ((0, 100 + 7 * number), (100 + 7 * number, 250), (250, 400)):
            drawing.add("chat", Role.LLM, start, end, agent)
    trace = drawing.trace(410)
    agents = [row for row, role in enumerate(trace.roles) if role is Role.AGENT]
    assert parallelism(trace, agents).strength is Strength.OVERLAPPING


def test_a_limit_of_calls_is_told_from_one_inside_of_them() -> None:
    """Ends in equal steps say "one at a time", yet the calls below show that two were at work."""
    drawing = Drawing()
    for number, (start, end) in enumerate(((0, 20), (0, 38), (20, 56))):
        agent = drawing.add(f"agent {number}", Role.AGENT, 0, end)
        drawing.add("chat", Role.LLM, start, end, agent)
    assert FindingKind.LIMIT not in kinds(ranked(drawing, 56))


def chains(names: Iterable[Iterable[str]]) -> Ranking:
    drawing = Drawing()
    for branch, (first, second, third) in enumerate(names):
        at = 0
        for name, time in zip((first, second, third), (100 + 20 * branch, 90, 110), strict=True):
            drawing.add(name, Role.AGENT, at, at + time)
            at += time
    return ranked(drawing, 340)


def test_branches_that_come_again_are_no_limit() -> None:
    found = chains((name, f"{name} tools", name) for name in ("market", "news", "social"))
    assert kinds(found).isdisjoint((FindingKind.LIMIT, FindingKind.LATE_BRANCH))


def test_what_may_be_chains_is_said_of_a_limit_that_times_alone_suggest() -> None:
    found = chains((f"{name} 1", f"{name} 2", f"{name} 3") for name in ("a", "b", "c"))
    limit = of_kind(found, FindingKind.LIMIT)
    assert "none goes on where one that ended left off" in limit.candidate.only_if


def step(drawing: Drawing, node: str, start: int, end: int, namespace: str, number: int = 1) -> str:
    metadata = {
        "langgraph_node": node,
        "langgraph_step": number,
        "langgraph_checkpoint_ns": namespace,
    }
    said = {"metadata": json.dumps(metadata), "openinference.span.kind": "CHAIN"}
    return drawing.add(node, Role.OTHER, start, end, **said)


def test_in_a_step_one_handover_is_a_limit_and_without_steps_it_is_a_late_branch() -> None:
    times = (("a", 0, 200), ("b", 0, 170), ("c", 171, 340))
    drawing, bare = Drawing(), Drawing()
    for name, start, end in times:
        step(drawing, name, start, end, f"{name}:1")
        bare.add(name, Role.AGENT, start, end)
    assert of_kind(ranked(drawing, 340), FindingKind.LIMIT).candidate.causes == (
        Cause.MAX_CONCURRENCY,
    )
    assert of_kind(ranked(bare, 340), FindingKind.LATE_BRANCH).wall.likely_ns == 200 * MS


def test_parts_of_a_node_are_no_branches_where_no_namespace_is_recorded() -> None:
    drawing = Drawing()
    for number, name in enumerate(("a", "b", "c")):
        middle = 100 + 30 * number
        step(drawing, name, 0, middle, "")
        step(drawing, name, middle, 2 * middle, "")
    assert FindingKind.LIMIT not in kinds(ranked(drawing, 320))


def test_steps_of_equal_nodes_are_stages_and_no_limit() -> None:
    drawing = Drawing()
    ids = [
        step(
            drawing,
            f"{name}{number}",
            100 * number,
            100 * (number + 1),
            f"{name}{number}:1",
            number,
        )
        for number in range(2)
        for name in "abcd"
    ]
    trace = drawing.trace(200)
    assert parallelism(trace, rows(trace, ids)).strength is Strength.OVERLAPPING


def test_a_late_branch_of_a_declared_fan_out_is_no_row() -> None:
    drawing = Drawing()
    sender = drawing.add("dispatch", Role.OTHER, 0, 0, **{"trading.operation": "dispatch"})
    for name, start, end in (("a", 0, 28), ("b", 0, 20), ("late", 25, 52)):
        drawing.add(name, Role.AGENT, start, end, link=sender)
    late = of_kind(ranked(drawing, 52), FindingKind.LATE_BRANCH)
    assert late.wall.likely_ns == 28 * MS
    assert late.candidate.causes[0] is Cause.DISPATCH


def test_spans_that_did_not_open_together_are_not_said_to() -> None:
    drawing = Drawing()
    for name, start in (("a", 0), ("b", 0), ("c", 29)):
        drawing.add(name, Role.AGENT, start, 48)
    assert FindingKind.BLOCKED_LOOP not in kinds(ranked(drawing, 48))


def test_many_small_calls_are_told_from_the_call_that_lists_them() -> None:
    drawing = Drawing()
    drawing.add("list", Role.HTTP, 0, 100)
    for number in range(12):
        drawing.add("row", Role.HTTP, 100 + 40 * number, 140 + 40 * number)
    drawing.add("sum", Role.HTTP, 580, 640)
    drawing.add("send", Role.HTTP, 640, 700)
    found = ranked(drawing, 700)
    assert of_kind(found, FindingKind.MANY_SMALL_CALLS).wall.likely_ns == 260 * MS
    others = of_kind(found, FindingKind.SERIAL_CALLS)
    assert {found.trace.names[row] for row in others.candidate.rows} == {"sum", "send"}


def test_many_small_fetches_are_named() -> None:
    drawing = Drawing()
    for number in range(10):
        said = {"trading.operation": "fetch"}
        drawing.add("fetch", Role.OTHER, 30 * number, 30 * number + 30, **said)
    found = of_kind(ranked(drawing, 300), FindingKind.MANY_SMALL_CALLS)
    assert found.wall.likely_ns == 30 * MS


def test_a_dispatcher_without_length_hides_nothing_before_it() -> None:
    drawing = Drawing()
    drawing.add("chat", Role.LLM, 0, 40)
    drawing.add("a", Role.AGENT, 40, 60)
    for number in range(3):
        drawing.add(f"b{number}", Role.AGENT, 60 + 20 * number, 80 + 20 * number, link="5")
        if not number:
            sender = drawing.add(
                "dispatch", Role.OTHER, 60, 60, **{"trading.operation": "dispatch"}
            )
            assert sender == "5"
    found = ranked(drawing, 120)
    by_name = found.path.by_name
    assert (by_name["chat"], by_name["a"]) == (40 * MS, 20 * MS)
    assert of_kind(found, FindingKind.SERIAL_FAN_OUT).wall.likely_ns == 80 * MS
