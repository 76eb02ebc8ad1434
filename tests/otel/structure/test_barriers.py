"""Barriers between the stages of a graph, and what a run would save without them."""

import pytest

from tests.otel.structure.graphs import Drawn, changed, drawn, recorded, renamed
from trading_graph.otel.trace import SpanTable
from trading_graph.otel.trace.structure import (
    Lockstep,
    Pairings,
    locksteps,
    pairings,
    waits_at_barriers,
)

MEASURED = {
    "loops": (3.981, 3.166),
    "loops_of_three_rounds": (6.862, 5.767),
    "chains": (3.738, 3.027),
    "chains_of_unequal_length": (3.947, 3.889),
    "chains_to_the_end": (2.046, 1.969),
    "chains_in_a_subgraph": (2.148, 2.116),
    "analyst_tools_analyst": (50.56, 42.06),
}
"""The duration of a program with its barriers, and with one node for each branch; seconds."""

WITHOUT = (
    "debate_in_rounds",
    "debate_with_a_judge",
    "fan_out_and_manager",
    "limit",
    "second_visit",
    "sends_and_joins",
    "sequence",
    "shared_tools_node",
    "subgraphs",
)

JITTER_S = 0.001
"""How late a callback may be recorded."""

CALL = "call_0123456789"


def the_lockstep(trace: SpanTable) -> Lockstep:
    (lockstep,) = locksteps(trace)
    return lockstep


def played(trace: SpanTable) -> Pairings:
    found = pairings(trace, the_lockstep(trace))
    assert found is not None
    return found


def branches(found: Pairings) -> set[tuple[str, ...]]:
    return {tuple(visit.node for visit in branch) for branch in found.median.branches}


@pytest.mark.parametrize("name", MEASURED)
def test_a_barrier_is_found_and_the_measured_gain_lies_between_least_and_greatest(
    name: str,
) -> None:
    trace = recorded(name)
    before_s, after_s = MEASURED[name]
    found = played(trace)
    assert the_lockstep(trace).is_declared
    assert found.is_complete
    saved_s = before_s - after_s
    assert found.least.saving_ns / 1e9 - JITTER_S <= saved_s
    assert saved_s <= found.greatest.saving_ns / 1e9 + JITTER_S


@pytest.mark.parametrize("name", WITHOUT)
def test_no_barrier_is_named_where_there_is_none(name: str) -> None:
    assert not locksteps(recorded(name))


LOOP: tuple[Drawn, ...] = (
    ("a", 1, 0, 4),
    ("b", 1, 0, 1),
    ("x", 2, 4, 5),
    ("y", 2, 4, 9),
    ("a", 3, 9, 10),
    ("b", 3, 9, 12),
)


def test_a_branch_loses_what_is_left_of_the_stage_after_its_own_end() -> None:
    lockstep = the_lockstep(drawn(LOOP))
    assert lockstep.loss_ns == {"a": 0, "b": 3 * 10**9, "x": 4 * 10**9, "y": 0}
    waits = waits_at_barriers(drawn(LOOP), range(7))
    assert (waits.idle_ns, waits.longest_ns) == (7 * 10**9, 4 * 10**9)


def test_every_pairing_is_played_where_nothing_tells_which_is_true() -> None:
    found = played(drawn(LOOP))
    assert found.count == 2
    # a-x-a and b-y-b take 6 and 9 of 12 s; a-y-a and b-x-b 10 and 5.
    assert (found.least.saving_ns, found.greatest.saving_ns) == (2 * 10**9, 3 * 10**9)


def test_call_ids_pair_nodes() -> None:
    trace = drawn(
        LOOP,
        below={
            "a": [
                (
                    "chat",
                    {
                        "openinference.span.kind": "LLM",
                        "llm.output_messages.0.message.tool_calls.0.tool_call.id": CALL,
                    },
                )
            ],
            "y": [("tool", {"openinference.span.kind": "TOOL", "tool_call.id": CALL})],
        },
    )
    found = played(trace)
    assert found.count == 1
    assert branches(found) == {("a", "y", "a"), ("b", "x", "b")}


def test_the_name_of_an_agent_pairs_nodes() -> None:
    one, other = {"gen_ai.agent.name": "one"}, {"gen_ai.agent.name": "other"}
    inside = {"a": [("turn", one)], "x": [("turn", other)], "y": [("turn", one)]}
    assert branches(played(drawn(LOOP, below=inside))) == {("a", "y", "a"), ("b", "x", "b")}


def test_one_agent_in_two_nodes_of_a_stage_is_no_evidence() -> None:
    same = {"gen_ai.agent.name": "one"}
    inside = {node: [("turn", same)] for node in "abxy"}
    assert played(drawn(LOOP, below=inside)).count == 2


def test_triggers_that_name_a_source_pair_nodes() -> None:
    triggers = {"x": ["branch:b:route:x"], "y": ["branch:to:y"]}
    assert branches(played(drawn(LOOP, triggers))) == {("a", "y", "a"), ("b", "x", "b")}


def test_a_node_belongs_to_a_branch_that_was_there_before_and_after() -> None:
    """Only b goes on after the first stage with c; only a and b have tools."""
    trace = drawn(
        [
            ("a", 1, 0, 4),
            ("b", 1, 0, 1),
            ("c", 1, 0, 2),
            ("x", 2, 4, 5),
            ("y", 2, 4, 9),
            ("a", 3, 9, 10),
            ("b", 3, 9, 12),
        ]
    )
    found = played(trace)
    assert found.count == 2
    assert all(path == ("c",) or path[0] in "ab" for path in branches(found))


CHAINS: tuple[Drawn, ...] = (("a", 1, 0, 4), ("b", 1, 0, 1), ("a2", 2, 4, 5), ("b2", 2, 4, 9))


def test_what_comes_before_a_declared_join_belongs_to_a_branch() -> None:
    nodes = (*CHAINS, ("a3", 3, 9, 14), ("join", 4, 14, 15))
    joined = played(drawn(nodes, {"join": ["join:a3+b2:join"]}))
    assert any("a3" in path for path in branches(joined))
    unknown = played(drawn(nodes))
    assert not any("a3" in path for path in branches(unknown)), "it may be what joins them"
    assert unknown.greatest.saving_ns >= joined.greatest.saving_ns, "and it may be not"


def test_what_is_declared_to_join_the_branches_waits_for_all() -> None:
    nodes = (*CHAINS, ("join", 3, 9, 14))
    joined = played(drawn(nodes, {"join": ["join:a2+b2:join"]}))
    assert joined.greatest.saving_ns == 3 * 10**9


def test_a_branch_may_have_more_nodes_in_one_stage_than_in_the_stage_before() -> None:
    found = played(drawn([*CHAINS, ("c2", 2, 4, 6)]))
    assert found.greatest.saving_ns == 3 * 10**9
    assert found.least.saving_ns == 0


def test_a_node_that_follows_itself_is_no_branch() -> None:
    """Debaters that speak once a round hear each other."""
    trace = drawn([("a", 1, 0, 4), ("b", 1, 0, 1), ("a", 2, 4, 5), ("b", 2, 4, 9)])
    assert not locksteps(trace)


def test_less_than_a_hundredth_of_the_run_is_not_worth_a_word() -> None:
    assert locksteps(drawn([*LOOP, ("end", 4, 12, 390)]))
    assert not locksteps(drawn([*LOOP, ("end", 4, 12, 410)]))


def test_steps_whose_times_overlap_are_not_of_one_run() -> None:
    trace = drawn([("a", 1, 0, 4), ("b", 1, 0, 1), ("x", 2, 2, 5), ("y", 2, 2, 9)])
    assert not locksteps(trace)


def test_without_steps_only_a_loop_shows_and_a_limit_fits_as_well() -> None:
    bare = changed(recorded("analyst_tools_analyst"), attributes=lambda _: {})
    assert not the_lockstep(bare).is_declared
    assert played(bare).greatest.saving_ns > 8.5e9
    waves = changed(recorded("chains"), attributes=lambda _: {})
    assert not locksteps(waves)
    assert not waits_at_barriers(bare, range(len(bare))).idle_ns, "it may be a limit"


def test_turns_of_tools_are_no_stages() -> None:
    """Without spans of the LLM, the turns of an agent that calls the same tools again."""
    tool = {"openinference.span.kind": "TOOL"}
    bare = [(node, None, start, end) for node, _, start, end in LOOP]
    assert locksteps(drawn(bare))
    turns = changed(drawn(bare), attributes=lambda _: tool)
    assert not locksteps(turns)


def test_what_runs_inside_one_node_does_not_wait_at_a_barrier() -> None:
    trace = drawn(LOOP, below={"y": [("one", {}), ("other", {})]})
    inside = [row for row, name in enumerate(trace.names) if name in ("one", "other")]
    assert not waits_at_barriers(trace, inside).waiting


@pytest.mark.parametrize("is_loop", [True, False])
def test_very_many_pairings_are_not_all_played(is_loop: bool) -> None:
    nodes: list[Drawn] = []
    at = 0
    for step in range(1, 6):
        lengths = [1 + (7 * step + 5 * n) % 9 for n in range(9)]
        label = step % 2 if is_loop else step
        nodes += [(f"{label} {n}", step, at, at + length) for n, length in enumerate(lengths)]
        at += max(lengths)
    found = played(drawn(nodes))
    assert not found.is_complete
    assert found.count < 2_500
    assert found.least.saving_ns <= found.median.saving_ns <= found.greatest.saving_ns


@pytest.mark.parametrize("name", ["loops", "chains_of_unequal_length", "analyst_tools_analyst"])
def test_names_do_not_matter_nor_do_units(name: str) -> None:
    trace = recorded(name)
    plain = played(trace)
    for other, scale in ((changed(trace, scale=1000), 1000), (renamed(trace), 1)):
        assert played(other).count == plain.count
        assert played(other).greatest.saving_ns == scale * plain.greatest.saving_ns
        assert played(other).least.saving_ns == scale * plain.least.saving_ns
