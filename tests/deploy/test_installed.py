"""The wheel in an environment of its own, without extras: what works, and what says what it needs.

Beside it stands a foreign project whose folders have the names that ours have in the checkout.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from opentelemetry.exporter.otlp.json.common.trace_encoder import encode_spans

from tests.built_wheel import Environment, install, locked
from tests.service.foreign_program import ForeignProgram
from tests.service.test_verify_command import trading_graph
from trading_graph.service.cli import main

FOLDERS = ("otel", "graph", "service", "toolkit")

pytestmark = pytest.mark.timeout(600)

MODULE = """
NAME = "theirs"
"""

OWN_TEST = """
from {folder} import own


def test_it_is_theirs():
    assert own.NAME == "theirs"
"""

PROGRAM_TEST = """
import asyncio

import pytest
from opentelemetry import trace

import graph.own
import otel.own
import service.own
import toolkit.own
from trading_graph import spans_where
from trading_graph.testing import assert_overlap

tracer = trace.get_tracer("shop")


async def ask(supplier):
    with tracer.start_as_current_span(f"ask {supplier}"):
        await asyncio.sleep(0.05)


async def quote(at_once):
    with tracer.start_as_current_span("quote"):
        asked = [ask(supplier) for supplier in ("north", "south")]
        if at_once:
            await asyncio.gather(*asked)
        else:
            for each in asked:
                await each


@pytest.mark.parametrize("at_once", [True, False])
def test_suppliers_are_asked_at_once(recorded_spans, at_once):
    asyncio.run(quote(at_once))
    assert_overlap(recorded_spans.trace, spans_where(name="ask *"))


def test_every_folder_is_this_projects(request):
    for module in (graph, otel, service, toolkit):
        assert module.__file__.startswith(str(request.config.rootpath))
"""
"""A test of theirs: one of its two cases is serial, and fails."""
TESTS = {"passed": len(FOLDERS) + 2, "failed": 1}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A foreign project."""
    folder = tmp_path_factory.mktemp("foreign")
    for name in FOLDERS:
        (folder / name).mkdir()
        (folder / name / "__init__.py").touch()
        (folder / name / "own.py").write_text(MODULE)
        (folder / name / "test_own.py").write_text(OWN_TEST.format(folder=name))
    (folder / "tests").mkdir()
    (folder / "tests" / "test_program.py").write_text(PROGRAM_TEST)
    (folder / "conftest.py").touch()  # puts the project's folder on sys.path
    return folder


PLAIN: dict[str, str] = {}
HERE = {"PYTHONPATH": "."}


@pytest.mark.parametrize(
    ("command", "variables"),
    [
        pytest.param(["pytest"], PLAIN, id="pytest"),
        pytest.param(["python", "-m", "pytest"], HERE, id="python -m pytest, PYTHONPATH"),
        pytest.param(["pytest"], HERE, id="pytest, PYTHONPATH", marks=pytest.mark.full),
        pytest.param(
            ["python", "-m", "pytest"], PLAIN, id="python -m pytest", marks=pytest.mark.full
        ),
    ],
)
def test_a_foreign_project_keeps_its_own_names(
    base_environment: Environment, project: Path, command: list[str], variables: dict[str, str]
) -> None:
    done = base_environment.run(*command, "-q", "-p", "no:cacheprovider", cwd=project, **variables)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "{failed} failed, {passed} passed".format(**TESTS) in done.stdout
    assert "overlap: spans 0%" in done.stdout


@pytest.mark.parametrize(
    "variables", [pytest.param(PLAIN, marks=pytest.mark.full), HERE], ids=["plain", "PYTHONPATH"]
)
def test_the_traces_of_failed_tests_can_be_judged(
    base_environment: Environment, project: Path, tmp_path: Path, variables: dict[str, str]
) -> None:
    options = ["-q", "-p", "no:cacheprovider", "--trace-report", str(tmp_path)]
    base_environment.run("pytest", *options, cwd=project, **variables)
    [report] = tmp_path.iterdir()
    assert "suppliers_are_asked_at_once_False" in report.name
    words = ["trading-graph", "verify", str(report), "--format", "json"]
    done = base_environment.run(*words, cwd=project, **variables)
    assert json.loads(done.stdout)["checks"], done.stderr


IN_ONE_PROCESS = """
import json, os, sys
from click.testing import CliRunner
from trading_graph.service.cli import main

for words in json.loads(sys.argv[1]):
    done = CliRunner().invoke(main, words, prog_name="trading-graph")
    raised = None if isinstance(done.exception, SystemExit) else done.exception
    left = os.listdir()
    print(json.dumps([done.exit_code, done.stdout, done.stderr, raised and repr(raised), left]))
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command said, the exception that it raised, and what its folder held afterwards."""

    exit_code: int
    stdout: str
    stderr: str
    raised: str | None
    left: list[str]


def answers(
    environment: Environment, cwd: Path, commands: Sequence[Sequence[str]]
) -> dict[tuple[str, ...], Answer]:
    """Run commands one after the other in one process of an environment: to start it costs most."""
    program = ("python", "-c", IN_ONE_PROCESS, json.dumps(commands))
    done = environment.run(*program, cwd=cwd)
    assert done.returncode == 0, done.stderr
    lines = map(json.loads, done.stdout.splitlines())
    return {tuple(words): Answer(*line) for words, line in zip(commands, lines, strict=True)}


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which one run was made, where everything is installed."""
    folder = tmp_path_factory.mktemp("run")
    ran = trading_graph(
        *("run", "NVDA", "--offline", "--out", str(folder / "runs")),
        TRADING_GRAPH_CHAT_LATENCY_S="0.1",
        TRADING_GRAPH_FETCH_LATENCY_S="0.02",
        TRADING_GRAPH_LOG_FILE=str(folder / "logs" / "trading_graph.log"),
    )
    assert ran.exit_code == 0, ran.output
    return folder


VERIFY = [("--format", each) for each in ("text", "markdown", "json", "junit", "github")]
DIAGNOSE = [
    *(("--format", each) for each in ("text", "markdown", "json", "html")),
    *(("--export", each) for each in ("perfetto", "folded", "otlp")),
]


FORMS = [
    *(("verify", "last", *each) for each in VERIFY),
    *(("diagnose", "last", *each) for each in DIAGNOSE),
    *(("compare", "last", "last", *each) for each in VERIFY),
]


def test_the_base_judges_a_run_in_every_form(
    base_environment: Environment, run_folder: Path
) -> None:
    for words, answer in answers(base_environment, run_folder, FORMS).items():
        assert answer.exit_code in (0, 1), (words, answer)
        assert answer.raised is None, (words, answer)
        assert answer.stdout, words


def test_the_base_judges_standard_input(
    base_environment: Environment, run_folder: Path, tmp_path: Path
) -> None:
    [trace] = run_folder.glob("runs/*/trace.jsonl")
    words = ["trading-graph", "verify", "-"]
    done = base_environment.run(*words, cwd=tmp_path, input=trace.read_text())
    assert done.returncode in (0, 1), done.stderr
    assert done.stdout.startswith("Verdict on trace")


def test_the_base_tells_of_an_interrupted_run(
    base_environment: Environment, run_folder: Path, tmp_path: Path
) -> None:
    [run] = (run_folder / "runs").iterdir()
    left = tmp_path / "runs" / run.name
    left.mkdir(parents=True)
    # The run's own span ends last, and the last line says that the run is over.
    lines = (run / "trace.jsonl").read_bytes().splitlines(keepends=True)
    (left / "trace.jsonl").write_bytes(b"".join(lines[:-2]))
    done = base_environment.run("trading-graph", "verify", "last", cwd=tmp_path)
    assert done.returncode == 3
    assert "was interrupted" in done.stderr


class Jaeger(BaseHTTPRequestHandler):
    """Answers every search as Jaeger does, with a trace that has just ended."""

    def do_GET(self) -> None:
        found = encode_spans(ForeignProgram("shop").trace(declared=3)).to_dict()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps({"result": found}).encode())

    def log_message(self, format: str, *values: object) -> None:
        """Say nothing."""


def test_the_base_watches_jaeger(base_environment: Environment, tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Jaeger) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            done = base_environment.run(
                *("trading-graph", "verify", "--watch", "shop", "--count", "1"),
                *("--for", "60", "--format", "json"),
                cwd=tmp_path,
                TRADING_GRAPH_JAEGER_URL=f"http://127.0.0.1:{server.server_port}",
            )
        finally:
            server.shutdown()
    assert json.loads(done.stdout)["service"] == "shop", done.stderr


LIBRARY = """
import importlib, json, os, pkgutil, sys
from click.testing import CliRunner
import trading_graph
from trading_graph.service.cli import main

def load(name):
    module = importlib.import_module(name)
    for each in pkgutil.walk_packages(getattr(module, "__path__", []), name + "."):
        if each.name != "trading_graph.otel.sources.langsmith_query":  # It needs its extra.
            importlib.import_module(each.name)

for form in ("text", "json"):
    assert CliRunner().invoke(main, ["verify", sys.argv[1], "--format", form]).exit_code in (0, 1)
assert CliRunner().invoke(main, ["diagnose", sys.argv[1]]).exit_code in (0, 1)
for name in sys.argv[2:]:
    load(f"trading_graph.otel.{name}")
top = os.path.dirname(os.path.realpath(trading_graph.__file__)) + os.sep
found = {}
for name, module in list(sys.modules.items()):
    path = os.path.realpath(getattr(module, "__file__", None) or "")
    if path.startswith(top):
        found.setdefault(path, []).append(name)
print(json.dumps({"files": found, "modules": sorted(sys.modules)}))
"""
JUDGING = (
    "trace",
    "verdict",
    "diagnosis",
    "report",
    "sources",
    "files",
    "spans",
    "pytest_plugin",
    "recorded_spans",
    "assertions",
)
"""Of otel, what the base install is for: all of it but sending."""


def test_no_file_of_ours_has_two_names_and_no_name_of_theirs(
    base_environment: Environment, project: Path, run_folder: Path
) -> None:
    [trace] = run_folder.glob("runs/*/trace.jsonl")
    words = ["python", "-c", LIBRARY, str(trace), *JUDGING]
    done = base_environment.run(*words, cwd=project, PYTHONPATH=".")
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert len(shown["files"]) > 100
    assert not [names for names in shown["files"].values() if len(names) > 1]
    assert not set(shown["modules"]) & set(FOLDERS)


SIZES = """
import importlib.metadata, json, sys
sizes = {}
for each in importlib.metadata.distributions():
    files = [path for path in each.files or () if path.locate().is_file()]
    sizes[each.name.lower()] = sum(path.locate().stat().st_size for path in files)
print(json.dumps(sizes))
"""
BESIDE = {"pip", "setuptools", "pytest", "iniconfig", "pluggy", "packaging"}


def test_the_base_is_small(base_environment: Environment, tmp_path: Path) -> None:
    done = base_environment.run("python", "-c", SIZES, cwd=tmp_path)
    sizes = {name: size for name, size in json.loads(done.stdout).items() if name not in BESIDE}
    assert len(sizes) <= 25, sorted(sizes)
    assert sum(sizes.values()) <= 120e6, sizes


def commands(extra: str, *commands: str) -> list[tuple[str, str, str]]:
    return [(words, f"trading-graph {words.split()[0]}", extra) for words in commands]


NEEDING = [
    *commands("run", "run AAPL --offline", "run --resume last", "ladder", "replay", "doctor"),
    *commands("run", "data NVDA"),
    *commands("serve", "serve --port 0", "serve --new-token"),
    (f"verify {'0' * 32} --from langsmith", "--from langsmith", "langsmith"),
    (f"diagnose {'0' * 32} --from langsmith", "--from langsmith", "langsmith"),
    (f"compare {'0' * 32} {'1' * 32} --from langsmith", "--from langsmith", "langsmith"),
]


def test_a_missing_extra_is_one_sentence_and_nothing_else_happens(
    base_environment: Environment, tmp_path: Path
) -> None:
    asked = [words.split() for words, _, _ in NEEDING]
    answered = answers(base_environment, tmp_path, asked).values()
    for (words, what, extra), answer in zip(NEEDING, answered, strict=True):
        assert answer.exit_code == 2, (words, answer)
        assert not answer.stdout, words
        [sentence] = answer.stderr.splitlines()
        assert sentence.startswith(f"Error: {what} needs the extra [{extra}]")
        assert sentence.endswith(f": pip install 'trading-graph[{extra}]'")
        assert ("(missing: langsmith, requests, urllib3)" in sentence) == (extra == "langsmith")
        assert not answer.left, words


def test_a_missing_extra_is_said_by_the_installed_command_too(
    base_environment: Environment, tmp_path: Path
) -> None:
    done = base_environment.run("trading-graph", "doctor", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("Error: trading-graph doctor needs the extra [run]")


def test_help_needs_no_extra(base_environment: Environment, tmp_path: Path) -> None:
    asked = [[*command.split(), "-h"] for command in ("", *sorted(main.commands))]
    for words, answer in answers(base_environment, tmp_path, asked).items():
        assert answer.exit_code == 0, (words, answer)
        assert answer.stdout.startswith(" ".join(["Usage: trading-graph", *words[:-1]])), words


EXPORTERS = """
from opentelemetry.sdk.resources import Resource
from trading_graph.otel.errors import ExporterSettingsError
from trading_graph.otel.export import jaeger_exporter
from trading_graph.otel.export.logs import logs_over_otlp
from trading_graph.otel.export.metrics import metrics_over_otlp
from trading_graph.otel.redaction import process_redactor

resource = Resource({})
for make in (
    jaeger_exporter,
    lambda: metrics_over_otlp(resource),
    lambda: logs_over_otlp(resource, process_redactor()),
):
    try:
        make()
        print("made")
    except ExporterSettingsError as error:
        print(error)
"""


def test_grpc_without_its_extra_is_a_bad_setting_of_every_signal(
    base_environment: Environment, tmp_path: Path
) -> None:
    """What [run] sends with, and of [grpc] nothing."""
    python, beside = base_environment.folder / "bin" / "python", tmp_path / "packages"
    names = ("opentelemetry-exporter-otlp-proto-http", "opentelemetry-instrumentation")
    install(python, locked(*names), tmp_path, "--target", str(beside))
    variables = {
        "PYTHONPATH": str(beside),
        "OTEL_METRICS_EXPORTER": "otlp",
        "OTEL_LOGS_EXPORTER": "otlp",
    }
    name = "OTEL_EXPORTER_OTLP_PROTOCOL"
    for protocol, said in (
        ("http/protobuf", "made"),
        ("grpc", f"{name}=grpc needs the extra [grpc]: pip install 'trading-graph[grpc]'"),
    ):
        done = base_environment.run(
            "python", "-c", EXPORTERS, cwd=tmp_path, **variables, **{name: protocol}
        )
        assert done.stdout.splitlines() == [said] * 3, done.stderr
