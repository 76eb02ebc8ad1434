"""The OpenAPI document is valid and whole, and the service does what it says, whatever is asked."""

import importlib
import json
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import jsonschema_rs
import pytest
import requests
import schemathesis
from aiohttp import web
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import APIOperation, Case, CheckFunction, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.library.traces import trace_file
from tests.patience import PATIENCE_S
from tests.service.server.serve_process import serving
from trading_graph.service.schemas import published_schemas
from trading_graph.service.server.app import all_operations
from trading_graph.service.server.openapi import add_routes, openapi

ROOT = Path(__file__).parents[3]
CLIENT = "trading_graph_client_of_the_test"
BASE_PATH = "/trading"
REQUESTS = 1_000
EACH_STARTS_A_PROCESS = {
    "judgeTrace": 8,
    "diagnoseTrace": 8,
    "compareTraces": 16,
    "getDiagnosis": 8,
    "getTraceDiagnosis": 8,
    "getTraceWhatIf": 8,
}
"""Few requests of these, so that the test takes less than a minute; the others share the rest."""

CHECKS: list[CheckFunction] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
NO_JAEGER = 502
"""The one 5xx that is right here: no Jaeger is there, and the document has the answer."""


def test_it_is_valid() -> None:
    document = openapi(all_operations(), "1")
    schemathesis.openapi.from_dict(document).validate()
    for name in document["components"]["schemas"]:
        # Each schema can be compiled: what it refers to is there.
        here = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        jsonschema_rs.Draft202012Validator(here)
    references = re.findall(r'"\$ref": "([^"]+)"', json.dumps(document))
    schemas = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert set(references) <= schemas
    ids = [each["operationId"] for path in document["paths"].values() for each in path.values()]
    assert len(ids) == len(set(ids))


def test_verdicts_diagnoses_and_comparisons_have_the_published_schemas() -> None:
    document = openapi(all_operations(), "1")
    schemas = document["components"]["schemas"]
    here = "#/components/schemas/"
    for name, published in published_schemas().items():
        if name in ("verdict", "diagnosis", "comparison", "ranking"):
            text = json.dumps(published["$defs"]).replace("#/$defs/", here)
            for title, schema in json.loads(text).items():
                assert json.loads(json.dumps(schemas[title])) == schema
    answers = {
        each["operationId"]: each["responses"]["200"]["content"]
        for path in document["paths"].values()
        for each in path.values()
        if "content" in each["responses"].get("200", {})
    }
    for operation, title in (
        ("getVerdict", "VerdictJson"),
        ("getTraceVerdict", "VerdictJson"),
        ("judgeTrace", "VerdictJson"),
        ("getDiagnosis", "DiagnosisJson"),
        ("getTraceDiagnosis", "DiagnosisJson"),
        ("diagnoseTrace", "DiagnosisJson"),
        ("getTraceView", "TraceViewJson"),
        ("getTraceSpan", "SpanDetailsJson"),
        ("getTraceWhatIf", "WhatIfJson"),
        ("getDecision", "Decision"),
        ("getPortfolioReport", "RankingJson"),
        ("getPortfolio", "ServedPortfolioJson"),
    ):
        reference = answers[operation]["application/json"]["schema"]
        assert reference == {"$ref": f"{here}{title}"}
    assert answers["compareTraces"]["application/json"]["schema"] == {
        "anyOf": [{"$ref": f"{here}ComparisonJson"}, {"$ref": f"{here}NoComparisonJson"}]
    }


def test_every_route_is_in_it_and_nothing_else() -> None:
    app = web.Application()
    add_routes(app, all_operations())
    routes = {
        (route.method.lower(), route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    document = openapi(all_operations(), "1")
    assert routes == {
        (method, path) for path, methods in document["paths"].items() for method in methods
    }


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service in a process of its own, with tiny runs, and below a path of its host."""
    folder = tmp_path_factory.mktemp("service")
    environment = {
        "TRADING_GRAPH_CHAT_LATENCY_S": "0.01",
        "TRADING_GRAPH_JAEGER_URL": "http://127.0.0.1:9",
        "TRADING_GRAPH_SERVE_REQUESTS_PER_S": "100000",
        "TRADING_GRAPH_SERVE_BURST": "100000",
        "TRADING_GRAPH_SERVE_DRAIN_S": "0",
        "TRADING_GRAPH_SERVE_BASE_PATH": BASE_PATH,
    }
    with serving(folder, **environment) as service:
        yield f"{service.url}{BASE_PATH}"
        service.process.terminate()
        assert service.ended() == 0
    assert "A request failed" not in (folder / "logs" / "trading_graph.log").read_text()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A client that openapi-python-client made of the document, without a warning; its folder."""
    folder = tmp_path_factory.mktemp("client")
    (folder / "openapi.json").write_text(json.dumps(openapi(all_operations(), "1")))
    words = ["--path", "openapi.json", "--output-path", CLIENT, "--meta", "none"]
    config = ["--config", str(ROOT / "deploy" / "openapi-python-client.yml")]
    program = "from openapi_python_client.cli import app; app()"
    made = subprocess.run(
        [sys.executable, "-c", program, "generate", *words, *config, "--fail-on-warning"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    assert "arning" not in made.stdout + made.stderr
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield folder / CLIENT


def test_a_client_can_be_generated_with_every_operation(client: Path) -> None:
    written = {each.stem for each in (client / "api" / "default").glob("[!_]*.py")}
    assert written == {each.handler.__name__ for each in all_operations()}
    models = {each.stem for each in (client / "models").glob("*.py")}
    assert {"verdict_json", "diagnosis_json", "comparison_json", "run_document"} <= models


def test_a_generated_client_judges_and_reads(client: Path, url: str, tmp_path: Path) -> None:
    def operation(name: str) -> Any:
        return importlib.import_module(f"{CLIENT}.api.default.{name}")

    types = importlib.import_module(f"{CLIENT}.types")
    service = importlib.import_module(f"{CLIENT}.client").Client(base_url=url)
    run_id = a_run(url)
    run = operation("get_run").sync(run_id, client=service)
    assert (run.id, run.symbol, run.state) == (run_id, "AAPL", "done")
    verdict = operation("get_verdict").sync(run_id, client=service)
    assert {each.outcome for each in verdict.checks} <= {"pass", "fail", "not applicable"}
    with trace_file(tmp_path).open("rb") as content:
        judged = operation("judge_trace").sync(client=service, body=types.File(payload=content))
    assert judged.spans == 7
    missing = operation("get_run").sync("0" * 32, client=service)
    assert missing.status == 404
    service.get_httpx_client().close()


class Asking:
    """Random requests to a service, what they were answered, and what was wrong with that."""

    def __init__(self, url: str, run_id: str, portfolio_id: str) -> None:
        self.schema = schemathesis.openapi.from_url(f"{url}/v1/openapi.json")
        self.answered: dict[str, Counter[int]] = {}
        self.faults: list[str] = []
        self._known = {"run_id": run_id, "trace_id": run_id, "portfolio_id": portfolio_id}
        self._session = requests.Session()

    @property
    def total(self) -> int:
        return sum(found.total() for found in self.answered.values())

    def ask(
        self, operation: APIOperation[Any, Any, Any, Any], mode: GenerationMode, most: int
    ) -> None:
        """Send requests that fit the document, or that do not, as the mode says."""
        id = operation.definition.raw["operationId"]
        answered = self.answered.setdefault(id, Counter())

        @seed(20251114)
        @settings(
            max_examples=most,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(mode))
        def one(case: Case[Any]) -> None:
            # An id of nothing is soon answered: every other request names one that there is.
            for name, known in self._known.items():
                if name in case.path_parameters and answered.total() % 2:
                    case.path_parameters[name] = known
            answer = case.call(session=self._session, timeout=PATIENCE_S)
            answered[answer.status_code] += 1
            checks = [each for each in CHECKS if each is not not_a_server_error]
            if answer.status_code != NO_JAEGER:
                checks.append(not_a_server_error)
            try:
                case.validate_response(answer, checks=checks)
            except FailureGroup as fault:
                self.faults.append(f"{id}: {fault}: {fault.exceptions}")

        one()

    def close(self) -> None:
        self._session.close()


@pytest.mark.parametrize("wanted", [REQUESTS // 10, pytest.param(REQUESTS, marks=pytest.mark.full)])
def test_random_requests_are_answered_as_it_says(url: str, wanted: int) -> None:
    asking = Asking(url, a_run(url), a_portfolio(url))
    operations = [
        each
        for each in map(operation_of, asking.schema.get_all_operations())
        # The feed has no end to wait for; test_feed follows it.
        if each.definition.raw["operationId"] != "followFeed"
    ]
    varied = [
        each
        for each in operations
        # Of spans the document says no more than that they are a body, so none is wrong.
        if list(each.iter_parameters())
        or (each.body and each.definition.raw["operationId"] != "takeSpans")
    ]
    usual = (REQUESTS - sum(EACH_STARTS_A_PROCESS.values())) // (
        len(varied) - len(EACH_STARTS_A_PROCESS)
    )
    try:
        for operation in operations:
            id = operation.definition.raw["operationId"]
            half = EACH_STARTS_A_PROCESS.get(id, usual) * wanted // REQUESTS // 2 + 1
            asking.ask(operation, GenerationMode.POSITIVE, half)
            if operation in varied:
                asking.ask(operation, GenerationMode.NEGATIVE, half)
    finally:
        asking.close()
    assert not asking.faults, "\n\n".join(asking.faults[:5])
    assert asking.total >= wanted, asking.answered


def operation_of(found: object) -> APIOperation[Any, Any, Any, Any]:
    """An operation that schemathesis could read."""
    assert isinstance(found, Ok)
    operation = found.ok()
    assert isinstance(operation, APIOperation)
    return operation


def a_run(url: str) -> str:
    """The id of a run that is over."""
    started = requests.post(f"{url}/v1/runs", json={"symbol": "AAPL"}, timeout=PATIENCE_S).json()
    while (
        requests.get(urljoin(url, started["links"]["self"]), timeout=PATIENCE_S).json()["state"]
        != "done"
    ):
        time.sleep(0.1)
    return str(started["id"])


def a_portfolio(url: str) -> str:
    """The id of a portfolio that is over."""
    asked = {"symbols": ["AAPL"], "analysts": ["market"]}
    started = requests.post(f"{url}/v1/portfolios", json=asked, timeout=PATIENCE_S).json()
    while (
        requests.get(urljoin(url, started["links"]["self"]), timeout=PATIENCE_S).json()["state"]
        != "over"
    ):
        time.sleep(0.1)
    return str(started["portfolio_id"])
