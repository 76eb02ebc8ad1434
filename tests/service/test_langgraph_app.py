"""The outer graph that LangGraph's server calls."""

import asyncio
import importlib
import json
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from trading_graph.otel.sources.in_memory import from_spans
from trading_graph.service import langgraph_app
from trading_graph.service.settings import read_settings


async def test_one_call_leaves_one_trace(monkeypatch: pytest.MonkeyPatch, workdir: Path) -> None:
    for name, value in {
        "OTEL_TRACES_EXPORTER": "none",
        "TRADING_GRAPH_CHAT_LATENCY_S": "0.05",
        "TRADING_GRAPH_FETCH_LATENCY_S": "0.02",
    }.items():
        monkeypatch.setenv(name, value)
    langgraph_app._telemetry.cache_clear()
    exporter = InMemorySpanExporter()
    settings = await asyncio.to_thread(read_settings)
    telemetry = langgraph_app._telemetry(None, settings.spool)
    telemetry.provider.add_span_processor(SimpleSpanProcessor(exporter))
    answered = await langgraph_app.graph.ainvoke({"symbol": "AAPL"})
    (found,) = from_spans(exporter.get_finished_spans())
    assert found.orphans == []
    assert len(found.roots) == 1
    assert answered["decision"]["trace_id"] == found.trace_id
    langgraph_app._telemetry.cache_clear()


def test_importing_it_twice_changes_nothing() -> None:
    before = trace.get_tracer_provider()
    importlib.reload(langgraph_app)
    assert trace.get_tracer_provider() is before


def test_langgraph_json_names_it() -> None:
    root = Path(__file__).parents[2]
    (named,) = json.loads((root / "langgraph.json").read_text())["graphs"].values()
    module, _, attribute = named.partition(":")
    assert importlib.import_module(module) is langgraph_app, "else it would be loaded twice"
    assert hasattr(langgraph_app, attribute)
