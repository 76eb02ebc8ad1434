"""What LLM spans say of their answers, and tool spans of their calls."""

import json
from pathlib import Path
from typing import Any

import pytest

from trading_graph.otel.vocabularies import Answer, ToolCall, answer, tool_call

MESSAGE = {
    "role": "assistant",
    "tool_calls": [
        {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}},
        {"id": "c2", "type": "function", "function": {"name": "f", "arguments": "{}"}},
    ],
}
LANGCHAIN = {
    "lc": 1,
    "kwargs": {
        "content": [{"type": "tool_use", "id": "c1"}, {"type": "tool_use", "id": "c2"}],
        "additional_kwargs": {"tool_calls": MESSAGE["tool_calls"]},
        "tool_calls": [{"name": "f", "args": {}, "id": "c1"}, {"name": "f", "id": "c2"}],
    },
}
CALLING = {
    "GenAI": {
        "gen_ai.output.messages": json.dumps(
            [{"role": "assistant", "parts": [{"type": "tool_call", "id": c} for c in ("c1", "c2")]}]
        )
    },
    "LangSmith": {"gen_ai.completion": json.dumps({"generations": [[{"message": LANGCHAIN}]]})},
    "OpenInference": {
        "llm.output_messages.0.message.role": "assistant",
        "llm.output_messages.0.message.tool_calls.0.tool_call.id": "c1",
        "llm.output_messages.0.message.tool_calls.1.tool_call.id": "c2",
    },
    "OpenInference, two messages": {
        "llm.output_messages.0.message.tool_calls.0.tool_call.id": "c1",
        "llm.output_messages.1.message.tool_calls.0.tool_call.id": "c2",
    },
    "OpenLLMetry": {
        "gen_ai.completion.0.finish_reason": "tool_calls",
        "gen_ai.completion.0.tool_calls.0.id": "c1",
        "gen_ai.completion.0.tool_calls.1.id": "c2",
    },
    "Vercel AI": {
        "ai.response.text": "",
        "ai.response.toolCalls": '[{"toolCallId":"c1"},{"toolCallId":"c2"}]',
    },
    "logfire, chat": {"logfire.span_type": "span", "output": json.dumps([MESSAGE])},
    "logfire, responses": {
        "logfire.span_type": "span",
        "output": json.dumps(
            [{"type": "function_call", "id": f"fc{c}", "call_id": c} for c in ("c1", "c2")]
        ),
    },
    "logfire, events": {
        "logfire.span_type": "span",
        "events": json.dumps(
            [
                {"event.name": "gen_ai.assistant.message", "tool_calls": [{"id": "asked before"}]},
                {"event.name": "gen_ai.choice", "message": MESSAGE},
            ]
        ),
    },
    "Langfuse": {"langfuse.observation.output": json.dumps(MESSAGE)},
}


@pytest.mark.parametrize("attributes", CALLING.values(), ids=CALLING.keys())
def test_an_answer_names_its_tool_calls(attributes: dict[str, Any]) -> None:
    assert answer(attributes) == Answer(call_ids=("c1", "c2"), call_count=2, is_given=True)


@pytest.mark.parametrize(
    "attributes",
    [
        {"llm.output_messages.0.message.role": "assistant"},
        {"gen_ai.output.messages": '[{"role": "assistant", "parts": [{"type": "text"}]}]'},
        {"gen_ai.completion.0.content": "It is sunny."},
        {"ai.response.text": "It is sunny."},
        {"langfuse.observation.output": "It is sunny."},
    ],
)
def test_a_recorded_answer_without_calls_asks_for_none(attributes: dict[str, Any]) -> None:
    assert answer(attributes) == Answer(call_ids=(), call_count=0, is_given=True)


def test_calls_without_ids_are_counted() -> None:
    calls = {
        f"llm.output_messages.0.message.tool_calls.{n}.tool_call.function.name": "f"
        for n in range(3)
    }
    assert answer(calls) == Answer(call_ids=(), call_count=3, is_given=True)


@pytest.mark.parametrize(
    "attributes",
    [
        {"gen_ai.usage.output_tokens": 20},
        {"gen_ai.response.id": "chatcmpl-1"},
        {"gen_ai.response.finish_reasons": ["stop"]},
        {"llm.token_count.completion": 20},
        {"langfuse.observation.usage_details": '{"output": 20}'},
        {"ai.response.finishReason": "stop"},
        # Cut off by a limit on the length of attributes.
        {"gen_ai.output.messages": '[{"role": "assistant", "parts": [{"type": "tool_ca'},
    ],
)
def test_without_content_the_number_of_calls_is_unknown(attributes: dict[str, Any]) -> None:
    assert answer(attributes) == Answer(call_ids=(), call_count=None, is_given=True)


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"llm.model_name": "m", "output.value": '{"messages": ["ChatMessage"]}'},
        {"gen_ai.request.model": "m", "gen_ai.usage.output_tokens": 0},
        {"output": '[{"tool_calls": [{"id": "c1"}]}]'},
        {"gen_ai.response.id": ""},
    ],
)
def test_preparation_is_no_answer(attributes: dict[str, Any]) -> None:
    assert answer(attributes) == Answer(call_ids=(), call_count=None, is_given=False)


def test_deep_and_odd_documents_are_survived() -> None:
    for text in ("[" * 100_000, '{"tool_calls": 7}', '{"tool_calls": [null, 3]}', "null", "7"):
        assert answer({"gen_ai.output.messages": text}).call_ids == ()


OPENLLMETRY_INPUT = (
    '{"input_str": "{\'b\': 1}", "metadata": {"langgraph_checkpoint_ns": "tools:%s"}, '
    '"inputs": {"b": 1, "a": "x"}, "kwargs": {"tool_call_id": "c1"}}'
)
TOOLS = {
    "GenAI": {
        "gen_ai.tool.name": "f",
        "gen_ai.tool.call.id": "c1",
        "gen_ai.tool.call.arguments": '{"b": 1, "a": "x"}',
    },
    "GenAI, structured": {
        "gen_ai.tool.name": "f",
        "gen_ai.tool.call.id": "c1",
        "gen_ai.tool.call.arguments": {"b": 1, "a": "x"},
    },
    "OpenInference": {
        "tool.name": "f",
        "input.value": '{"a": "x", "b": 1}',
        "tool.parameters": '{"properties": {}}',
        "output.value": '{"type": "tool", "data": {"content": "", "tool_call_id": "c1"}}',
    },
    "OpenLLMetry": {
        "traceloop.span.kind": "tool",
        "traceloop.entity.name": "f",
        "traceloop.entity.input": OPENLLMETRY_INPUT % "4c74",
        "gen_ai.tool.call.arguments": OPENLLMETRY_INPUT % "4c74",
    },
    "LangSmith": {
        "langsmith.span.kind": "tool",
        "gen_ai.tool.name": "f",
        "gen_ai.tool.call.id": "c1",
        "gen_ai.prompt": '{"b":1,"a":"x"}',
    },
    "Vercel AI": {
        "ai.toolCall.name": "f",
        "ai.toolCall.id": "c1",
        "ai.toolCall.args": '{"a":"x","b":1}',
    },
}


@pytest.mark.parametrize("attributes", TOOLS.values(), ids=TOOLS.keys())
def test_a_tool_span_names_its_call(attributes: dict[str, Any]) -> None:
    assert tool_call(attributes) == ToolCall("f", "c1", '{"a":"x","b":1}')


def test_equal_calls_have_equal_arguments_whatever_task_they_ran_in() -> None:
    first = tool_call({"traceloop.entity.input": OPENLLMETRY_INPUT % "4c74"})
    assert first == tool_call({"traceloop.entity.input": OPENLLMETRY_INPUT % "16f2"})
    assert first.arguments == '{"a":"x","b":1}'


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"logfire.span_type": "span", "name": "f", "mcp_data": "null", "input": "{}"}, "{}"),
        ({"langfuse.observation.type": "tool", "langfuse.observation.input": "Oslo"}, "Oslo"),
        ({"tool.name": "f", "input.value": " Oslo "}, "Oslo"),
        ({"gen_ai.tool.name": "f", "trading.tool.args_hash": "ab12"}, "ab12"),
        ({"gen_ai.tool.name": "f"}, None),
    ],
)
def test_arguments_are_a_text_or_a_hash(attributes: dict[str, Any], expected: str | None) -> None:
    assert tool_call(attributes).arguments == expected


def test_recorded_turns_join_answers_with_their_tools() -> None:
    """The ids that one recorded answer gives are those that its tools carry."""
    recorded = json.loads(Path(__file__).with_name("recorded.json").read_text("utf-8"))
    joined = set()
    for case in {each["case"] for each in recorded}:
        spans = [each for each in recorded if each["case"] == case]
        asked = {i for s in spans if s["role"] == "llm" for i in answer(s["attributes"]).call_ids}
        ran = {tool_call(s["attributes"]).id for s in spans if s["role"] == "tool"}
        if asked & ran:
            joined.add(case)
    assert {
        "langgraph-ls-fake",
        "langgraph-oi-fake",
        "langgraph-ol-par",
        "pydantic-ai-mix-chainthenpair",
        "vercel-ai-own-lock",
    } <= joined
