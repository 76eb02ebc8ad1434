"""One try of a request: what the rules of each host on its way do to it.

A redirect may lead to another host. Therefore rate, User-Agent and trace headers are settled for
each hop, in aiohttp's middleware, and inside the request's span, so that the wait stands on it.
"""

import aiohttp
from aiohttp import hdrs

from trading_graph.toolkit.circuit_breaker import BreakerState
from trading_graph.toolkit.hosts import Host, Hosts
from trading_graph.toolkit.http_errors import ConnectionBroken
from trading_graph.toolkit.http_spans import PoolMeter, RequestNotes

_TRACE_HEADERS = ("traceparent", "tracestate", "baggage")


class Hops:
    """The middleware of one try; `host` is the one asked first, `notes` go onto the span.

    A User-Agent that the request names goes before the hosts' own.
    """

    def __init__(
        self, hosts: Hosts, host: Host, meter: PoolMeter, notes: RequestNotes, *, names_agent: bool
    ) -> None:
        self._hosts = hosts
        self._host = host
        self._meter = meter
        self._notes = notes
        self._names_agent = names_agent

    async def __call__(
        self, request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Send one hop by its host's rules."""
        host = self._hosts.of(request.url)
        if host.rate.busy:
            await self._wait(host)
        else:
            await host.rate.wait()
        if host.policy.user_agent is not None and not self._names_agent:
            request.headers[hdrs.USER_AGENT] = host.policy.user_agent
        if not host.traced:
            for name in _TRACE_HEADERS:
                request.headers.popall(name, None)
        try:
            return await send(request)
        except aiohttp.ClientConnectorError:
            raise
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError):
            # aiohttp would send the request a second time by itself, inside the same span.
            raise ConnectionBroken(bool(self._notes.reused)) from None

    async def _wait(self, host: Host) -> None:
        """Wait for the host's rate; the time that the source has to answer starts afterwards."""
        deadline = self._notes.deadline
        when = deadline.when()
        deadline.reschedule(None)
        with self._meter.holding_back():
            waited_s = await host.rate.wait()
        self._notes.rate_wait_s += waited_s
        if when is not None:
            deadline.reschedule(when + waited_s)
        if (
            host is self._host
            and not self._notes.probe
            and host.breaker.state is not BreakerState.CLOSED
        ):
            raise host.paused()  # it failed for others meanwhile
