"""The feed: one stream of everything, for many watchers; who reads too slowly is dropped alone."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from tests.patience import PATIENCE_S
from tests.service.server.open_service import Service, opened
from trading_graph.service.server import feed as feed_module
from trading_graph.service.server import feed_api
from trading_graph.service.server.app import all_operations
from trading_graph.service.server.feed import Feed
from trading_graph.service.server.openapi import openapi


@dataclass(frozen=True, slots=True)
class News:
    """An event of the feed as a client reads it."""

    topic: str
    id: str
    data: dict[str, Any]


def read_news(stream: bytes) -> list[News]:
    found = []
    for block in stream.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines())
        if fields:
            found.append(News(fields["event"], fields.get("id", ""), json.loads(fields["data"])))
    return found


async def take(stream: AsyncIterator[bytes], many: int) -> list[News]:
    """The next events but beats, at least so many."""
    found: list[News] = []
    async with asyncio.timeout(PATIENCE_S):
        while len(found) < many:
            news = read_news(await anext(stream))
            found += [each for each in news if each.topic != "beat"]
    return found


async def holds(condition: Callable[[], bool]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - many conditions, and no event for each
            await asyncio.sleep(0.01)


def nobody() -> dict[str, int]:
    return {}


async def test_who_follows_gets_what_is_published_from_then_on() -> None:
    feed = Feed()
    feed.publish("trace", {"trace_id": "before"})
    stream = feed.follow("", lambda: {"r": 7})
    (hello,) = await take(stream, 1)
    assert (hello.topic, hello.data) == ("hello", {"missed": False, "runs": {"r": 7}})
    feed.publish("trace", {"trace_id": "a"})
    feed.publish("run", {"run_id": "b"})
    news = await take(stream, 2)
    assert [(each.topic, each.data) for each in news] == [
        ("trace", {"trace_id": "a"}),
        ("run", {"run_id": "b"}),
    ]


async def test_who_comes_back_misses_none_and_gets_none_twice() -> None:
    feed = Feed()
    stream = feed.follow("", nobody)
    (hello,) = await take(stream, 1)
    numbers, last = [], hello.id
    for number in range(12):
        feed.publish("trace", {"number": number})
        if number % 3 == 0:
            await stream.aclose()  # type: ignore[attr-defined]
            stream = feed.follow(last, nobody)
            (hello, *news) = await take(stream, 2)
            assert not hello.data["missed"]
        else:
            news = await take(stream, 1)
        numbers += [each.data["number"] for each in news]
        last = news[-1].id
    assert numbers == list(range(12))


@pytest.mark.parametrize("last_id", ["1-1", "x", "-", "0-99999999999999999999", "1" * 400])
async def test_an_id_of_another_process_begins_anew_and_says_so(last_id: str) -> None:
    feed = Feed()
    feed.publish("trace", {})
    (hello,) = await take(feed.follow(last_id, nobody), 1)
    assert hello.data["missed"] is True


async def test_events_that_are_not_kept_any_more_are_missed() -> None:
    feed = Feed(kept=4)
    (hello,) = await take(feed.follow("", nobody), 1)
    for number in range(20):
        feed.publish("trace", {"number": number})
    (again,) = await take(feed.follow(hello.id, nobody), 1)
    assert again.data["missed"] is True


async def test_one_that_reads_too_slowly_is_dropped_with_a_reason_and_no_other() -> None:
    feed = Feed(kept=8)
    slow, quick = feed.follow("", nobody), feed.follow("", nobody)
    await take(slow, 1)
    await take(quick, 1)
    numbers = []
    for number in range(100):
        feed.publish("trace", {"number": number})
        numbers += [each.data["number"] for each in await take(quick, 1)]
    assert numbers == list(range(100))
    (dropped,) = await take(slow, 1)
    assert dropped.topic == "dropped"
    assert "come back" in dropped.data["reason"]
    with pytest.raises(StopAsyncIteration):
        await anext(slow)
    assert (feed.drops, feed.watchers) == (1, 1)


async def test_an_event_is_encoded_once_for_two_hundred_watchers() -> None:
    feed = Feed()
    streams = [feed.follow("", nobody) for _ in range(200)]
    for stream in streams:
        await take(stream, 1)
    assert feed.watchers == 200
    feed.publish("trace", {"name": "x" * 10_000})
    chunks = [await anext(stream) for stream in streams]
    # Joined from one piece, bytes are that piece.
    assert len({id(chunk) for chunk in chunks}) == 1


async def test_a_silent_stream_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "BEAT_S", 0.01)
    stream = Feed().follow("", nobody)
    await anext(stream)
    assert [each.topic for each in read_news(await anext(stream))] == ["beat"]


async def read_until(service: Service, path: str, topic: str, **headers: str) -> list[News]:
    """What a client of the feed gets until an event of a topic."""
    found: list[News] = []
    async with asyncio.timeout(PATIENCE_S), service.http.get(path, headers=headers) as answer:
        assert answer.content_type == "text/event-stream"
        block = b""
        async for line in answer.content:
            block += line
            if line == b"\n":
                found += read_news(block)
                block = b""
                if found[-1].topic == topic:
                    return found
    return found


async def test_a_run_is_told_from_its_queueing_to_its_end(tmp_path: Path) -> None:
    async with opened(tmp_path, chat_latency_s=0.05) as service:
        begin = (await read_until(service, "/v1/feed", "hello"))[0].id
        run = await service.start()
        await service.over(run["id"])
        stored = await service.events(run["id"])
        news = await follow_to_end(service, begin, run["id"])
    states = [each.data["state"] for each in news if each.topic == "run"]
    assert states == ["queued", "running", "done"]
    told = [
        {"id": each.data["first"] + at, **event}
        for each in news
        if each.topic == "run_events"
        for at, event in enumerate(each.data["events"])
    ]
    assert told == stored, "the same events with the same numbers as the run's own stream has"


async def follow_to_end(service: Service, after: str, run_id: str) -> list[News]:
    """What the feed tells after an event, to the last state of a run."""
    found: list[News] = []
    async with asyncio.timeout(PATIENCE_S):
        async with service.http.get(f"/v1/feed?after={after}") as answer:
            block = b""
            async for line in answer.content:
                block += line
                if line == b"\n":
                    found += read_news(block)
                    block = b""
                    if found[-1].data.get("state") == "done":
                        return found
    return found


async def test_each_event_is_as_the_openapi_document_says(tmp_path: Path) -> None:
    document = openapi(all_operations(), "1")
    answers = document["paths"]["/v1/feed"]["get"]["responses"]
    event = answers["200"]["content"]["text/event-stream"]["schema"]
    schema = event["properties"]["data"]["contentSchema"]
    here = jsonschema_rs.Draft202012Validator({**schema, "components": document["components"]})
    async with opened(tmp_path) as service:
        begin = (await read_until(service, "/v1/feed", "hello"))[0].id
        run = await service.start()
        news = await follow_to_end(service, begin, run["id"])
    assert {each.topic for each in news} >= {"hello", "run", "run_events"}
    for each in news:
        if each.topic != "beat":
            here.validate(each.data)
    assert not here.is_valid({"run_id": "1", "state": "asleep", "symbol": "A", "passed": None})


async def test_the_end_of_the_service_ends_the_streams(tmp_path: Path) -> None:
    async with opened(tmp_path, begun=False) as service:
        following = asyncio.create_task(read_until(service, "/v1/feed", "closing"))
        await holds(lambda: service.parts.feed.watchers == 1)
        service.parts.feed.close()
        assert (await following)[-1].topic == "closing"


async def test_one_that_takes_nothing_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_api, "STALLED_S", 0.1)
    async with opened(tmp_path, begun=False) as service:
        feed = service.parts.feed
        port = int(service.url.rpartition(":")[2])
        _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
        writer.write(b"GET /v1/feed HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        await holds(lambda: feed.watchers == 1)

        def flooded() -> bool:
            feed.publish("trace", {"name": "x" * 200_000})
            return feed.drops == 1

        await holds(flooded)
        await holds(lambda: feed.watchers == 0)
        writer.close()
        assert await service.get("/healthz") == {"status": "ok"}, "the others do not notice"


async def test_a_query_that_is_no_id_is_refused(tmp_path: Path) -> None:
    async with opened(tmp_path, begun=False) as service:
        await service.get("/v1/feed?after=x", 422)
        await service.get("/v1/feed?before=1-1", 422)
