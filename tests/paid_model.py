"""The offline model as a service that is paid by the call: it counts who asked it about what.

It may leave agents waiting, refuse whoever asks about a symbol, and kill the process that asks.
"""

import os
import signal
from collections import Counter
from threading import Condition, Lock
from typing import NamedTuple

from aiohttp import web

from tests.held_model import HeldModel
from trading_graph.graph.offline_model.server import Call


class Asked(NamedTuple):
    """Who asked about what."""

    symbol: str
    date: str
    agent: str


class PaidModel(HeldModel):
    """Counts its calls.

    Whoever asks as `refused` gets status 400, and whoever asks without the `key`, if there is one,
    401. The process whose id is `client` is killed when it asks as `poison`. `refused` and `poison`
    are a symbol and an agent each.
    """

    def __init__(
        self,
        latency_s: float,
        *,
        refused: tuple[str, str] | None = None,
        poison: tuple[str, str] | None = None,
        key: str | None = None,
    ) -> None:
        super().__init__(latency_s)
        self.calls: Counter[Asked] = Counter()
        self.asked: dict[tuple[str, str], list[str]] = {}
        self.client: int | None = None
        self.refused = refused
        self._key = key
        self.poison = poison
        self._lock = Lock()
        self._changed = Condition(self._lock)

    @property
    def total(self) -> int:
        """How many calls there were."""
        with self._lock:
            return sum(self.calls.values())

    def wait_for(self, total: int, patience_s: float) -> bool:
        """Wait until there were so many calls; false if they do not come."""
        with self._changed:
            return self._changed.wait_for(
                lambda: sum(self.calls.values()) >= total, timeout=patience_s
            )

    async def respond(self, call: Call) -> web.StreamResponse:
        """Count the call, and answer it unless it meets a fault."""
        talk = call.conversation
        with self._changed:
            self.calls[Asked(talk.symbol, talk.as_of, talk.agent)] += 1
            self.asked.setdefault((talk.symbol, talk.as_of), []).append(talk.agent)
            self._changed.notify_all()
        if (talk.symbol, talk.agent) == self.poison and self.client is not None:
            os.kill(self.client, signal.SIGKILL)
        if self._key not in (None, call.request.headers.get("Authorization", "")[len("Bearer ") :]):
            return _refusal(401)
        if (talk.symbol, talk.agent) == self.refused:
            return _refusal(400)
        return await super().respond(call)


def _refusal(status: int) -> web.Response:
    error = {"error": {"message": "This is refused.", "type": "invalid_request_error"}}
    return web.json_response(error, status=status)
