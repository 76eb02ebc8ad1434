"""What the service measures of itself, and that dashboard and alerts ask for nothing else."""

import asyncio
import json
import re
from pathlib import Path

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from ruamel.yaml import YAML

from tests.service.server.open_service import opened

DEPLOY = Path(__file__).resolve().parents[3] / "deploy"
OPEN_METRICS = {"Accept": "application/openmetrics-text; version=1.0.0"}
_FUNCTIONS = {"sum", "rate", "max", "histogram_quantile"}


@pytest.fixture
async def metrics(tmp_path: Path) -> tuple[str, str]:
    """The metrics of a service that has made a run, and the run's id."""
    async with opened(tmp_path) as service:
        run = await service.over((await service.start())["id"])
        async with service.http.get("/nowhere") as answer:
            assert answer.status == 404
        async with service.http.get("/metrics", headers=OPEN_METRICS) as answer:
            assert answer.content_type == "application/openmetrics-text"
            text = await answer.text()
        async with service.http.get("/metrics") as answer:
            assert answer.content_type == "text/plain"
            assert 'trading_graph_runs{state="done"} 1.0' in await answer.text()
    return text, str(run["trace_id"])


async def test_each_has_a_help_text_and_says_what_happened(metrics: tuple[str, str]) -> None:
    text, trace_id = metrics
    families = {each.name: each for each in parsed(text)}
    own = {name for name in families if name.startswith(("trading_graph_", "http_", "process_"))}
    assert all(families[name].documentation for name in own)
    assert {"trading_graph_health", "trading_graph_disk_free_bytes"} <= own
    values = {
        (sample.name, *sorted(sample.labels.values())): sample
        for family in families.values()
        for sample in family.samples
    }
    assert values[("trading_graph_runs", "done")].value == 1
    assert values[("trading_graph_verdicts", "passed")].value == 1
    assert values[("trading_graph_run_duration_seconds_count", "done")].value == 1
    started = ("http_server_request_duration_seconds_count", "/v1/runs", "202", "POST")
    assert values[started].value == 1
    # No name of somebody's own making becomes a label.
    assert ("http_server_request_duration_seconds_count", "404", "_OTHER", "_OTHER") in values
    exemplars = {
        sample.exemplar.labels["trace_id"]
        for sample in families["trading_graph_run_duration_seconds"].samples
        if sample.exemplar
    }
    assert exemplars == {trace_id}


async def test_dashboard_and_alerts_ask_for_what_is_there(metrics: tuple[str, str]) -> None:
    text, _ = metrics
    there = {sample.name for family in parsed(text) for sample in family.samples} | {"up"}
    queries = await asyncio.to_thread(queries_of_deploy)
    assert len(queries) > 20
    for query in queries:
        bare = re.sub(r'\{[^}]*\}|"[^"]*"|\[[^\]]*\]|by \([^)]*\)', " ", query)
        names = set(re.findall(r"[a-z_]{2,}", bare)) - _FUNCTIONS
        assert names, query
        assert names <= there, (query, names - there)


def parsed(text: str) -> list[Metric]:
    """The families of a text in the format of OpenMetrics."""
    return list(text_string_to_metric_families(text))  # type: ignore[no-untyped-call]


def queries_of_deploy() -> list[str]:
    """The queries of the dashboard and of the alert rules."""
    dashboard = json.loads((DEPLOY / "grafana.json").read_text())
    panels = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    alerts = YAML(typ="safe").load((DEPLOY / "alerts.yml").read_text())
    rules = [rule["expr"] for group in alerts["groups"] for rule in group["rules"]]
    return panels + rules
