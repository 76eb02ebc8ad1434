"""The offline model, except that a test says when an agent gets its answer.

What a test looks for between two calls of a run is there for as long as the test needs to see it,
however busy the machine is.
"""

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

from trading_graph.graph.offline_model import OfflineModel
from trading_graph.graph.offline_model.conversation import read_conversation
from trading_graph.graph.offline_model.protocol import decode_request

LOOK_S = 0.01


class HeldModel(OfflineModel):
    """An offline model that leaves the agents waiting that a test holds."""

    def __init__(self, latency_s: float) -> None:
        super().__init__(latency_s)
        self._held: frozenset[str] = frozenset()  # replaced whole: the server's thread reads it
        self.received = 0
        """How many requests came, those included that are held."""

    def hold(self, *agents: str) -> None:
        """Answer these agents no more."""
        self._held |= set(agents)

    def release(self, *agents: str) -> None:
        """Answer these agents again, or all where none is named."""
        self._held = self._held - set(agents) if agents else frozenset()

    def make_app(self) -> web.Application:
        """The server's application, for one event loop."""
        app = super().make_app()
        app.middlewares.append(self._wait)
        return app

    @web.middleware
    async def _wait(
        self,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        if request.method == "POST":
            self.received += 1
            agent = read_conversation(decode_request(await request.read())).agent
            while agent in self._held:  # noqa: ASYNC110  # another thread changes it
                await asyncio.sleep(LOOK_S)
        return await handler(request)
