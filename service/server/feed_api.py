"""The API of the feed: what its events hold, and how a client follows it."""

import asyncio
import logging
from http import HTTPStatus
from typing import Annotated

from aiohttp import web
from pydantic import Field

from trading_graph.otel.report.documents.document import Document
from trading_graph.service.server.api_documents import Query
from trading_graph.service.server.clients import following
from trading_graph.service.server.context import SERVICE
from trading_graph.service.server.feed import HelloNews
from trading_graph.service.server.health import HealthReport
from trading_graph.service.server.inputs import query_of
from trading_graph.service.server.openapi import EVENT_STREAM, ApiAnswer, Operation
from trading_graph.service.server.run_events import AnyRunEvent
from trading_graph.service.store import RunState

_LOG = logging.getLogger(__name__)

STALLED_S = 30.0
"""How long a client may take nothing at all, in seconds."""


class RunNews(Document, frozen=True, kw_only=True):
    """Topic `run`: the state of a run has changed; `passed` is the result of its verdict."""

    run_id: str
    state: RunState
    symbol: str
    passed: bool | None


class RunEventsNews(Document, frozen=True, kw_only=True):
    """Topic `run_events`: something happened in a run; the events are numbered from `first`."""

    run_id: str
    first: int
    events: list[AnyRunEvent]


class TraceNews(Document, frozen=True, kw_only=True):
    """Topic `trace`: the trace of another service grows, or was judged, as `state` says."""

    trace_id: str
    state: str
    service: str
    name: str
    passed: bool | None


class FeedQuery(Query):
    """The id of the last event that was seen, as `Last-Event-ID` has it."""

    after: Annotated[str, Field(pattern=r"^[0-9a-f]{1,32}-[0-9]{1,18}$")] = ""


async def follow_feed(request: web.Request) -> web.StreamResponse:
    """Follow everything that changes: server-sent events, resumable by Last-Event-ID."""
    service = request.app[SERVICE]
    last_id = request.headers.get("Last-Event-ID", "") or query_of(request, FeedQuery).after
    response = web.StreamResponse(headers={"Content-Type": EVENT_STREAM, "X-Accel-Buffering": "no"})
    try:
        with following(request):
            await response.prepare(request)
            async for chunk in service.feed.follow(last_id, service.queue.last_events):
                async with asyncio.timeout(STALLED_S):
                    await response.write(chunk)
            await response.write_eof()
    except TimeoutError:
        service.feed.stalled()
        _LOG.info("A client of the feed was dropped: it took nothing for %g s.", STALLED_S)
        if request.transport is not None:
            request.transport.abort()
    except ConnectionError:
        pass  # the client has left
    return response


_NEWS = (HelloNews, RunNews, RunEventsNews, TraceNews, HealthReport)

OPERATIONS = (
    Operation(
        "GET",
        "/v1/feed",
        follow_feed,
        {HTTPStatus.OK: ApiAnswer(_NEWS, EVENT_STREAM)},
        query=FeedQuery,
        headers={"Last-Event-ID": "The id of the last event that was seen."},
    ),
)
