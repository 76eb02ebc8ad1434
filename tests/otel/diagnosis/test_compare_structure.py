"""What ran at once and stands in a row now, whatever it is, and what models took."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from tests.otel.diagnosis.compared import compared
from tests.otel.verdict.drawn import Drawn, drawn
from trading_graph.otel.diagnosis import Comparison, ImprovementKind, RegressionKind
from trading_graph.otel.diagnosis.call_path import CallPaths
from trading_graph.otel.diagnosis.call_tree import call_tree
from trading_graph.otel.trace import SpanTable

TOOL_MS, CHAT_MS = 400, 300

KINDS: dict[str, dict[str, Any]] = {
    "agent": {"gen_ai.operation.name": "invoke_agent"},
    "chat": {"gen_ai.operation.name": "chat"},
    "GET": {"http.request.method": "GET"},
    "query": {"db.system.name": "postgresql"},
    "call": {"rpc.system": "grpc"},
}


def siblings(kind: str, *, at_once: bool, count: int = 3) -> SpanTable:
    """So many spans of one kind, each 400 ms long, with a span of another kind before them."""
    spans: list[Drawn] = [("run", "", 0, 3000, {}), ("before", "run", 0, 100, {})]
    for n in range(count):
        start = 100 if at_once else 100 + n * (TOOL_MS + 5)
        spans.append((f"{kind}{n}", "run", start, start + TOOL_MS, KINDS[kind]))
    return drawn(*spans, names={f"{kind}{n}": kind for n in range(count)})


def agent(
    turns: Sequence[int],
    *,
    at_once: bool = True,
    wrapper: str = "",
    one_wrapper: bool = False,
    arguments: Sequence[str] = (),
) -> SpanTable:
    """An agent that asks for so many tools in each turn, and then answers.

    `wrapper` names a span around each tool, or around all tools of a turn; `arguments` are those of
    the tools of each turn.
    """
    spans: list[Drawn] = []
    names: dict[str, str] = {}

    def add(
        span_id: str, parent: str, start: int, end: int, name: str, said: dict[str, Any]
    ) -> None:
        spans.append((span_id, parent, start, end, said))
        names[span_id] = name

    at = 0
    for turn, count in enumerate((*turns, 0)):
        add(f"c{turn}", "a", at, at + CHAT_MS, "chat", KINDS["chat"])
        at += CHAT_MS + 5
        end = at + (TOOL_MS if at_once else count * (TOOL_MS + 5))
        for n in range(count):
            start = at if at_once else at + n * (TOOL_MS + 5)
            above = "a"
            if wrapper:
                above = f"w{turn}" if one_wrapper else f"w{turn}{n}"
                if above not in names:
                    times = (at, end) if one_wrapper else (start, start + TOOL_MS)
                    add(above, "a", *times, wrapper, {})
            tool = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.call.id": f"{turn}{n}"}
            if arguments:
                tool["gen_ai.tool.call.arguments"] = f"{arguments[turn]} {n}"
            add(f"t{turn}{n}", above, start, start + TOOL_MS, "search", tool)
        at = end + 5 if count else at
    names["a"] = "invoke_agent"
    around: tuple[Drawn, Drawn] = ("run", "", 0, at, {}), ("a", "run", 0, at, KINDS["agent"])
    return drawn(*around, *spans, names=names)


def serial(found: Comparison) -> list[str]:
    return [each.place for each in found.regressions if each.kind is RegressionKind.SERIAL]


def at_once_now(found: Comparison) -> list[str]:
    return [each.place for each in found.improvements if each.kind is ImprovementKind.AT_ONCE]


@pytest.mark.parametrize("kind", KINDS)
def test_spans_of_any_kind_that_stand_in_a_row_now(kind: str) -> None:
    base, new = (siblings(kind, at_once=at_once) for at_once in (True, False))
    found = compared([base], [new], tolerance=9.0)
    (place,) = serial(found)
    assert place.endswith("of run")
    (loss,) = found.regressions
    assert {span.name for span in loss.spans} == {kind}
    back = compared([new], [base], tolerance=9.0)
    assert (serial(back), at_once_now(back)) == ([], [place])
    for same in (base, new):
        assert compared([same], [same]).passed


@pytest.mark.parametrize("one_wrapper", [False, True], ids=["a task each", "a task for all"])
@pytest.mark.parametrize("wrapper", ["", "tools"])
def test_tools_of_a_turn_that_stand_in_a_row_now(wrapper: str, one_wrapper: bool) -> None:
    base = agent([1, 3], wrapper=wrapper)
    new = agent([1, 3], at_once=False, wrapper=wrapper, one_wrapper=one_wrapper)
    found = compared([base], [new], tolerance=9.0)
    assert serial(found) == ["the tools of invoke_agent, turn 2"]
    assert at_once_now(compared([new], [base], tolerance=9.0))


@pytest.mark.parametrize("turns", [(3, 2), (2, 1), (1, 3), (5,)])
def test_a_model_that_asks_for_the_same_in_other_turns_made_nothing_serial(
    turns: tuple[int, ...],
) -> None:
    base, new = agent(turns), agent(tuple(reversed(turns)))
    assert serial(compared([base], [new], tolerance=9.0)) == []
    slow = agent(tuple(reversed(turns)), at_once=False)
    assert serial(compared([base], [slow], tolerance=9.0))


def test_a_tool_a_turn_instead_of_all_at_once_is_a_loss() -> None:
    found = compared([agent([3])], [agent([1, 1, 1])], tolerance=9.0)
    assert serial(found) == ["the tools of invoke_agent, turn 1"]
    assert "an LLM turn stands between them" in found.regressions[0].evidence


def test_tools_are_numbered_by_turn_whatever_they_ask_for() -> None:
    paths = CallPaths("run")
    for arguments in (("a", "b"), ("b", "a")):
        trace = agent([2, 2], arguments=arguments)
        place_of = paths.places(call_tree(trace, trace.row_of["run"]))
        places = [place_of[trace.row_of[f"t{turn}{n}"]] for turn in (0, 1) for n in (0, 1)]
        numbers = [paths.place_text(place).rpartition("#")[2] for place in places]
        assert numbers == ["1", "2", "3", "4"]


# LLM calls and tokens


def crew(**calls: Sequence[int]) -> SpanTable:
    """Agents in a row, each with LLM calls of so many input tokens; no tokens for 0."""

    def spans() -> Iterator[Drawn]:
        at = 0
        for name, tokens in calls.items():
            end = at + len(tokens) * CHAT_MS
            yield name, "run", at, end, KINDS["agent"] | {"gen_ai.agent.name": name}
            for n, count in enumerate(tokens):
                said = {"gen_ai.usage.input_tokens": count, "gen_ai.usage.output_tokens": 1}
                start = at + n * CHAT_MS
                kind = KINDS["chat"] | (said if count else {})
                yield f"{name}.{n}", name, start, start + CHAT_MS, kind
            at = end

    return drawn(("run", "", 0, 5000, {}), *spans())


def test_calls_and_tokens_in_total_and_of_the_agents_that_changed() -> None:
    base, new = crew(scout=[10, 10], writer=[50]), crew(scout=[10, 10], writer=[50, 70])
    found = compared([base], [new], tolerance=9.0)
    assert (found.use.base.llm_calls, found.use.new.llm_calls) == (3, 4)
    assert (found.use.base.input_tokens, found.use.new.input_tokens) == (70, 140)
    (writer,) = found.agents
    assert (writer.name, writer.base.llm_calls, writer.new.llm_calls) == ("writer", 1, 2)
    assert (writer.new.input_tokens, writer.new.output_tokens) == (120, 2)


def test_an_agent_that_is_gone_has_no_calls_now() -> None:
    found = compared([crew(scout=[10], writer=[50])], [crew(scout=[10])], tolerance=9.0)
    (writer,) = found.agents
    assert (writer.new.llm_calls, writer.new.input_tokens) == (0, None)


def test_sets_have_medians_of_what_is_recorded() -> None:
    base = [crew(scout=[tokens]) for tokens in (10, 30, 20)]
    found = compared(base, [crew(scout=[0]), crew(scout=[5]), crew(scout=[0])], tolerance=9.0)
    assert (found.use.base.input_tokens, found.use.new.input_tokens) == (20, 5)
    unknown = compared(base, [crew(scout=[0])] * 3, tolerance=9.0)
    assert unknown.use.new.input_tokens is None
