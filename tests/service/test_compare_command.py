"""`trading-graph compare` as a person and as a pipeline meet it."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

from tests.library.traces import without_first_span
from tests.schema_files import assert_fits
from tests.undisturbed import TRIES, is_undisturbed
from trading_graph.service.cli import main

pytestmark = pytest.mark.idle(per_cpu=1)

ENVIRONMENT = {
    "OTEL_TRACES_EXPORTER": "none",
    "TRADING_GRAPH_CHAT_LATENCY_S": "0.2",
    "TRADING_GRAPH_FETCH_LATENCY_S": "0.1",
}


def trading_graph(*words: str, input: bytes | None = None, **env: str) -> Result:
    return CliRunner().invoke(main, list(words), env={**ENVIRONMENT, **env}, input=input)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Traces of real runs by what was asked of them."""
    found = {}
    asked = {
        "good": (),
        "again": (),
        "tools": ("--tools", "sequential"),
        "uncached": ("--no-cache",),
    }
    for name, words in asked.items():
        for _ in range(TRIES):
            out = tmp_path_factory.mktemp(name)
            ran = trading_graph("run", "NVDA", "--offline", "--out", str(out), *words)
            assert ran.exit_code == 0, ran.output
            (found[name],) = out.glob("*/trace.jsonl")
            if is_undisturbed(found[name]):
                break
    return found


def test_two_runs_of_one_program_are_alike(workdir: Path, runs: dict[str, Path]) -> None:
    words = (str(runs["good"]), str(runs["again"]), "--tolerance", "50")
    compared = trading_graph("compare", *words)
    assert compared.exit_code == 0, compared.output
    assert "no regression" in compared.stdout
    itself = trading_graph("compare", words[0], words[0], "--tolerance", "0", "--format", "json")
    assert itself.exit_code == 0
    document = json.loads(itself.stdout)
    assert_fits(document, "comparison")
    assert document["passed"] is True
    assert document["moved"] == document["regressions"] == document["improvements"] == []


def test_tools_that_became_serial_fail_in_every_format(
    workdir: Path, runs: dict[str, Path]
) -> None:
    words = ("compare", str(runs["good"]), str(runs["tools"]))
    text = trading_graph(*words)
    assert text.exit_code == 1
    assert "became serial: the tools of invoke_agent fundamentals_analyst" in text.stdout

    document = json.loads(trading_graph(*words, "--format", "json").stdout)
    assert_fits(document, "comparison")
    assert document["schema_version"] == 1
    assert document["passed"] is False
    assert "became serial" in {each["kind"] for each in document["regressions"]}
    moved = sum(each["difference_s"] for each in document["moved"])
    assert moved == pytest.approx(document["change"]["difference_s"])

    suite = ElementTree.fromstring(trading_graph(*words, "--format", "junit").stdout)
    assert len(suite) == int(suite.attrib["tests"]) == 5
    assert len(suite.findall(".//failure")) == int(suite.attrib["failures"]) >= 1

    markdown = trading_graph(*words, "--format", "markdown")
    assert markdown.exit_code == 1
    assert "**Regression.**" in markdown.stdout
    assert "- [ ] became serial" in markdown.stdout
    assert "| the run |" in markdown.stdout

    github = trading_graph(*words, "--format", "github").stdout.splitlines()
    assert any("title=became serial%3A" in line for line in github)
    assert all(line.startswith("::error title=") for line in github)


def test_the_other_way_round_it_is_a_gain(workdir: Path, runs: dict[str, Path]) -> None:
    words = ("compare", str(runs["tools"]), str(runs["good"]), "--tolerance", "50")
    better = trading_graph(*words)
    assert better.exit_code == 0
    assert "runs at once now" in better.stdout
    assert trading_graph(*words, "--format", "github").stdout.startswith("::notice")


def test_what_a_cache_saved_is_a_regression_without_it(
    workdir: Path, runs: dict[str, Path]
) -> None:
    words = ("compare", str(runs["good"]), str(runs["uncached"]), "--tolerance", "500")
    compared = trading_graph(*words, "--format", "json")
    assert compared.exit_code == 1
    document = json.loads(compared.stdout)
    assert_fits(document, "comparison")
    assert not document["change"]["regressed"]
    assert "new duplicate" in {each["kind"] for each in document["regressions"]}


def test_sets(workdir: Path, runs: dict[str, Path]) -> None:
    good, again, tools, uncached = map(str, runs.values())
    compared = trading_graph("compare", good, again, "--with", tools, uncached, "--format", "json")
    assert compared.exit_code == 1
    document = json.loads(compared.stdout)
    assert len(document["base"]) == len(document["new"]) == 2
    assert "fewer than 5" in document["notes"][0]
    low, high = document["change"]["interval_s"]
    assert low < high
    first = trading_graph("compare", "--with", tools, uncached, "--format", "json", good, again)
    assert json.loads(first.stdout) == document
    pair = trading_graph("compare", good, "--with", tools, "--format", "github")
    assert pair.stdout == trading_graph("compare", good, tools, "--format", "github").stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("good",), "Name two traces"),
        (("good", "again", "tools"), "put --with before"),
        (("good", "again", "--with", "tools"), "A set of 2 runs against one run"),
        (("good", "again", "--with", "tools", "tools"), "is twice in one set"),
        (("-", "-"), "can be read once only"),
        (("good", "--with"), "requires an argument"),
        (("good", "again", "--id", "x"), "--id is given 1 times for 2 traces"),
        (("good", "again", "--tolerance", "-1"), "-1"),
    ],
)
def test_wrong_use_is_exit_2(
    workdir: Path, runs: dict[str, Path], words: tuple[str, ...], says: str
) -> None:
    refused = trading_graph("compare", *(str(runs.get(word, word)) for word in words))
    assert refused.exit_code == 2
    assert says in refused.stderr
    assert refused.stdout == ""


def test_an_incomplete_trace_is_not_compared(workdir: Path, runs: dict[str, Path]) -> None:
    (workdir / "cut.jsonl").write_text(without_first_span(runs["good"]), encoding="utf-8")
    words = ("compare", str(runs["good"]), "cut.jsonl")
    text = trading_graph(*words)
    assert text.exit_code == 3
    assert "No comparison" in text.stdout
    assert "cut.jsonl: " in text.stdout
    assert "missing" in text.stdout
    document = json.loads(trading_graph(*words, "--format", "json").stdout)
    assert document["passed"] is None
    assert document["missing"]
    suite = ElementTree.fromstring(trading_graph(*words, "--format", "junit").stdout)
    assert suite.attrib["errors"] == suite.attrib["tests"] == "1"
    assert trading_graph(*words, "--format", "github").stdout.startswith("::error title=No comp")
    assert "- cut.jsonl: " in trading_graph(*words, "--format", "markdown").stdout


def test_what_cannot_be_read_is_one_sentence_and_exit_3(
    workdir: Path, runs: dict[str, Path]
) -> None:
    (workdir / "rubbish").write_bytes(b"\x00\xff")
    for word, says in (("rubbish", "rubbish"), ("nonsense", "neither a file nor a trace id")):
        compared = trading_graph("compare", str(runs["good"]), word)
        assert compared.exit_code == 3
        assert says in compared.stderr
        assert compared.stderr.count("\n") == 1
        assert compared.stdout == ""


def test_runs_of_different_programs_are_not_compared(workdir: Path, runs: dict[str, Path]) -> None:
    other = [
        {"traceId": "1" * 32, "spanId": "1" * 16, "name": "job"},
        {"traceId": "1" * 32, "spanId": "2" * 16, "parentSpanId": "1" * 16, "name": "part"},
    ]
    times = {"startTimeUnixNano": "1763100000000000000", "endTimeUnixNano": "1763100001000000000"}
    content = {"resourceSpans": [{"scopeSpans": [{"spans": [{**s, **times} for s in other]}]}]}
    (workdir / "other.json").write_text(json.dumps(content))
    compared = trading_graph("compare", str(runs["good"]), "other.json")
    assert compared.exit_code == 3
    assert "share no call path" in compared.stdout


def test_standard_input_and_one_of_several_by_its_id(workdir: Path, runs: dict[str, Path]) -> None:
    good, tools = runs["good"].read_bytes(), runs["tools"].read_bytes()
    piped = trading_graph("compare", str(runs["good"]), "-", "--format", "github", input=tools)
    assert piped.exit_code == 1
    (workdir / "both.jsonl").write_bytes(good + b"\n" + tools)
    unnamed = trading_graph("compare", "both.jsonl", "both.jsonl")
    assert unnamed.exit_code == 3
    assert "--id" in unnamed.stderr
    ids = [word for name in ("good", "tools") for word in ("--id", runs[name].parent.name)]
    named = trading_graph("compare", "both.jsonl", "both.jsonl", *ids, "--format", "github")
    assert named.stdout == piped.stdout
