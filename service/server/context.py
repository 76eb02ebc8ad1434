"""The parts of the service that every handler can reach."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from trading_graph.graph.backend_choice import BackendChoice
from trading_graph.service.run.request import default_date
from trading_graph.service.server.disk_room import DiskRoom
from trading_graph.service.server.run_queue import RunQueue
from trading_graph.service.settings import Settings
from trading_graph.service.store import Store

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from trading_graph.service.server.feed import Feed
    from trading_graph.service.server.health import HealthChecks
    from trading_graph.service.server.judging import Judging
    from trading_graph.service.server.portfolios import Portfolios
    from trading_graph.service.server.receiving.receiver import Receiver
    from trading_graph.service.server.trace_views import TraceViews
    from trading_graph.service.server.uploads import Uploads
    from trading_graph.service.server.watches import Watches


@dataclass(frozen=True, slots=True)
class ServiceContext:
    """The parts of one running service."""

    settings: Settings
    store: Store
    queue: RunQueue
    feed: "Feed"
    health: "HealthChecks"
    room: DiskRoom
    judging: "Judging"
    views: "TraceViews"
    watches: "Watches"
    portfolios: "Portfolios"
    receiver: "Receiver"
    uploads: "Uploads"
    out: Path
    choice: BackendChoice
    registry: "CollectorRegistry"

    def jaeger_link(self, trace_id: str) -> str:
        """The address of a trace in Jaeger, for people."""
        return f"{self.settings.shown_jaeger}/trace/{trace_id}"

    @property
    def default_date(self) -> str:
        """The day of a request that names none; with live data it is another one tomorrow."""
        return default_date(self.choice.data)


SERVICE = web.AppKey("service", ServiceContext)
