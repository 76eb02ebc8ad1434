"""Answers of `chat/completions`, whatever the service leaves out or adds."""

import itertools
import json
import random
from collections.abc import Sequence
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_openai import ChatOpenAI
from opentelemetry.trace import INVALID_SPAN

from tests.graph.chat.scripted_service import Answer, Json, ask, chunk, delta, serving
from trading_graph.graph.budget import Spending
from trading_graph.graph.chat.capabilities import Capabilities
from trading_graph.graph.chat.completions_api import CompletionReader
from trading_graph.graph.chat.conversation import chat_messages
from trading_graph.graph.chat.usage import token_count
from trading_graph.graph.errors import BadModelAnswerError, CutAnswerError, ModelError
from trading_graph.graph.options import Budget

USAGE: Json = {
    "prompt_tokens": 7,
    "completion_tokens": 3,
    "total_tokens": 10,
    "prompt_tokens_details": {"cached_tokens": 2},
    "completion_tokens_details": {"reasoning_tokens": 1},
}
ARGUMENTS = '{"symbol": "NVDA"}'


def call(arguments: object, name: str | None = None, **more: Any) -> Json:
    function = {"arguments": arguments} if name is None else {"name": name, "arguments": arguments}
    return {**more, "function": function}


def calls(*deltas: Json, finish: str = "tool_calls") -> list[Json]:
    """Chunks with one delta of a tool call each."""
    return [*(delta(tool_calls=[each]) for each in deltas), delta(finish)]


async def answer_to(events: Sequence[object], **how: Any) -> AIMessage:
    async with serving(lambda path, body: Answer(events, **how)) as (_, models):
        return await ask(models)


LIKE_THE_LIBRARY = {
    "words": [
        delta(role="assistant", content=""),
        delta(content="Buy"),
        delta(content=" it."),
        delta(finish="stop"),
        chunk(usage=USAGE),
    ],
    "a tool call in parts": [
        delta(role="assistant", tool_calls=[call('{"symbol": ', "f", index=0, id="t-1")]),
        delta(tool_calls=[call('"AAPL"}', index=0)]),
        delta(finish="tool_calls", system_fingerprint="f"),
        chunk(usage=USAGE),
    ],
    "two calls": calls(
        call(ARGUMENTS, "f", index=0, id="t-1"), call(ARGUMENTS, "g", index=1, id="t-2")
    ),
    "no delta at the end": [
        delta(role="assistant", content="z"),
        chunk({"index": 0, "finish_reason": "stop"}),
        chunk({"index": 0, "delta": None, "finish_reason": "stop"}),
        {"id": "c-1", "choices": [], "usage": USAGE},
    ],
}


@pytest.mark.parametrize("events", LIKE_THE_LIBRARY.values(), ids=LIKE_THE_LIBRARY)
async def test_an_answer_is_the_one_that_the_library_makes(events: Sequence[object]) -> None:
    async with serving(lambda path, body: Answer(events)) as (_, models):
        ours = await ask(models)
        library = ChatOpenAI(
            model="m",
            base_url=models.service.address,
            api_key=models.service.api_key,
            stream_usage=True,
        )
        parts = [part async for part in library.astream("Well?")]
        await library.root_async_client.close()
    theirs = parts[0].__add__(parts[1:])
    assert isinstance(theirs, AIMessageChunk)
    assert (ours.text, ours.tool_calls) == (theirs.text, theirs.tool_calls)
    usages = [each.usage_metadata for each in (ours, theirs)]
    counts = [token_count(usage) if usage else None for usage in usages]
    assert counts[0] == counts[1]
    reason = ours.response_metadata["finish_reason"]
    if "finish_reason" in theirs.response_metadata:  # It overlooks one beside no delta.
        assert theirs.response_metadata["finish_reason"] == reason


@pytest.mark.parametrize("seed", range(20))
async def test_text_comes_whole_however_it_is_cut(seed: int) -> None:
    chance = random.Random(seed)
    words = [chance.choice(["a", "é", " ", "\n", "", "日本"]) for _ in range(60)] + ["end"]
    answer = await answer_to([*(delta(content=each) for each in words), delta("stop")])
    assert answer.text == "".join(words)


ONE_CALL = {
    "no index": [call('{"symbol": ', "f", id="t"), call('"NVDA"}')],
    "a placeholder before the arguments": [
        call("{}", "f", index=0, id="t"),
        call(ARGUMENTS, index=0),
    ],
    "an object for arguments": [call({"symbol": "NVDA"}, "f", index=0, id="t")],
    "text in a text": [call(json.dumps(ARGUMENTS), "f", index=0, id="t")],
    "the id in every part": [
        call('{"symbol": ', "f", index=0, id="t"),
        call('"NVDA"}', index=0, id="t"),
    ],
    "the name in every part": [
        call('{"symbol": ', "f", index=0, id="t"),
        call('"NVDA"}', "f", index=0, id="t"),
    ],
    "no id": [call(ARGUMENTS, "f", index=0)],
    "null id": [call(ARGUMENTS, "f", index=0, id=None)],
    "index null": [call(ARGUMENTS, "f", index=None, id="t")],
}


@pytest.mark.parametrize("deltas", ONE_CALL.values(), ids=ONE_CALL)
async def test_one_call_is_one_call(deltas: list[Json]) -> None:
    (only,) = (await answer_to(calls(*deltas))).tool_calls
    assert (only["name"], only["args"]) == ("f", {"symbol": "NVDA"})
    assert only["id"]


TWO_CALLS = {
    "no index, in one delta": [[call(ARGUMENTS, "f"), call(ARGUMENTS, "g")]],
    "no index, in two deltas": [[call(ARGUMENTS, "f")], [call(ARGUMENTS, "g")]],
    "index 0 for both, ids of their own": [
        [call(ARGUMENTS, "f", index=0, id="a")],
        [call(ARGUMENTS, "g", index=0, id="b")],
    ],
    "index 0 for both, one id": [
        [call(ARGUMENTS, "f", index=0, id="a")],
        [call(ARGUMENTS, "g", index=0, id="a")],
    ],
    "one id for both": [
        [call(ARGUMENTS, "f", index=0, id="a"), call(ARGUMENTS, "g", index=1, id="a")]
    ],
    "empty ids": [[call(ARGUMENTS, "f", index=0, id=""), call(ARGUMENTS, "g", index=1, id="")]],
    "woven": [
        [call("", "f", index=0, id="a"), call("", "g", index=1, id="b")],
        [call(ARGUMENTS[:5], index=1)],
        [call(ARGUMENTS, index=0)],
        [call(ARGUMENTS[5:], index=1)],
    ],
}


@pytest.mark.parametrize("deltas", TWO_CALLS.values(), ids=TWO_CALLS)
async def test_two_calls_are_two_calls_with_ids_of_their_own(deltas: list[list[Json]]) -> None:
    answer = await answer_to([*(delta(tool_calls=each) for each in deltas), delta("tool_calls")])
    assert [each["name"] for each in answer.tool_calls] == ["f", "g"]
    assert [each["args"] for each in answer.tool_calls] == [{"symbol": "NVDA"}] * 2
    ids = [each["id"] for each in answer.tool_calls]
    assert len(set(ids)) == 2
    assert all(ids)


WHOLE = {
    "a reason": ([delta(content="x"), delta("stop")], False),
    "[DONE]": ([delta(content="x")], True),
    "usage at the end": ([delta(content="x"), chunk(usage=USAGE)], False),
    "a reason that nobody knows": ([delta(content="x"), delta("eos")], False),
}


@pytest.mark.parametrize(("events", "done"), WHOLE.values(), ids=WHOLE)
async def test_an_answer_that_says_so_is_whole(events: list[object], done: bool) -> None:
    assert (await answer_to(events, done=done)).text == "x"


BROKEN = {
    "no end": ([delta(content="x")], False, "without saying that it was whole"),
    "usage, but not at the end": (
        [chunk({"index": 0, "delta": {"content": "x"}}, usage=USAGE)],
        False,
        "without saying that it was whole",
    ),
    "the limit of tokens": ([delta(content="x"), delta("length")], True, "limit of tokens"),
    "a filter": ([delta(content="x"), delta("content_filter")], True, "content filter"),
    "only thoughts": ([delta(content="<think>x</think>"), delta("stop")], True, "thoughts"),
    "nothing": ([delta("stop")], True, "empty answer"),
    "null": ([None, None], True, "no completion"),
    "a refusal to answer": ([delta(refusal="I cannot."), delta("stop")], True, "“I cannot.”"),
}


@pytest.mark.parametrize(("events", "done", "says"), BROKEN.values(), ids=BROKEN)
async def test_half_an_answer_is_none(events: list[object], done: bool, says: str) -> None:
    with pytest.raises(BadModelAnswerError, match=says):
        await answer_to(events, done=done)


@pytest.mark.parametrize("reason", ["length", "content_filter"])
async def test_an_answer_that_was_cut_off_is_not_paid_for_again(reason: str) -> None:
    cut = Answer([delta(content="Half a rep"), delta(reason), chunk(usage=USAGE)])
    async with serving(lambda path, body: cut) as (service, models):
        spending = Spending(Budget(), INVALID_SPAN)
        with pytest.raises(CutAnswerError, match="cut off"):
            await ask(models, spending=spending)
    (usage,) = spending.claim("trader")
    assert len(service.requests) == usage.requests == 1
    assert (usage.input_tokens, usage.output_tokens) == (7, 3)


async def test_of_usage_in_every_chunk_the_last_counts() -> None:
    counts = [{**USAGE, "completion_tokens": n, "total_tokens": 7 + n} for n in range(1, 9)]
    events = [chunk({"index": 0, "delta": {"content": "x"}}, usage=each) for each in counts]
    answer = await answer_to([*events, delta("stop")])
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["output_tokens"] == 8
    assert answer.usage_metadata["total_tokens"] == 15


async def test_a_service_that_does_not_stream_is_understood() -> None:
    message = {"role": "assistant", "content": "x", "tool_calls": [call(ARGUMENTS, "f", id="a")]}
    value = {"id": "c", "choices": [{"message": message, "finish_reason": "stop"}], "usage": USAGE}
    async with serving(lambda path, body: Answer(value=value)) as (_, models):
        answer = await ask(models)
    assert (answer.text, answer.tool_calls[0]["name"]) == ("x", "f")


async def test_what_a_service_sent_along_goes_back() -> None:
    signature = {"google": {"thought_signature": "s1"}}
    events = [
        delta(reasoning_content="first "),
        delta(reasoning_content="thoughts"),
        delta(reasoning_details=[{"index": 0, "type": "reasoning.text", "text": "a"}]),
        delta(reasoning_details=[{"index": 0, "type": "reasoning.text", "text": "b"}]),
        delta(reasoning_details=[{"index": 1, "type": "reasoning.encrypted", "data": "c"}]),
        *calls(call(ARGUMENTS, "f", index=0, id="t", extra_content=signature)),
    ]
    answer = await answer_to(events)
    (sent,) = chat_messages([answer], Capabilities())
    assert sent["reasoning_content"] == "first thoughts"
    assert [each.get("text") or each.get("data") for each in sent["reasoning_details"]] == [
        "ab",
        "c",
    ]
    assert sent["tool_calls"][0]["extra_content"] == signature
    (other,) = chat_messages([answer], Capabilities(reasoning_field="reasoning"))
    assert other["reasoning"] == "first thoughts"
    assert "reasoning_content" not in other
    (none,) = chat_messages([answer], Capabilities(reasoning_field=""))
    assert none.keys() == {"role", "content", "tool_calls"}


PIECES: list[object] = [
    None,
    3,
    "text",
    [],
    {},
    {"choices": None},
    {"choices": [None]},
    {"choices": [{"delta": {"content": ["a", {"type": "text", "text": "b"}, 3]}}]},
    {"choices": [{"delta": {"tool_calls": None}}]},
    {"choices": [{"delta": {"tool_calls": {"function": {"name": "f"}}}}]},
    {"choices": [{"delta": {"tool_calls": [None, {"function": None, "index": "x"}]}}]},
    {"choices": [{"delta": {"function_call": {"name": "f", "arguments": "{}"}}}]},
    {"choices": [{"delta": {"tool_calls": [{"id": 5, "function": {"name": 3}}]}}]},
    {"choices": [{"delta": {"reasoning_content": {"a": 1}}}]},
    {"choices": [{"delta": {"reasoning_content": "t"}}]},
    {"choices": [{"delta": {"reasoning_details": [1, {"text": 3}, {"text": "u"}]}}]},
    {"choices": [], "usage": {"prompt_tokens": None, "total_tokens": "many"}},
    {"usage": USAGE, "id": 7, "model": ["m"]},
]


@pytest.mark.parametrize("seed", range(40))
def test_no_event_breaks_the_reader(seed: int) -> None:
    reader, chance = CompletionReader(), random.Random(seed)
    for event in chance.choices(PIECES, k=12):
        assert isinstance(reader.add(event), str)
    answer = reader.last(done=True)
    assert len({each["id"] for each in answer.tool_calls}) == len(answer.tool_calls)
    chat_messages([answer], Capabilities())


async def test_an_error_in_the_stream_is_told_in_the_words_of_the_service() -> None:
    events = [delta(content="x"), {"error": {"message": "overloaded", "code": 502}}]
    with pytest.raises(ModelError, match="“overloaded”"):
        await answer_to(events)


async def test_what_was_paid_for_an_answer_that_is_of_no_use_is_counted() -> None:
    useless = Answer([delta("stop"), chunk(usage=USAGE)])
    useful = Answer([delta(content="x"), delta("stop"), chunk(usage=USAGE)])
    answers = itertools.chain([useless], itertools.repeat(useful))
    async with serving(lambda path, body: next(answers)) as (_, models):
        spending = Spending(Budget(), INVALID_SPAN)
        await ask(models, spending=spending)
    (usage,) = spending.claim("trader")
    assert (usage.requests, usage.input_tokens, usage.output_tokens) == (2, 14, 6)
