"""The unmodified yfinance, end to end, against our Yahoo: cookie, crumb, prices, tables.

It speaks TLS to Yahoo's own host names. A CONNECT proxy leads every host to the loopback server,
which has certificates of a CA made for the test. So the server is held to what the real client
asks and reads, and our chart builder to what the real client makes of the same answer.
"""

import asyncio
import datetime
import ssl
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pandas as pd
import pytest
import trustme
import yfinance
from curl_cffi.requests import Session
from yfinance.data import YfData

from tests.live_servers import CRUMB, LiveServers, make_source
from trading_graph.toolkit.as_of import AsOf
from trading_graph.toolkit.cache import SingleFlightCache
from trading_graph.toolkit.live_access import BaseUrls, LiveAccess
from trading_graph.toolkit.loopback import LoopbackServer
from trading_graph.toolkit.market_data import AsyncToolkit
from trading_graph.toolkit.pool import HttpPool

AS_OF = AsOf(datetime.date(2025, 11, 14))
HOSTS = ("query1.finance.yahoo.com", "query2.finance.yahoo.com", "fc.yahoo.com")


class ConnectProxy:
    """Leads every CONNECT to one port of this machine, and notes the hosts asked for."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.hosts: list[str] = []
        self._loop = asyncio.new_event_loop()
        self._server = self._loop.run_until_complete(
            asyncio.start_server(self._serve, "127.0.0.1", 0)
        )
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        self._thread = Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0.01))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.hosts.append(head.split()[1].decode())
        there = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with suppress(asyncio.CancelledError):  # the proxy stops while connections are kept open
            await asyncio.gather(_pump(reader, there[1]), _pump(there[0], writer))


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(65536):
            target.write(data)
            await target.drain()
    except ConnectionError:
        pass
    finally:
        target.close()


@pytest.fixture
def yahoo(tmp_path: Path) -> Iterator[tuple[LiveServers, ConnectProxy, str]]:
    """Our Yahoo behind a proxy, and yfinance told of the proxy and the CA; both forgotten after."""
    ca = trustme.CA()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert(*HOSTS, "127.0.0.1").configure_cert(tls)
    ca_file = tmp_path / "ca.pem"
    ca.cert_pem.write_to_path(str(ca_file))
    made = LiveServers(BaseUrls())
    with LoopbackServer(lambda: make_source("yahoo", made), tls=tls) as server:
        proxy = ConnectProxy(int(server.url.rpartition(":")[2]))
        before = yfinance.config.network.proxy, yfinance.config.debug.hide_exceptions
        yfinance.config.network.proxy = proxy.url
        yfinance.config.debug.hide_exceptions = False
        yfinance.set_tz_cache_location(str(tmp_path / "yfinance"))
        try:
            yield made, proxy, str(ca_file)
        finally:
            yfinance.config.network.proxy, yfinance.config.debug.hide_exceptions = before
            type(YfData)._instances.clear()
            proxy.stop()


def test_the_real_yfinance_understands_our_yahoo(
    yahoo: tuple[LiveServers, ConnectProxy, str],
) -> None:
    servers, proxy, ca_file = yahoo
    authority: Any = ca_file  # its type says bool, its documentation a path too
    session: Any = Session(impersonate="chrome", verify=authority)
    ticker = yfinance.Ticker("NVDA", session=session)

    history = ticker.history(start="2024-05-01", end="2025-11-15", auto_adjust=False)
    income = ticker.quarterly_income_stmt
    trades = ticker.insider_transactions

    assert {host.partition(":")[0] for host in proxy.hosts} == set(HOSTS)
    assert [r.query["crumb"] for r in servers.asked if "quoteSummary" in r.path] == [CRUMB]
    assert income.loc["Total Revenue"].iloc[0] == 5000.0
    assert list(trades["Insider"]) == ["A PERSON"] * 3
    _agree(history)


def _agree(history: pd.DataFrame) -> None:
    """What yfinance made of the prices against what we made of them."""

    async def ours() -> Any:
        from trading_graph.toolkit.embedded_server import make_app

        server = LoopbackServer(lambda: make_app(latency_s=0))
        await asyncio.to_thread(server.start)
        try:
            async with HttpPool() as pool:
                toolkit = AsyncToolkit(
                    pool,
                    SingleFlightCache(),
                    mode="live",
                    access=LiveAccess(BaseUrls(yahoo=server.url)),
                )
                return await toolkit.bars("NVDA", AS_OF)
        finally:
            await asyncio.to_thread(server.stop)

    bars = asyncio.run(ours())
    size = len(history)
    assert size > 380
    assert [day.date() for day in history.index] == [
        bars.day(i) for i in range(len(bars) - size, len(bars))
    ]
    for name in ("Open", "High", "Low", "Close", "Volume"):
        np.testing.assert_allclose(
            history[name].to_numpy(dtype=float), getattr(bars, name.lower())[-size:], rtol=1e-12
        )
    splits = history[history["Stock Splits"] > 0]
    days = pd.DatetimeIndex(splits.index).date
    events = zip(days, splits["Stock Splits"], strict=True)
    assert list(events) == list(bars.splits) != []
