"""Calls in a text are read in the forms that models write, and never from what is quoted."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from tests.graph.chat.scripted_service import FUNCTION, Answer, ask, serving, text
from trading_graph.graph.chat.capabilities import Api, Override
from trading_graph.graph.chat.conversation import NOTHING, Offer
from trading_graph.graph.chat.text_markup import read_written_calls
from trading_graph.graph.errors import BadModelAnswerError
from trading_graph.graph.tool_calls import tool_calls_of

BODY = '{"name": "get_prices", "arguments": {"symbol": "NVDA"}}'
CALL = f"<tool_call>\n{BODY}\n</tool_call>"
NVDA = ("get_prices", {"symbol": "NVDA"})

READ = {
    "between tags": CALL,
    "in one line": f"<tool_call>{BODY}</tool_call>",
    "other names": f"<function_call>{BODY.replace('arguments', 'parameters')}</function_call>",
    "arguments as text": CALL.replace(json.dumps(NVDA[1]), json.dumps(json.dumps(NVDA[1]))),
    "in OpenAI's form": f'<tool_call>{{"type": "function", "function": {BODY}}}</tool_call>',
    "in a wrapper": f"<tool_calls>\n{CALL}\n</tool_calls>",
    "its last tag cut off": f"<tool_call>\n{BODY}",
    "a function as a tag": '<function=get_prices>{"symbol": "NVDA"}</function>',
    "parameters as tags": (
        "<tool_call>\n<function=get_prices>\n<parameter=symbol>\nNVDA\n</parameter>\n</function>\n"
        "</tool_call>"
    ),
    "behind a mark": f"[TOOL_CALLS] [{BODY}]",
    "behind a mark, by name": '[TOOL_CALLS]get_prices{"symbol": "NVDA"}',
    "JSON alone": BODY,
    "JSON in a fence": f"```json\n{BODY}\n```",
    "a call in a fence, and nothing else": f"```\n{CALL}\n```",
}


def calls_in(written: str) -> list[tuple[str, Any]]:
    return [(name, json.loads(each)) for name, each in read_written_calls(written).calls]


@pytest.mark.parametrize("written", READ.values(), ids=READ)
def test_a_call_is_read_in_the_forms_that_models_write(written: str) -> None:
    assert calls_in(written) == [NVDA]
    assert read_written_calls(written).rest == ""


def test_calls_among_words_are_cut_out_of_them() -> None:
    written = read_written_calls(f"The rise of <b>NVDA</b>: I look.\n\n{CALL}\n{CALL}\nOne moment.")
    assert len(written.calls) == 2
    assert "tool_call" not in written.rest
    assert written.rest.startswith("The rise of <b>NVDA</b>: I look.")
    assert written.rest.endswith("One moment.")


QUOTED = {
    "a fence": f"As I said:\n\n```\n{CALL}\n```\n\nIt rose.",
    "a fence that never ends": f"As I said:\n\n~~~xml\n{CALL}",
    "backticks": f"One writes `<tool_call>{BODY}</tool_call>` for that.",
    "a quotation": f"> <tool_call>{BODY}</tool_call>\n\nIt rose.",
    "other tags": f'<data source="news">\nBuy! {CALL}\n</data>\n\nIt rose.',
    "tags in tags": f"<data><b>{CALL}</b> and <i>{CALL}</data> It rose.",
    "words": "It calls for a <function> of <b>tool_call</b>.",
    "JSON that is no call": '{"name": "NVIDIA", "sector": "chips"}',
    "JSON among words": f"The call was {BODY}.",
}


@pytest.mark.parametrize("written", QUOTED.values(), ids=QUOTED)
def test_what_is_quoted_stays_text(written: str) -> None:
    read = read_written_calls(written)
    assert (read.calls, read.rest, read.is_broken) == ((), written, False)


BROKEN = {
    "breaks off": CALL[:40],
    "breaks off after words": f"I look.\n\n{CALL[:40]}",
    "no JSON": "<tool_call>get_prices(NVDA)</tool_call>",
    "no name": '<tool_call>{"arguments": {}}</tool_call>',
    "no arguments": '<tool_call>{"name": "get_prices"}</tool_call>',
    "arguments that are none": '<tool_call>{"name": "f", "arguments": [1]}</tool_call>',
    "nothing": "<tool_call></tool_call>",
    "deep": f"<tool_call>{'[' * 100_000}",
    "many": "<tool_call>" * 9_000,
}


@pytest.mark.parametrize("written", BROKEN.values(), ids=BROKEN)
def test_a_call_that_cannot_be_read_is_told(written: str) -> None:
    read = read_written_calls(written)
    assert read.is_broken
    assert not read.calls


def test_a_call_that_can_be_read_is_made_though_another_cannot() -> None:
    read = read_written_calls(f"{CALL[:40]}</tool_call>{CALL}")
    assert len(read.calls) == 1
    assert not read.is_broken


PIECES = [CALL, CALL[:40], BODY, "<data>", "</data>", "</tool_call>", "```", "`", "\n", "> ", "{"]


@given(st.lists(st.text(max_size=20) | st.sampled_from(PIECES), max_size=8))
def test_any_text_is_read_and_no_call_is_made_up(pieces: list[str]) -> None:
    written = "".join(pieces)
    assert calls_in(written) == [NVDA] * len(calls_in(written))
    assert len(calls_in(written)) <= written.count(BODY)


TOOLS = Offer([FUNCTION])


async def answer_to(written: str, offer: Offer = TOOLS) -> tuple[AIMessage, int]:
    async with serving(lambda path, body: text(written)) as (service, models):
        return await ask(models, offer=offer), len(service.requests)


async def test_the_message_of_a_model_has_the_calls_in_its_text() -> None:
    answer, requests = await answer_to(f"<think>{CALL}</think>I look.\n{CALL}\n{CALL}")
    calls = tool_calls_of(answer)
    assert [(call.name, call.arguments) for call in calls] == [NVDA, NVDA]
    assert len({call.id for call in calls} - {""}) == 2
    assert answer.text == "I look."
    assert requests == 1


async def test_calls_in_thoughts_are_none() -> None:
    answer, _ = await answer_to(f"<think>\n{CALL}\n</think>\nIt rose.")
    assert tool_calls_of(answer) == []
    assert answer.text == "It rose."


@pytest.mark.parametrize(("written", "offer"), [(CALL[:40], TOOLS), (CALL, NOTHING)])
async def test_a_text_of_calls_alone_is_no_answer(written: str, offer: Offer) -> None:
    with pytest.raises(BadModelAnswerError, match="tool call"):
        await answer_to(written, offer)


async def test_calls_in_the_text_of_a_response_go_back_with_its_items() -> None:
    message = {
        "type": "message",
        "id": "m-1",
        "content": [{"type": "output_text", "text": CALL}],
    }
    response = {"id": "r", "object": "response", "status": "completed", "output": [message]}

    script = Answer(value=response)
    by_responses = {"deep": Override(api=Api.RESPONSES)}
    async with serving(lambda path, body: script, overrides=by_responses) as (service, models):
        first = await ask(models, offer=TOOLS)
        (call,) = tool_calls_of(first)
        answer = ToolMessage("1", tool_call_id=call.id)
        await ask(models, [HumanMessage("Well?"), first, answer], TOOLS)
    _, said, called, told = service.bodies[-1]["input"]
    assert said["id"] == "m-1"
    assert called["call_id"] == told["call_id"] == call.id
