"""The protocol on the wire: chunks over the latency, and errors as JSON."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from typing import Any
from unittest.mock import Mock

import aiohttp
import pytest
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st

from trading_graph.graph.offline_model import OfflineModel
from trading_graph.graph.offline_model.protocol import (
    Head,
    ModelAnswer,
    OutgoingCall,
    TokenCount,
    encode_stream,
)
from trading_graph.graph.offline_model.server import MAX_BODY_BYTES, _from_loopback
from trading_graph.toolkit.loopback import LoopbackServer

LATENCY_S = 0.4
HEAD = Head("chatcmpl-1", "offline-quick", 0)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """A plain HTTP client on an offline model."""
    server = LoopbackServer(OfflineModel(latency_s=LATENCY_S).make_app)
    await asyncio.to_thread(server.start)
    try:
        async with aiohttp.ClientSession(server.url) as client:
            yield client
    finally:
        await asyncio.to_thread(server.stop)


def body(**changes: Any) -> dict[str, Any]:
    """A streamed request of the market analyst that has nothing to report on."""
    messages = [
        {"role": "system", "content": "Agent: market_analyst"},
        {"role": "user", "content": "Symbol: AAPL\nAs of: 2025-11-14"},
    ]
    usage = {"include_usage": True}
    return {
        "model": "offline-quick",
        "messages": messages,
        "stream": True,
        "stream_options": usage,
    } | changes


def tool(name: str) -> dict[str, Any]:
    """An offered tool."""
    return {"type": "function", "function": {"name": name}}


async def stream(client: aiohttp.ClientSession, **changes: Any) -> tuple[list[Any], list[float]]:
    """The chunks of an answer and when each arrived, counted from the request."""
    clock = asyncio.get_running_loop().time
    started = clock()
    chunks, times = [], []
    async with client.post("/v1/chat/completions", json=body(**changes)) as response:
        assert response.status == 200
        assert response.content_type == "text/event-stream"
        async for line in response.content:
            if line.startswith(b"data: "):
                times.append(clock() - started)
                chunks.append(line[6:].strip())
    assert chunks.pop() == b"[DONE]"
    return [json.loads(chunk) for chunk in chunks], times[:-1]


@pytest.mark.parametrize("tools", [[], [tool("get_prices"), tool("get_indicators")]])
async def test_an_answer_spreads_over_its_latency(
    session: aiohttp.ClientSession, tools: list[Any]
) -> None:
    """At least 60 chunks, none early, the first soon and the last content at the latency's end."""
    chunks, times = await stream(session, tools=tools)
    moments = [when for chunk, when in zip(chunks, times, strict=True) if chunk["choices"]]
    content = moments[:-1]  # the last one only says why the answer ends
    assert len(content) >= 60
    assert content[-1] - content[0] >= 0.8 * content[-1]
    assert content[-1] >= LATENCY_S
    for number, when in enumerate(content, 1):
        assert when >= LATENCY_S * number / len(content) - 0.01
    # Absolute deadlines: what is late is not handed on, so the whole is not late by the sum.
    assert content[-1] < 2 * LATENCY_S


async def test_a_stream_ends_as_openai_ends_it(session: aiohttp.ClientSession) -> None:
    """Role first, then content, one reason to finish, and usage in a chunk without choices."""
    chunks, _ = await stream(session)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks[:-1]]
    assert deltas[0]["role"] == "assistant"
    assert deltas[-1] == {}
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks[:-1]] == [
        *[None] * (len(chunks) - 2),
        "stop",
    ]
    assert chunks[-1]["choices"] == []
    usage = chunks[-1]["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 0
    assert len({chunk["id"] for chunk in chunks}) == 1


async def test_a_client_that_leaves_disturbs_nobody(session: aiohttp.ClientSession) -> None:
    """One reader breaks off in the middle; the others and the next one get whole answers."""

    async def leave() -> None:
        async with session.post("/v1/chat/completions", json=body()) as response:
            await response.content.readline()
            response.close()

    whole, _ = await asyncio.gather(stream(session), leave())
    after = await stream(session)
    assert len(whole[0]) == len(after[0])


@pytest.mark.parametrize(
    ("peer", "served"),
    [("127.0.0.1", True), ("::1", True), ("192.0.2.7", False), ("", False)],
)
def test_only_this_machine_is_served(peer: str, served: bool) -> None:
    """A caller from elsewhere is refused, even if someone binds the server to all addresses."""
    transport = Mock()
    transport.get_extra_info = {"peername": (peer, 50000)}.get
    request = make_mocked_request("GET", "/v1/models", transport=transport)
    assert _from_loopback(request) is served


async def test_usage_comes_only_when_asked_for(session: aiohttp.ClientSession) -> None:
    """Without include_usage every chunk has a choice."""
    chunks, _ = await stream(session, stream_options=None)
    assert all(chunk["choices"] for chunk in chunks)


async def test_answers_are_given_at_the_same_time(session: aiohttp.ClientSession) -> None:
    """Twelve requests at once take far less than twelve times as long as one."""
    clock = asyncio.get_running_loop().time
    started = clock()
    await asyncio.gather(*(stream(session) for _ in range(12)))
    assert clock() - started < 6 * LATENCY_S


names = st.sampled_from(["get_prices", "get_ratios"])
calls = st.lists(
    st.builds(OutgoingCall, st.uuids().map(str), names, st.text(min_size=2)), max_size=5
)


@given(st.text(), calls, st.integers(1, 80))
def test_no_character_is_lost_between_the_chunks(
    text: str, tool_calls: list[OutgoingCall], chunks: int
) -> None:
    """The pieces of a stream add up to the answer, in enough pieces and none empty without need."""
    answer = ModelAnswer("" if tool_calls else text, tuple(tool_calls))
    writes = encode_stream(answer, HEAD, chunks, TokenCount(1, 1))
    assert len(writes) >= chunks
    events = [json.loads(line[6:]) for line in b"".join(writes).split(b"\n\n")[:-2]]
    deltas = [event["choices"][0]["delta"] for event in events[:-1]]
    output = "".join(delta.get("content", "") for delta in deltas)
    arguments = [""] * len(tool_calls)
    empty = 0
    for delta in deltas:
        for piece in delta.get("tool_calls", ()):
            arguments[piece["index"]] += piece["function"]["arguments"]
            empty += "id" not in piece and not piece["function"]["arguments"]
    assert output == answer.text
    assert arguments == [call.arguments for call in tool_calls]
    if sum(map(len, arguments)) >= chunks:
        assert empty == 0


async def test_the_models_are_listed(session: aiohttp.ClientSession) -> None:
    """GET /v1/models names both models."""
    async with session.get("/v1/models") as response:
        document = await response.json()
    assert [model["id"] for model in document["data"]] == ["offline-quick", "offline-deep"]


async def refusal(
    client: aiohttp.ClientSession, data: Any, path: str = "/v1/chat/completions"
) -> tuple[int, str]:
    """The status and the message of a refused request."""
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    async with client.post(path, data=io.BytesIO(raw)) as response:
        assert response.content_type == "application/json"
        error = (await response.json())["error"]
    assert {"message", "type", "param", "code"} == set(error)
    assert "Traceback" not in error["message"]
    return response.status, error["message"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not json",
        b"\xff\xfe",
        b"[" * 100_000,
        [],
        {},
        {"model": "m", "messages": "hello"},
        {"model": "m", "messages": [{"role": "user", "content": 7}]},
        {"model": "m", "messages": [], "tools": [{"function": None}]},
        {"model": "m", "messages": []},
        {"model": "m", "messages": [{"role": "user", "content": "hello"}]},
        {"model": "m", "messages": [{"role": "system", "content": "Agent: nobody"}]},
        {"model": "m", "messages": [{"role": "system", "content": "Agent: market_analyst"}]},
        {"model": "m", "messages": [{"role": "system", "content": "Agent: trader"}]},
        {"model": "m", "messages": [{"role": "system", "content": "Agent: neutral_risk_analyst"}]},
    ],
    ids=lambda data: str(data)[:40],
)
async def test_a_broken_request_gets_a_sentence(session: aiohttp.ClientSession, data: Any) -> None:
    """Status 400 and OpenAI's error JSON, whatever is wrong."""
    request = {"stream": True, **data} if isinstance(data, dict) else data
    status, message = await refusal(session, request)
    assert status == 400
    assert message.endswith((".", "'messages'."))


async def test_a_trader_that_is_not_forced_is_refused(session: aiohttp.ClientSession) -> None:
    """A decider's prompt without its schema is a mistake of the caller, and said to be one."""
    messages = [{"role": "system", "content": "Agent: trader"}]
    status, message = await refusal(session, {"model": "m", "messages": messages, "stream": True})
    assert status == 400
    assert "TradeProposal" in message


async def test_a_request_for_an_answer_in_one_piece_is_refused(
    session: aiohttp.ClientSession,
) -> None:
    """A client that did not ask for a stream could not read one."""
    status, message = await refusal(session, {"model": "m", "messages": []})
    assert status == 400
    assert "stream=true" in message


async def test_a_huge_body_is_refused(session: aiohttp.ClientSession) -> None:
    """More than the limit is not read into memory."""
    status, _ = await refusal(session, b" " * (MAX_BODY_BYTES + 1))
    assert status == 413


async def test_a_wrong_path_is_refused(session: aiohttp.ClientSession) -> None:
    """An endpoint that is not there gets an error that the client understands."""
    status, message = await refusal(session, {}, "/v1/responses")
    assert status == 404
    assert "/v1/chat/completions" in message


async def test_many_unclosed_blocks_cost_linear_time(session: aiohttp.ClientSession) -> None:
    """A prompt made to be slow to read is read at once."""
    messages = [
        {"role": "system", "content": "Agent: bull_researcher"},
        {"role": "user", "content": "<report agent=x>" * 60_000},
    ]
    chunks, times = await stream(session, messages=messages)
    assert len(chunks) >= 60
    assert times[-1] < 3 * LATENCY_S


@pytest.mark.parametrize(("latency_s", "chunks"), [(-1, 60), (0.8, 0)])
def test_an_impossible_setting_is_refused(latency_s: float, chunks: int) -> None:
    """No negative latency, and at least one chunk."""
    with pytest.raises(ValueError, match="latency of 0 or more"):
        OfflineModel(latency_s=latency_s, chunks=chunks)
