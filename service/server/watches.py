"""The watches: services in Jaeger whose traces are judged as they arrive, and the API for them.

A trace that has settled in Jaeger is handed to the receiver, which keeps and judges it like one
that a program has sent.
"""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus

from aiohttp import web

from trading_graph.otel.errors import TraceError
from trading_graph.otel.sources.jaeger_query import JaegerQuery
from trading_graph.service.errors import StoreUnavailableError
from trading_graph.service.server.api_documents import WatchDocument, WatchList
from trading_graph.service.server.base_path import address
from trading_graph.service.server.context import SERVICE
from trading_graph.service.server.openapi import ApiAnswer, Operation, ok
from trading_graph.service.server.problems import Problem
from trading_graph.service.server.receiving.errors import MalformedMessageError, ReceiverBusyError
from trading_graph.service.server.receiving.ledger import Body
from trading_graph.service.server.receiving.message import JAEGER
from trading_graph.service.server.receiving.receiver import Receiver
from trading_graph.service.store import Store, StoredWatch, now
from trading_graph.service.watching import PollBackoff, SettledTrace, TraceWatch

_LOG = logging.getLogger(__name__)

MOST = 32
"""Maximum number of watched services."""

_ANSWER = 8 * 2**20
"""The largest answer of Jaeger that is read in this process, in bytes. Reading it blocks the event
loop for 55 ms, and one of twice the size for 114 ms; a verdict allows the runs beside it 100 ms."""
_TIMEOUT_S = 5.0
_DAY_S = 86_400.0


@dataclass(slots=True)
class Watch:
    """A watch that runs; `patience` holds its problem, if there is one."""

    stored: StoredWatch
    patience: PollBackoff = field(default_factory=PollBackoff)
    task: asyncio.Task[None] | None = None


class Watches:
    """All watches of this service; those of the setting are always there."""

    def __init__(
        self,
        store: Store,
        receiver: Receiver,
        jaeger_url: str,
        *,
        always: Sequence[str],
        keep_days: float,
    ) -> None:
        self._store = store
        self._receiver = receiver
        self._jaeger = JaegerQuery(jaeger_url, timeout_s=_TIMEOUT_S, max_bytes=_ANSWER)
        self._always = always
        self._keep_s = keep_days * _DAY_S
        self._live: dict[str, Watch] = {}
        self._changing = asyncio.Lock()

    async def start(self) -> None:
        """Begin the stored watches and those of the setting."""
        for service in self._always:
            await self._store.keep_watch(StoredWatch(service, now(), setting=True))
        for stored in await self._store.watches():
            if stored.setting and stored.service not in self._always:
                await self._store.forget_watch(stored.service)
            else:
                self._begin(stored)

    async def close(self) -> None:
        """Stop all watches; they stay in the store."""
        for service in list(self._live):
            await self._end(service)

    def all(self) -> list[Watch]:
        """The watches, by name of the service."""
        return sorted(self._live.values(), key=lambda watch: watch.stored.service)

    def get(self, service: str) -> Watch | None:
        """The watch of a service."""
        return self._live.get(service)

    async def add(self, service: str) -> tuple[Watch, bool]:
        """Watch a service from now on; true if that is new. Raises Problem."""
        async with self._changing:
            if service in self._live:
                return self._live[service], False
            if len(self._live) >= MOST:
                raise Problem(
                    HTTPStatus.CONFLICT,
                    f"{MOST} services are watched already; end one with DELETE.",
                )
            stored = StoredWatch(service, now(), setting=False)
            await self._store.keep_watch(stored)
            return self._begin(stored), True

    async def remove(self, service: str) -> None:
        """End the watch of a service; its verdicts stay."""
        async with self._changing:
            await self._store.forget_watch(service)
            await self._end(service)

    def _begin(self, stored: StoredWatch) -> Watch:
        watch = self._live[stored.service] = Watch(stored)
        watch.task = asyncio.create_task(self._follow(watch), name=f"watch {stored.service}")
        return watch

    async def _end(self, service: str) -> None:
        watch = self._live.pop(service, None)
        if watch is not None and watch.task is not None:
            watch.task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watch.task

    async def _follow(self, watch: Watch) -> None:
        service, patience = watch.stored.service, watch.patience
        polled: TraceWatch | None = None
        try:
            while True:
                try:
                    polled = polled or await self._trace_watch(watch.stored)
                    for arrived in await asyncio.to_thread(polled.poll):
                        await self._take(service, polled, arrived)
                except ReceiverBusyError:
                    pass  # A later poll takes the trace.
                except (TraceError, MalformedMessageError, StoreUnavailableError, OSError) as error:
                    if patience.note_failure(str(error)):
                        _LOG.warning("Watching %s: %s", service, error)
                except Exception as error:
                    # One bad trace must not end the watch silently.
                    if patience.note_failure(
                        f"The watch failed ({type(error).__name__}); see the log."
                    ):
                        _LOG.error("Watching %s failed", service, exc_info=error)
                else:
                    if patience.note_success():
                        _LOG.info("Watching %s: it works again.", service)
                await asyncio.sleep(patience.wait_s)
        finally:
            if polled is not None:
                polled.close()

    async def _trace_watch(self, stored: StoredWatch) -> TraceWatch:
        """A watch that looks back to the newest trace that has a verdict."""
        newest = await self._store.verdicts(service=stored.service, limit=1)
        look_from = max(newest[0].started if newest else stored.since, now() - self._keep_s)
        return TraceWatch(self._jaeger, stored.service, stored.since, look_from)

    async def _take(self, service: str, polled: TraceWatch, arrived: SettledTrace) -> None:
        """Hand a trace to the receiver, once; the service's own runs have their verdicts."""
        trace_id = arrived.trace.trace_id
        earlier = await self._store.verdict(trace_id) or await self._store.runs_of_trace(trace_id)
        if not earlier:
            answer = await asyncio.to_thread(self._jaeger.answer, trace_id)
            if answer is not None:  # else Jaeger has forgotten it
                with self._receiver.room(len(answer)):
                    body = Body(answer, "identity", JAEGER, is_whole=True, service=service)
                    await self._receiver.take(body)
        polled.mark_done(trace_id)


_LONGEST = 200


def watch_document(watch: Watch) -> WatchDocument:
    """The document of a watch."""
    return WatchDocument(
        service=watch.stored.service,
        since=datetime.fromtimestamp(watch.stored.since, UTC),
        by_setting=watch.stored.setting,
        problem=watch.patience.problem,
    )


async def list_watches(request: web.Request) -> WatchList:
    """The services whose traces are judged as they arrive."""
    watches = request.app[SERVICE].watches.all()
    return WatchList(watches=[watch_document(watch) for watch in watches])


async def put_watch(request: web.Request) -> web.Response:
    """Judge the traces of a service as they arrive in Jaeger, from now on."""
    watch, created = await request.app[SERVICE].watches.add(_service(request))
    status = HTTPStatus.CREATED if created else HTTPStatus.OK
    return web.json_response(text=watch_document(watch).model_dump_json(), status=status)


async def delete_watch(request: web.Request) -> web.Response:
    """Judge the traces of a service no longer; the verdicts that there are stay."""
    watches, service = request.app[SERVICE].watches, _service(request)
    watch = watches.get(service)
    if watch is None:
        raise Problem(
            HTTPStatus.NOT_FOUND,
            f"No service of that name is watched; {address('/v1/watches')} lists those that are.",
        )
    if watch.stored.setting:
        raise Problem(
            HTTPStatus.CONFLICT,
            "This watch is asked for by TRADING_GRAPH_SERVE_WATCH; change that, and start the "
            "service again.",
        )
    await watches.remove(service)
    return web.Response(status=HTTPStatus.NO_CONTENT)


def _service(request: web.Request) -> str:
    name = request.match_info["service"]
    if not name.isprintable() or not name.strip() or len(name) > _LONGEST:
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            f"A service's name has 1 to {_LONGEST} printable characters; send such a one.",
        )
    return name


_WATCH = "/v1/watches/{service}"
_REFUSED = (HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY)

OPERATIONS = (
    Operation("GET", "/v1/watches", list_watches, ok(WatchList)),
    Operation(
        "PUT",
        _WATCH,
        put_watch,
        {
            HTTPStatus.CREATED: ApiAnswer((WatchDocument,), what="It is watched from now on."),
            HTTPStatus.OK: ApiAnswer((WatchDocument,), what="It was watched before."),
        },
        fails=_REFUSED,
    ),
    Operation("DELETE", _WATCH, delete_watch, {HTTPStatus.NO_CONTENT: ApiAnswer()}, fails=_REFUSED),
)
