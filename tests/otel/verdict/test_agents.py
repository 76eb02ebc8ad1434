"""Time, calls and tokens by agent and node: each LLM call counts once, for the nearest."""

from typing import Any

from tests.otel.verdict.drawn import Drawn, drawn
from trading_graph.otel.trace import SpanTable
from trading_graph.otel.verdict.agents import AgentUse, Use, use


def agent(span_id: str, parent: str, start: int, end: int, name: str | None = None) -> Drawn:
    said = {"gen_ai.operation.name": "invoke_agent"}
    return span_id, parent, start, end, said | ({"gen_ai.agent.name": name} if name else {})


def chat(span_id: str, parent: str, start: int, end: int, *tokens: int) -> Drawn:
    said: dict[str, Any] = {"gen_ai.operation.name": "chat", "gen_ai.response.model": "m"}
    keys = ("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens")
    return span_id, parent, start, end, said | dict(zip(keys, tokens, strict=False))


def node(span_id: str, parent: str, start: int, end: int, name: str, namespace: str) -> Drawn:
    metadata = {"langgraph_node": name, "langgraph_step": 1}
    said = {f"langsmith.metadata.{key}": value for key, value in metadata.items()}
    said["langsmith.metadata.langgraph_checkpoint_ns"] = namespace
    return span_id, parent, start, end, {"langsmith.span.kind": "chain", **said}


def used(*spans: Drawn) -> Use:
    trace: SpanTable = drawn(("run", "", 0, 10_000, {}), *spans)
    return use(trace, trace.row_of["run"])


def by_name(found: Use) -> dict[str | None, AgentUse]:
    assert len({each.name for each in found.agents}) == len(found.agents)
    return {each.name: each for each in found.agents}


def test_the_largest_comes_first_with_its_calls_and_tokens() -> None:
    found = used(
        agent("a", "run", 0, 1000, "scout"),
        chat("a1", "a", 0, 900, 10, 1),
        agent("b", "run", 1000, 4000, "writer"),
        chat("b1", "b", 1000, 2000, 20, 2),
        chat("b2", "b", 1500, 3000, 30, 3),
    )
    writer, scout = found.agents
    assert (writer.name, writer.visits, writer.wall_s) == ("writer", 1, 3.0)
    assert (writer.llm.calls, writer.llm.time_s) == (2, 2.0), "calls that overlap count once"
    assert (writer.llm.input_tokens, writer.llm.output_tokens) == (50, 5)
    assert (scout.name, scout.llm.time_s) == ("scout", 0.9)
    total = found.llm
    assert (total.calls, total.input_tokens, total.output_tokens) == (3, 60, 6)


def test_a_call_counts_for_the_nearest_agent_alone() -> None:
    found = by_name(
        used(
            agent("s", "run", 0, 5000, "supervisor"),
            chat("s1", "s", 0, 1000),
            agent("w", "s", 1000, 4000, "worker"),
            chat("w1", "w", 1000, 4000),
        )
    )
    assert [each.llm.calls for each in found.values()] == [1, 1]
    supervisor = found["supervisor"]
    assert (supervisor.wall_s, supervisor.own_s) == (5.0, 2.0)
    assert next(iter(found)) == "worker", "by the time of its own, not of those below it"


def test_what_only_holds_agents_is_no_entry() -> None:
    found = used(
        agent("t", "run", 0, 5000, "team"),
        agent("w", "t", 1000, 4000, "worker"),
        chat("w1", "w", 1000, 4000),
    )
    assert [each.name for each in found.agents] == ["worker"]


def test_visits_of_one_name_are_one_agent_and_cover_time_once() -> None:
    (found,) = used(
        agent("a", "run", 0, 1000, "analyst"),
        agent("b", "run", 500, 2000, "analyst"),
        agent("c", "run", 3000, 4000, "analyst"),
    ).agents
    assert (found.visits, found.wall_s, found.llm.calls) == (3, 3.0, 0)


def test_one_visit_that_two_instrumentors_record_is_one() -> None:
    (found,) = used(
        agent("a", "run", 0, 1000, "analyst"),
        agent("b", "a", 10, 990, "analyst"),
        chat("c", "b", 100, 900),
    ).agents
    assert (found.visits, found.own_s, found.llm.calls) == (1, 1.0, 1)


def test_an_agent_and_the_node_of_its_name_around_or_in_it_are_one() -> None:
    around = node("a", "run", 0, 1000, "analyst", "analyst:1"), agent("b", "a", 0, 990, "analyst")
    inside = agent("a", "run", 0, 1000, "analyst"), node("b", "a", 0, 990, "analyst", "analyst:1")
    for spans in (around, inside):
        (found,) = used(*spans, chat("c", "b", 100, 900)).agents
        assert (found.name, found.visits, found.llm.calls) == ("analyst", 1, 1)


def test_nodes_of_one_name_in_two_agents_are_told_apart() -> None:
    found = by_name(
        used(
            agent("a", "run", 0, 2000, "scout"),
            node("a1", "a", 0, 2000, "model", "scout:1|model:1"),
            chat("a2", "a1", 0, 1000),
            agent("b", "run", 2000, 3000, "writer"),
            node("b1", "b", 2000, 3000, "model", "writer:1|model:1"),
            chat("b2", "b1", 2000, 3000),
        )
    )
    assert set(found) == {"scout > model", "writer > model"}
    alone = used(
        agent("a", "run", 0, 2000, "scout"), node("a1", "a", 0, 2000, "model", "scout:1|model:1")
    )
    assert [each.name for each in alone.agents] == ["model"]


def test_parts_of_a_node_inherit_its_metadata_and_are_no_visits() -> None:
    (found,) = used(
        node("a", "run", 0, 2000, "analyst", "analyst:1"),
        node("b", "a", 10, 900, "analyst", "analyst:1"),
        node("c", "a", 900, 1900, "analyst", "analyst:1"),
    ).agents
    assert (found.name, found.visits) == ("analyst", 1)


def test_an_agent_without_a_name_has_that_of_its_span() -> None:
    found = used(agent("one", "run", 0, 1000), agent("two", "run", 1000, 3000))
    assert [each.name for each in found.agents] == ["two", "one"]


def test_calls_outside_of_agents_stand_without_a_name() -> None:
    found = by_name(
        used(
            agent("a", "run", 0, 3000, "scout"),
            chat("x", "run", 4000, 5000, 7, 1),
            chat("y", "run", 4500, 6000),
        )
    )
    outside = found[None]
    assert (outside.visits, outside.wall_s, outside.llm.calls) == (2, 2.0, 2)
    assert outside.llm.input_tokens == 7


def test_a_call_that_two_spans_record_counts_once_with_the_tokens_of_either() -> None:
    for outer, inner in (((50, 5), ()), ((), (50, 5)), ((50, 5), (50, 5))):
        found = used(chat("a", "run", 0, 1000, *outer), chat("b", "a", 10, 990, *inner))
        assert (found.llm.calls, found.llm.input_tokens, found.llm.output_tokens) == (1, 50, 5)


def test_a_wrapper_around_two_calls_gives_its_tokens_once() -> None:
    found = used(
        chat("a", "run", 0, 1000, 50, 5), chat("b", "a", 0, 500), chat("c", "a", 500, 1000)
    )
    assert (found.llm.calls, found.llm.input_tokens) == (2, 50)


def test_unrecorded_tokens_are_not_zero() -> None:
    llm = used(chat("a", "run", 0, 1000)).llm
    assert (llm.input_tokens, llm.output_tokens) == (None, None)


def test_a_run_without_agents_and_calls_has_nothing() -> None:
    found = used(("x", "run", 0, 1000, {}))
    assert (found.llm.calls, found.llm.time_s, found.agents) == (0, 0.0, ())
