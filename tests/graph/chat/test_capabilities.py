"""The ladder: which refusal gives up what, and that nothing else is given up."""

from typing import Any

import pytest

from trading_graph.graph.chat.capabilities import (
    Api,
    Capabilities,
    Forcing,
    Override,
    SystemRole,
    Withholding,
    first_override,
)
from trading_graph.graph.chat.refusal import Refusal

GENERAL = Capabilities()
TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}
NAMED: dict[str, Any] = {
    "model": "m",
    "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}],
    "tools": [TOOL],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "stream": True,
    "stream_options": {"include_usage": True},
}
REQUIRED = {**NAMED, "tool_choice": "required"}
WITHHELD = {**NAMED, "tool_choice": "none"}
CALLED = {**NAMED, "messages": [{"content": "u"}, {"content": None, "tool_calls": []}]}


def openai(message: str, param: str | None = None, **more: Any) -> object:
    return {"error": {"message": message, "type": "invalid_request_error", "param": param, **more}}


STEPS: dict[str, tuple[Capabilities, object, dict[str, Any], dict[str, Any]]] = {
    "named": (
        GENERAL,
        openai("deepseek-reasoner does not support this tool_choice"),
        NAMED,
        {"forcing": Forcing.REQUIRED},
    ),
    "object form": (
        GENERAL,
        {"error": "Invalid tool_choice type: 'object'. Supported string values: none, auto"},
        NAMED,
        {"forcing": Forcing.REQUIRED},
    ),
    "required": (
        Capabilities(forcing=Forcing.REQUIRED),
        openai("Thinking mode does not support this tool_choice"),
        REQUIRED,
        {"forcing": Forcing.AUTO},
    ),
    "no tools": (
        GENERAL,
        openai("registry.ollama.ai/library/gemma:2b does not support tools"),
        NAMED,
        {"forcing": Forcing.JSON_SCHEMA},
    ),
    "no schema": (
        Capabilities(forcing=Forcing.JSON_SCHEMA),
        openai("Unsupported", "response_format"),
        {"messages": [], "response_format": {}},
        {"forcing": Forcing.JSON_TEXT},
    ),
    "none": (
        GENERAL,
        openai("tool_choice must be auto", "tool_choice"),
        WITHHELD,
        {"withholding": Withholding.DROPPED},
    ),
    "none, in Bedrock's name": (
        GENERAL,
        openai('Unknown parameter in toolConfig.toolChoice: "none", must be one of: auto, any'),
        WITHHELD,
        {"withholding": Withholding.DROPPED},
    ),
    "null content by place": (
        GENERAL,
        {
            "detail": [
                {"loc": ["body", "messages", 2, "content"], "msg": "Input should be a string"}
            ]
        },
        CALLED,
        {"null_content": False},
    ),
    "null content in a template": (
        GENERAL,
        openai('can only concatenate str (not "NoneType") to str'),
        CALLED,
        {"null_content": False},
    ),
    "empty content": (
        Capabilities(null_content=False),
        openai("The content field in the Message object at messages.2 is empty."),
        {**CALLED, "messages": [{"content": "u"}, {"content": "", "tool_calls": []}]},
        {"null_content": True},
    ),
    "tools missing": (
        Capabilities(withholding=Withholding.DROPPED),
        openai("Bedrock doesn't support tool calling without `tools=` param specified."),
        {"messages": []},
        {"withholding": Withholding.OFFERED},
    ),
    "stream_options by name": (
        GENERAL,
        {"error_code": "BAD_REQUEST", "message": 'json: unknown field "stream_options"'},
        NAMED,
        {"stream_options": False},
    ),
    "stream_options by place": (
        GENERAL,
        {"detail": [{"type": "extra_forbidden", "loc": ["body", "stream_options"], "msg": "No"}]},
        NAMED,
        {"stream_options": False},
    ),
    "only responses": (
        GENERAL,
        openai("This model is only supported in v1/responses and not in v1/chat/completions."),
        NAMED,
        {"api": Api.RESPONSES},
    ),
    "effort with tools": (
        GENERAL,
        openai("Function tools with reasoning_effort are not supported.", "reasoning_effort"),
        NAMED,
        {"reasoning_effort": "none"},
    ),
    "effort": (
        Capabilities(reasoning_effort="low"),
        openai("Unrecognized request argument supplied: reasoning_effort"),
        NAMED,
        {"reasoning_effort": ""},
    ),
    "temperature": (
        GENERAL,
        openai("'temperature' does not support 0.2 with this model.", "temperature"),
        {**NAMED, "temperature": 0.2},
        {"temperature": False},
    ),
    "parallel calls": (
        Capabilities(parallel_tool_calls=True),
        openai("'parallel_tool_calls' is not supported with this model."),
        {**NAMED, "parallel_tool_calls": True},
        {"parallel_tool_calls": False},
    ),
    "stream": (
        GENERAL,
        openai("Your organization must be verified to stream this model.", "stream"),
        NAMED,
        {"stream": False},
    ),
    "system": (GENERAL, openai("System role not supported"), NAMED, {"system_role": "user"}),
    "developer": (
        Capabilities(system_role=SystemRole.DEVELOPER),
        openai("developer is not one of ['system', 'assistant', 'user'] - 'messages.0.role'"),
        NAMED,
        {"system_role": "system"},
    ),
    "schema": (
        GENERAL,
        [{"error": {"code": 400, "message": 'Unknown name "additionalProperties" at tools[0]'}}],
        NAMED,
        {"full_schemas": False},
    ),
    "reasoning unwanted": (
        GENERAL,
        openai("('messages.2' : property 'reasoning_content' is unsupported)"),
        {**NAMED, "messages": [{"role": "assistant", "reasoning_content": "r"}]},
        {"reasoning_field": ""},
    ),
    "reasoning wanted": (
        Capabilities(reasoning_field=""),
        openai("The `reasoning_content` in the thinking mode must be passed back to the API."),
        NAMED,
        {"reasoning_field": "reasoning_content"},
    ),
}


@pytest.mark.parametrize(("now", "body", "sent", "change"), STEPS.values(), ids=STEPS)
def test_a_refusal_that_names_a_parameter_gives_up_that(
    now: Capabilities, body: object, sent: dict[str, Any], change: dict[str, Any]
) -> None:
    first = next(now.steps_down(Refusal.of(400, body), sent))
    assert first.change == change
    assert now.difference(first.capabilities) == change
    assert first.words.startswith(first.parameter)


NO_STEPS = {
    "says nothing": (openai("Bad request"), NAMED),
    "of the key": (openai("Incorrect API key provided"), NAMED),
    "of the context": (openai("This model's maximum context length is 8192 tokens."), NAMED),
    "of the content": (openai("Input was flagged by the content policy."), NAMED),
    "of the content beside calls": (openai("It violates the content policy."), CALLED),
    "inside a content": (openai("messages.2.content.0: Invalid `signature` in a block"), CALLED),
    "a page": ("<html><body>tool_choice stream_options temperature</body></html>", NAMED),
    "not sent": (
        openai("'temperature', stream_options, response_format and tool_choice are wrong."),
        {"model": "m", "messages": []},
    ),
    "empty": (None, NAMED),
}


@pytest.mark.parametrize(("body", "sent"), NO_STEPS.values(), ids=NO_STEPS)
def test_no_other_refusal_gives_up_anything(body: object, sent: dict[str, Any]) -> None:
    assert list(GENERAL.steps_down(Refusal.of(400, body), sent)) == []


def test_facts_are_read_strictly() -> None:
    read = GENERAL.with_facts({"api": "responses", "tool_choice_none": False, "else": 3})
    assert (read.api, read.withholding) == (Api.RESPONSES, Withholding.DROPPED)
    read = GENERAL.with_facts({"tool_choice_none": False, "tools_with_history": True})
    assert read.withholding is Withholding.OFFERED
    for wrong in ({"api": "telnet"}, {"stream": "yes"}, {"reasoning_effort": 3}):
        with pytest.raises(ValueError, match=r"telnet|yes|3"):
            GENERAL.with_facts(wrong)


def test_settings_are_found_by_name_and_by_pattern() -> None:
    overrides = {"gpt-*": Override(temperature=1), "gpt-5": Override(api=Api.CHAT)}
    assert first_override(overrides, "gpt-5").api is Api.CHAT
    assert first_override(overrides, "gpt-5-mini").temperature == 1
    assert first_override(overrides, "o3") == Override()
    silent = Capabilities(temperature=False)
    assert first_override(overrides, "gpt-5-mini").apply(silent).temperature


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"error": {"message": "a\nb"}}, "a b"),
        ({"error": "a"}, "a"),
        ({"message": "a"}, "a"),
        ({"detail": [{"loc": ["body", "x"], "msg": "m"}]}, "body.x: m"),
        ({"object": "error", "message": {"detail": [{"loc": ["x"], "msg": "m"}]}}, "x: m"),
        ([{"error": {"message": "a"}}], "a"),
        ("plain words", "plain words"),
        ("<html>page</html>", ""),
        ({"error": {"message": "Provider", "metadata": {"raw": "cause"}}}, "cause; Provider"),
        (7, ""),
        (None, ""),
    ],
)
def test_words_are_found_in_every_form(body: object, says: str) -> None:
    assert Refusal.of(400, body).words == says


def test_words_are_cut_for_a_reader() -> None:
    assert len(Refusal.of(400, {"message": "x " * 5000}).quotation) == 400
