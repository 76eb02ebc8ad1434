"""The services whose traces are judged as they arrive: followed, listed, added and removed."""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

from aiohttp import web

from trading_graph.otel.errors import TraceError
from trading_graph.otel.report.documents.document import encode
from trading_graph.otel.report.documents.verdict import unjudged_document
from trading_graph.otel.sources.jaeger import JaegerQuery
from trading_graph.service.errors import StoreUnavailable
from trading_graph.service.server.context import SERVICE
from trading_graph.service.server.documents import WatchDocument, WatchList, utc
from trading_graph.service.server.judging import Judged, Judging
from trading_graph.service.server.operations import Answer, Operation
from trading_graph.service.server.problems import Problem
from trading_graph.service.store import Store, StoredVerdict, StoredWatch, now
from trading_graph.service.watching import Arrived, Patience, TraceWatch

_LOG = logging.getLogger(__name__)

MOST = 32
"""So many services may be watched."""

_ANSWER = 8 * 2**20
"""The largest answer of Jaeger that is read in this process. To read it holds up the event loop for
55 ms, and one of twice the size for 114 ms; a verdict allows the runs beside it 100 ms."""
_TIMEOUT_S = 5.0
_DAY_S = 86_400.0


class TooManyWatches(Exception):
    """As many services are watched as may be."""


class NoJudgeFree(Exception):
    """Requests hold every place in line; the trace is judged at a later poll."""


@dataclass(slots=True)
class Watch:
    """A watch that runs; `patience` knows what is wrong with it, if anything."""

    kept: StoredWatch
    patience: Patience = field(default_factory=Patience)
    task: asyncio.Task[None] | None = None


class Watches:
    """All watches of a service; those that a setting asks for are always there."""

    def __init__(
        self,
        store: Store,
        judging: Judging,
        jaeger_url: str,
        *,
        always: Sequence[str],
        keep_days: float,
    ) -> None:
        self._store = store
        self._judging = judging
        self._jaeger = JaegerQuery(jaeger_url, timeout_s=_TIMEOUT_S, max_bytes=_ANSWER)
        self._always = always
        self._keep_s = keep_days * _DAY_S
        self._live: dict[str, Watch] = {}
        self._changing = asyncio.Lock()

    async def start(self) -> None:
        """Go on with the watches that are kept and begin those of the setting."""
        for service in self._always:
            await self._store.keep_watch(StoredWatch(service, now(), setting=True))
        for kept in await self._store.watches():
            if kept.setting and kept.service not in self._always:
                await self._store.forget_watch(kept.service)
            else:
                self._begin(kept)

    async def close(self) -> None:
        """Stop all; what is kept stays."""
        for service in list(self._live):
            await self._end(service)

    def all(self) -> list[Watch]:
        """The watches, by name of the service."""
        return sorted(self._live.values(), key=lambda watch: watch.kept.service)

    def get(self, service: str) -> Watch | None:
        """The watch of a service."""
        return self._live.get(service)

    async def add(self, service: str) -> tuple[Watch, bool]:
        """Watch a service from now on, and say whether that is new; raises TooManyWatches."""
        async with self._changing:
            if service in self._live:
                return self._live[service], False
            if len(self._live) >= MOST:
                raise TooManyWatches
            kept = StoredWatch(service, now(), setting=False)
            await self._store.keep_watch(kept)
            return self._begin(kept), True

    async def remove(self, service: str) -> None:
        """Watch a service no longer; the verdicts that there are stay."""
        async with self._changing:
            await self._store.forget_watch(service)
            await self._end(service)

    def _begin(self, kept: StoredWatch) -> Watch:
        watch = self._live[kept.service] = Watch(kept)
        watch.task = asyncio.create_task(self._follow(watch), name=f"watch {kept.service}")
        return watch

    async def _end(self, service: str) -> None:
        watch = self._live.pop(service, None)
        if watch is not None and watch.task is not None:
            watch.task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watch.task

    async def _follow(self, watch: Watch) -> None:
        service, patience = watch.kept.service, watch.patience
        polled: TraceWatch | None = None
        try:
            while True:
                try:
                    polled = polled or await self._resumed(watch.kept)
                    for arrived in await asyncio.to_thread(polled.poll):
                        await self._judge(service, polled, arrived)
                except NoJudgeFree:
                    pass
                except (TraceError, StoreUnavailable) as error:
                    if patience.failed(str(error)):
                        _LOG.warning("Watching %s: %s", service, error)
                except Exception as error:
                    # One trace that trips this up must not end the watch without a word.
                    if patience.failed(f"The watch failed ({type(error).__name__}); see the log."):
                        _LOG.error("Watching %s failed", service, exc_info=error)
                else:
                    if patience.worked():
                        _LOG.info("Watching %s: it works again.", service)
                await asyncio.sleep(patience.wait_s)
        finally:
            if polled is not None:
                polled.close()

    async def _resumed(self, kept: StoredWatch) -> TraceWatch:
        """A watch that looks back to the newest trace that was judged before."""
        newest = await self._store.verdicts(service=kept.service, limit=1)
        look_from = max(newest[0].started if newest else kept.since, now() - self._keep_s)
        return TraceWatch(self._jaeger, kept.service, kept.since, look_from)

    async def _judge(self, service: str, polled: TraceWatch, arrived: Arrived) -> None:
        """Judge a trace and keep the verdict, once; the service's own runs have theirs."""
        trace_id = arrived.trace.trace_id
        known = await self._store.verdict(trace_id) or await self._store.runs_of_trace(trace_id)
        if not known:
            judged = await self._judged(trace_id, len(arrived.trace))
            if judged is not None:
                await self._store.keep_verdict(
                    StoredVerdict(
                        id=trace_id,
                        trace_id=trace_id,
                        service=service,
                        name=arrived.name,
                        started=arrived.started,
                        seconds=arrived.seconds,
                        passed=judged.passed,
                        judged=now(),
                        document=judged.text.decode(),
                    )
                )
        polled.done(trace_id)

    async def _judged(self, trace_id: str, spans: int) -> Judged | None:
        """The verdict, or None where Jaeger has forgotten the trace."""
        words = ["verify", "--from=jaeger", "--format=json", "--", trace_id]
        try:
            async with self._judging.place() as folder:
                return await self._judging.command(words, folder)
        except Problem as problem:
            if problem.status == HTTPStatus.SERVICE_UNAVAILABLE:
                raise NoJudgeFree from None
            if not await asyncio.to_thread(self._jaeger.has, trace_id):
                return None
            # It would fail as well the next time: kept as a trace that cannot be judged.
            document = unjudged_document(trace_id, spans, problem.detail)
            return Judged(encode(document).encode(), None)


_LONGEST = 200


def watch_document(watch: Watch) -> WatchDocument:
    """A watch as the API tells it."""
    return WatchDocument(
        service=watch.kept.service,
        since=utc(watch.kept.since),
        by_setting=watch.kept.setting,
        problem=watch.patience.problem,
    )


async def listed(request: web.Request) -> web.Response:
    """All watches."""
    found = [watch_document(watch) for watch in request.app[SERVICE].watches.all()]
    return web.json_response(text=WatchList(watches=found).model_dump_json())


async def put(request: web.Request) -> web.Response:
    """Watch a service, from now on where it is not watched yet."""
    try:
        watch, created = await request.app[SERVICE].watches.add(_service(request))
    except TooManyWatches:
        raise Problem(
            HTTPStatus.CONFLICT, f"{MOST} services are watched already; end one with DELETE."
        ) from None
    status = HTTPStatus.CREATED if created else HTTPStatus.OK
    return web.json_response(text=watch_document(watch).model_dump_json(), status=status)


async def delete(request: web.Request) -> web.Response:
    """Watch a service no longer."""
    watches, service = request.app[SERVICE].watches, _service(request)
    watch = watches.get(service)
    if watch is None:
        raise Problem(
            HTTPStatus.NOT_FOUND,
            "No service of that name is watched; /v1/watches lists those that are.",
        )
    if watch.kept.setting:
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

OPERATIONS = (
    Operation(
        "GET",
        "/v1/watches",
        listed,
        "listWatches",
        "The services whose traces are judged as they arrive.",
        {HTTPStatus.OK: Answer("The watches.", WatchList)},
    ),
    Operation(
        "PUT",
        _WATCH,
        put,
        "putWatch",
        "Judge the traces of a service as they arrive in Jaeger, from now on.",
        {
            HTTPStatus.CREATED: Answer("It is watched from now on.", WatchDocument),
            HTTPStatus.OK: Answer("It was watched before.", WatchDocument),
        },
        fails=(HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY),
    ),
    Operation(
        "DELETE",
        _WATCH,
        delete,
        "deleteWatch",
        "Judge the traces of a service no longer; the verdicts that there are stay.",
        {HTTPStatus.NO_CONTENT: Answer("It is not watched any more.")},
        fails=(HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY),
    ),
)
