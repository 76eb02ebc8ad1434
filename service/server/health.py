"""The health of what the service stands on: Jaeger, the spool, the queue, the disk and the store.

Each part has a level, what was found, and, where it is not good, what to do next. While somebody
follows the feed, a report is made every few seconds, and published when it says something else.
"""

import asyncio
import datetime
import time
from collections.abc import Callable, Sequence
from enum import StrEnum
from http import HTTPStatus
from pathlib import Path

from aiohttp import web
from pydantic import BaseModel

from trading_graph.otel.export import JAEGER, jaeger_is_enabled
from trading_graph.otel.export.spool import MAX_BYTES, Spool
from trading_graph.otel.sources.jaeger_query import JaegerQuery
from trading_graph.service.errors import StoreFileGoneError, StoreUnavailableError
from trading_graph.service.server.context import SERVICE
from trading_graph.service.server.disk_room import DiskRoom
from trading_graph.service.server.feed import Feed
from trading_graph.service.server.openapi import ApiAnswer, Operation
from trading_graph.service.server.run_queue import RunQueue
from trading_graph.service.settings import Settings
from trading_graph.service.store import Store

EVERY_S = 10.0
"""Time between two reports while somebody follows the feed."""

_FRESH_S = 5.0
_GIB = 2**30
DISK_WARN = 2 * _GIB
"""Free bytes below which the disk is watched; `DiskRoom` says when no run begins any more."""
SPOOL_BAD = 0.8
"""The share of the spool that may be full before spans are in danger."""
QUEUE_WARN = 0.8
"""The share of the line that may be taken before newcomers are in danger of a refusal."""
STORE_WARN_S = 0.5
"""How long a write to the store may take."""


class HealthLevel(StrEnum):
    """How well something is: `warn` needs somebody to look, and `bad` to act."""

    GOOD = "good"
    WARN = "warn"
    BAD = "bad"


class JaegerUse(StrEnum):
    """What the service has of Jaeger."""

    ANSWERS = "answers"
    SILENT = "silent"
    """It is asked for, and does not answer."""
    UNUSED = "unused"
    """Nobody asked for one, and none answers."""


class HealthPart(StrEnum):
    """What the service stands on."""

    JAEGER = "Jaeger"
    SPOOL = "Spool"
    QUEUE = "Queue"
    DISK = "Disk"
    STORE = "Store"


class PartHealth(BaseModel):
    """The health of one part: what was found, and what to do next unless all is well."""

    part: HealthPart
    level: HealthLevel
    finding: str
    advice: str | None = None


class HealthReport(BaseModel):
    """The health of all parts; `level` is the worst of theirs."""

    level: HealthLevel
    checked: datetime.datetime
    parts: list[PartHealth]


class HealthChecks:
    """Makes reports, one at a time however many ask.

    `needs_jaeger` is false where spans may stay in the files of their runs: offline, while nobody
    has said where a Jaeger is.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        queue: RunQueue,
        feed: Feed,
        room: DiskRoom,
        *,
        needs_jaeger: bool,
    ) -> None:
        self._settings = settings
        self._needs_jaeger = needs_jaeger
        self._store = store
        self._queue = queue
        self._feed = feed
        self._room = room
        self._checking = asyncio.Lock()
        self._last: HealthReport | None = None
        self._at = 0.0

    async def report(self, max_age_s: float = _FRESH_S) -> HealthReport:
        """A report that is not older than this."""
        async with self._checking:
            if self._last is None or time.monotonic() - self._at > max_age_s:
                self._last = await self._check()
                self._at = time.monotonic()
            return self._last

    async def publish(self) -> None:
        """Publish each report that says something else than the one before, until cancelled."""
        told: Sequence[PartHealth] = ()
        while True:
            if self._feed.watchers:
                report = await self.report(EVERY_S / 2)
                if report.parts != told:
                    told = report.parts
                    self._feed.publish("health", report.model_dump(mode="json"))
            await asyncio.sleep(EVERY_S)

    async def _check(self) -> HealthReport:
        use = await asyncio.to_thread(self._jaeger_use)
        spool, disk = await asyncio.gather(
            asyncio.to_thread(_unfailing, HealthPart.SPOOL, lambda: self._spool(use)),
            asyncio.to_thread(_unfailing, HealthPart.DISK, self._disk),
        )
        parts = [self._jaeger(use), spool, self._line(), disk, await self._store_health()]
        order = list(HealthLevel)
        level = max((each.level for each in parts), key=order.index)
        return HealthReport(level=level, checked=datetime.datetime.now(datetime.UTC), parts=parts)

    def _jaeger_use(self) -> JaegerUse:
        if JaegerQuery(self._settings.jaeger_url).answers():
            return JaegerUse.ANSWERS
        is_asked_for = self._needs_jaeger and jaeger_is_enabled()
        return JaegerUse.SILENT if is_asked_for else JaegerUse.UNUSED

    def _jaeger(self, use: JaegerUse) -> PartHealth:
        url = self._settings.shown_jaeger
        if use is JaegerUse.ANSWERS:
            return _good(HealthPart.JAEGER, "answers")
        if use is JaegerUse.UNUSED:
            return _good(HealthPart.JAEGER, "is not used")
        return PartHealth(
            part=HealthPart.JAEGER,
            level=HealthLevel.WARN,
            finding=f"does not answer at {url}",
            advice="Start it (docker compose -f deploy/jaeger.yml up), or set "
            "TRADING_GRAPH_JAEGER_URL. Runs go on; their spans wait in the spool.",
        )

    def _spool(self, use: JaegerUse) -> PartHealth:
        folder = self._settings.spool
        spools = (
            [Spool(each) for each in folder.iterdir() if each.is_dir()] if folder.is_dir() else []
        )
        is_unneeded = use is JaegerUse.UNUSED and not self._needs_jaeger
        if is_unneeded:
            # The traces are in the files of their runs, and nobody asked for more.
            spools = [spool for spool in spools if spool.folder.name != JAEGER.lower()]
        spans = sum(spool.spans for spool in spools)
        lost = sum(spool.evictions for spool in spools)
        size = max((_size(spool.folder) for spool in spools), default=0)
        if lost:
            return PartHealth(
                part=HealthPart.SPOOL,
                level=HealthLevel.BAD,
                finding=f"was full: {lost:,} spans are lost, {spans:,} wait",
                advice="Bring the backend back, and send what waits: trading-graph replay",
            )
        if not spans:
            return _good(HealthPart.SPOOL, "nothing has to be sent" if is_unneeded else "is empty")
        full = size >= SPOOL_BAD * MAX_BYTES
        return PartHealth(
            part=HealthPart.SPOOL,
            level=HealthLevel.BAD if full else HealthLevel.WARN,
            finding=f"holds {spans:,} spans, {size / MAX_BYTES:.0%} full",
            advice="They are sent when it answers again; trading-graph replay does it now.",
        )

    def _line(self) -> PartHealth:
        queue, settings = self._queue, self._settings
        running, waiting = queue.running, queue.waiting
        finding = f"{running} of {settings.serve_runs_at_once} run, {waiting} wait"
        places = settings.serve_runs_at_once + settings.serve_runs_in_line
        if queue.closing:
            return PartHealth(
                part=HealthPart.QUEUE,
                level=HealthLevel.BAD,
                finding=f"closed: {finding}",
                advice="The service is stopping; start it again.",
            )
        if running + waiting >= places:
            return PartHealth(
                part=HealthPart.QUEUE,
                level=HealthLevel.BAD,
                finding=f"full: {finding}",
                advice="New runs are refused; wait, cancel some, or raise "
                "TRADING_GRAPH_SERVE_RUNS_IN_LINE.",
            )
        if running + waiting >= QUEUE_WARN * places and waiting:
            return PartHealth(
                part=HealthPart.QUEUE,
                level=HealthLevel.WARN,
                finding=f"nearly full: {finding}",
                advice="Soon new runs are refused; raise TRADING_GRAPH_SERVE_RUNS_AT_ONCE if the "
                "machine and the model allow it.",
            )
        return _good(HealthPart.QUEUE, finding)

    def _disk(self) -> PartHealth:
        free = self._room.free
        finding = (
            f"{free / _GIB:.0f} GiB free" if free >= 10 * _GIB else f"{free / _GIB:.1f} GiB free"
        )
        if free >= DISK_WARN:
            return _good(HealthPart.DISK, finding)
        return PartHealth(
            part=HealthPart.DISK,
            level=HealthLevel.WARN if self._room.problem is None else HealthLevel.BAD,
            finding=finding,
            advice=f"Make room where {self._room.folder} is, or lower "
            "TRADING_GRAPH_SERVE_KEEP_DAYS.",
        )

    async def _store_health(self) -> PartHealth:
        begun = time.monotonic()
        try:
            await self._store.check()
        except StoreUnavailableError as error:
            is_gone = isinstance(error, StoreFileGoneError)
            return PartHealth(
                part=HealthPart.STORE,
                level=HealthLevel.BAD,
                finding="has lost its file" if is_gone else "cannot be written",
                advice=str(error),
            )
        seconds = time.monotonic() - begun
        if seconds > STORE_WARN_S:
            return PartHealth(
                part=HealthPart.STORE,
                level=HealthLevel.WARN,
                finding=f"took {seconds:.1f} s for a write",
                advice="Look what else uses its disk or its database.",
            )
        return _good(HealthPart.STORE, "takes writes")


def _good(part: HealthPart, finding: str) -> PartHealth:
    return PartHealth(part=part, level=HealthLevel.GOOD, finding=finding)


def _unfailing(part: HealthPart, check: Callable[[], PartHealth]) -> PartHealth:
    """What a check finds, or that it could not look."""
    try:
        return check()
    except OSError as error:
        return PartHealth(
            part=part,
            level=HealthLevel.WARN,
            finding=f"cannot be looked at ({error.strerror or error})",
            advice="Give the service the right to read its own folders.",
        )


def _size(folder: Path) -> int:
    return sum(each.stat().st_size for each in folder.iterdir())


async def get_health(request: web.Request) -> HealthReport:
    """The health of Jaeger, the spool, the queue, the disk and the store."""
    return await request.app[SERVICE].health.report()


OPERATIONS = (
    Operation("GET", "/v1/health", get_health, {HTTPStatus.OK: ApiAnswer((HealthReport,))}),
)
