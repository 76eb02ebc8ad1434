"""What the tests of the offline model share: the server behind the real client, and sample data."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from langchain_openai import ChatOpenAI
from openai import DefaultAsyncHttpxClient, DefaultHttpxClient
from pydantic import SecretStr

from trading_graph.graph.offline_model import OfflineModel
from trading_graph.toolkit.loopback import LoopbackServer

Serve = Callable[[OfflineModel], Awaitable[ChatOpenAI]]


def _client(url: str) -> tuple[ChatOpenAI, DefaultAsyncHttpxClient, DefaultHttpxClient]:
    asynchronous, synchronous = DefaultAsyncHttpxClient(), DefaultHttpxClient()
    chat = ChatOpenAI(
        model="offline-quick",
        api_key=SecretStr("offline"),
        base_url=f"{url}/v1",
        stream_usage=True,
        streaming=True,
        max_retries=0,
        timeout=30,
        http_async_client=asynchronous,
        http_client=synchronous,
    )
    return chat, asynchronous, synchronous


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start an offline model on loopback and give the real client that talks to it."""
    async with AsyncExitStack() as stack:

        async def start(model: OfflineModel) -> ChatOpenAI:
            server = LoopbackServer(model.make_app)
            await asyncio.to_thread(server.start)
            stack.push_async_callback(asyncio.to_thread, server.stop)
            chat, asynchronous, synchronous = await asyncio.to_thread(_client, server.url)
            stack.push_async_callback(asynchronous.aclose)
            stack.callback(synchronous.close)
            return chat

        yield start


def _prices(symbol: str, close: float, change: float) -> dict[str, Any]:
    return {
        "symbol": symbol,
        "as_of": "2025-11-14",
        "session": "2025-11-14",
        "source": "yahoo_chart",
        "data_mode": "offline",
        "close": close,
        "change_20d_pct": change,
        "bars": [["2025-11-14", close, close, close, close, 47431331]],
    }


_INDICATORS = {
    "symbol": "AAPL",
    "session": "2025-11-14",
    "data_mode": "offline",
    "values": {
        "close_50_sma": 255.23,
        "close_200_sma": 223.61,
        "close_10_ema": 270.84,
        "macd": 4.61,
        "macds": 5.02,
        "macdh": -0.4137,
        "rsi": 63.87,
        "boll": 266.4,
        "boll_ub": 277.91,
        "boll_lb": 254.88,
        "atr": 4.8721,
        "vwma": 267.05,
        "mfi": 58.4,
    },
    "previous": {"macdh": 0.2216},
}
_ATTENTION = {
    "symbol": "AAPL",
    "session": "2025-11-14",
    "method": "abnormal volume (log volume z-score against the 60 sessions before)",
    "z_latest": 0.31,
    "days_above_2": [["2025-10-31", 2.61, -0.38], ["2025-10-20", 2.17, 3.94]],
    "turnover_ratio_5_60": 0.97,
    "limit": "no posts or messages are read",
}
_EVENTS = {
    "symbol": "AAPL",
    "events": [
        {
            "filed": "2025-10-30",
            "form": "8-K",
            "items": ["2.02", "9.01"],
            "meaning": "results of operations",
        },
        {"filed": "2025-09-02", "form": "8-K", "items": ["5.02"], "meaning": "officers changed"},
    ],
    "count": 2,
    "limit": "dates, forms and item codes of SEC filings, no news text",
}
_PERIODIC = {
    "symbol": "AAPL",
    "events": [{"filed": "2025-10-31", "form": "10-K", "items": [], "meaning": ""}],
    "count": 1,
}


def _statement(concept: str, latest: float, before: float) -> dict[str, Any]:
    return {
        "symbol": "AAPL",
        "latest": {"period_end": "2025-09-27", concept: latest},
        "year_before": {"period_end": "2024-09-28", concept: before},
    }


_RATIOS = {
    "symbol": "AAPL",
    "pe_ttm": 36.12,
    "operating_margin": 0.3166,
    "revenue_growth_yoy": 0.0643,
    "debt_to_equity": 1.34,
    "current_ratio": 0.893,
    "fcf_ttm": 98767000000,
}


def _tool_answer(name: str, arguments: dict[str, Any]) -> str:
    """The answer of the sample tools to one call, as JSON."""
    if name == "get_prices":
        own = arguments["symbol"] == "AAPL"
        answer = _prices("AAPL", 272.41, 7.98) if own else _prices("^GSPC", 6734.11, 1.05)
    elif name == "get_attention":
        answer = _ATTENTION | {"symbol": arguments["symbol"]}
    elif name == "get_company_events":
        answer = _EVENTS if arguments["forms"] == ["8-K"] else _PERIODIC
    else:
        answer = {
            "get_indicators": _INDICATORS,
            "get_income_statement": _statement("net_income", 27466000000, 14736000000),
            "get_balance_sheet": _statement("equity", 73733000000, 56950000000),
            "get_cash_flow": _statement("operating_cash_flow", 111482000000, 118254000000),
            "get_ratios": _RATIOS,
        }[name]
    return json.dumps(answer)


@pytest.fixture(scope="session")
def tool_answer() -> Callable[[str, dict[str, Any]], str]:
    """The sample tools."""
    return _tool_answer
