"""Models of the Responses API: asked there, and told whole or not at all."""

import itertools
from typing import Any

import pytest
from langchain_core.messages import HumanMessage, ToolMessage

from tests.graph.chat.scripted_service import FUNCTION, Answer, Json, ask, refuse, serving
from trading_graph.graph.chat.capabilities import Api, Override
from trading_graph.graph.chat.conversation import Offer
from trading_graph.graph.errors import ModelError

DECIDE = Offer(answer=FUNCTION)
TOOLS = Offer([FUNCTION])


def response(*output: Json, status: str = "completed", **more: Any) -> Answer:
    """An answer of the Responses API."""
    whole = {
        "id": "resp_1",
        "object": "response",
        "status": status,
        "model": "m-1",
        "output": list(output),
        "usage": {
            "input_tokens": 7,
            "output_tokens": 5,
            "total_tokens": 12,
            "output_tokens_details": {"reasoning_tokens": 2},
        },
        **more,
    }
    events: list[object] = [{"type": "response.created", "response": {**whole, "output": []}}]
    for index, item in enumerate(output):
        for part in item.get("content", ()):
            for letter in part["text"]:
                events.append({"type": "response.output_text.delta", "delta": letter})
        done = {"type": "response.output_item.done", "output_index": index, "item": item}
        events.append(done)
    return Answer([*events, {"type": f"response.{status}", "response": whole}], done=False)


THOUGHT: Json = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "e"}
CALL: Json = {
    "type": "function_call",
    "id": "fc_1",
    "call_id": "call_1",
    "name": "Plan",
    "arguments": '{"a": "b"}',
}


def said(words: str) -> Json:
    return {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "content": [{"type": "output_text", "text": words, "annotations": []}],
    }


async def test_a_model_of_the_responses_api_is_asked_there() -> None:
    answers = itertools.chain([response(THOUGHT, CALL)], itertools.repeat(response(said("x"))))

    def script(path: str, body: Json) -> Answer:
        if path.endswith("/chat/completions"):
            return refuse("This model is only supported in v1/responses", 404, param="model")
        return next(answers)

    async with serving(script) as (service, models):
        first = await ask(models, offer=TOOLS)
        (call,) = first.tool_calls
        assert (call["id"], call["args"]) == ("call_1", {"a": "b"})
        assert first.usage_metadata is not None
        assert first.usage_metadata["output_token_details"] == {"reasoning": 2}
        result = ToolMessage("r", tool_call_id="call_1")
        last = Offer([FUNCTION], withheld=True)
        second = await ask(models, [HumanMessage("u"), first, result], last)
        assert second.text == "x"
        await ask(models, offer=DECIDE)
    _, _, (path, body), (_, decision) = service.requests
    assert path == "/v1/responses"
    output = {"type": "function_call_output", "call_id": "call_1", "output": "r"}
    assert body["input"] == [{"role": "user", "content": "u"}, THOUGHT, CALL, output]
    assert body["tool_choice"] == "none"
    assert body["tools"][0]["name"] == "Plan"
    assert decision["tool_choice"] == {"type": "function", "name": "Plan"}


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (
            response(
                said("x"),
                status="incomplete",
                incomplete_details={"reason": "max_output_tokens"},
            ),
            "limit of tokens",
        ),
        (Answer(response(said("x")).events[:-1], done=False), "whole"),
        (
            Answer([{"type": "error", "code": "server_error", "message": "broken"}], done=False),
            "“broken",
        ),
        (
            Answer(
                [
                    {
                        "type": "response.failed",
                        "response": {"status": "failed", "error": {"message": "boom"}},
                    }
                ],
                done=False,
            ),
            "“boom”",
        ),
    ],
)
async def test_a_response_that_is_not_whole_is_none(answer: Answer, says: str) -> None:
    overrides = {"*": Override(api=Api.RESPONSES)}
    async with serving(lambda path, body: answer, overrides=overrides) as (_, models):
        with pytest.raises(ModelError, match=says):
            await ask(models)
