"""`trading-graph diagnose` as a person and as a pipeline meet it."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.library.traces import trace_file, without_first_span
from tests.schema_files import assert_fits
from trading_graph.otel.sources import read
from trading_graph.otel.trace import semconv
from trading_graph.service.cli import main

ENVIRONMENT = {
    "OTEL_TRACES_EXPORTER": "none",
    "TRADING_GRAPH_CHAT_LATENCY_S": "0.3",
    "TRADING_GRAPH_FETCH_LATENCY_S": "0.1",
}
SLOW = ("--dispatch", "sequential", "--tools", "sequential", "--no-cache", "--debate", "serial")


def trading_graph(*words: str, input: bytes | None = None, **env: str) -> Result:
    return CliRunner().invoke(main, list(words), env={**ENVIRONMENT, **env}, input=input)


@pytest.fixture(scope="module")
def slow_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which one run was made, of the slow program."""
    folder = tmp_path_factory.mktemp("slow")
    ran = trading_graph(
        *("run", "NVDA", "--offline", *SLOW, "--out", str(folder / "runs")),
        TRADING_GRAPH_LOG_FILE=str(folder / "logs" / "trading_graph.log"),
    )
    assert ran.exit_code == 0, ran.output
    return folder


@pytest.fixture
def slow_run(workdir: Path, slow_folder: Path) -> str:
    """That run as the only one in the current folder; returns its id."""
    shutil.copytree(slow_folder, workdir, dirs_exist_ok=True)
    return next((workdir / "runs").iterdir()).name


def test_the_slow_run_in_every_format(workdir: Path, slow_run: str) -> None:
    text = trading_graph("diagnose", "last")
    assert text.exit_code == 1
    assert "times its target of 120 s" in text.stdout
    assert "1. serial fan-out in dispatch analysts" in text.stdout, "the true cause comes first"

    asked = trading_graph("diagnose", slow_run, "--format", "json")
    document = json.loads(asked.stdout)
    assert_fits(document, "diagnosis")
    assert asked.exit_code == 1
    kinds = {each["kind"] for each in document["findings"]}
    assert {"serial fan-out", "serial tools", "duplicates"} <= kinds
    projected = document["target"]["now_s"]
    # As verify projects it.
    verified = trading_graph("verify", "last", "--format", "json")
    budget = next(e for e in json.loads(verified.stdout)["checks"] if e["id"] == "budget")
    assert f"takes {projected:.0f} s" in budget["measured"]

    html = trading_graph("diagnose", "last", "--format", "html")
    assert html.stdout.startswith("<!doctype html>")
    assert html.stdout.rstrip().endswith("</html>")
    assert "market_analyst" in html.stdout


def test_the_exit_code_says_where_the_run_stands(workdir: Path, slow_run: str) -> None:
    inside = trading_graph("diagnose", "last", "--target", "1000")
    assert inside.exit_code == 0
    assert "keeps its target" in inside.stdout
    (workdir / "gate.toml").write_text(
        'version = 1\n[[checks]]\nrelation = "no_errors"\nset = {}\n'
    )
    none = trading_graph("diagnose", "last", "--gate", "gate.toml", "--format", "markdown")
    assert none.exit_code == 0
    assert "no target was given" in none.stdout
    assert "diagnose last --target" not in none.stdout
    below = trading_graph("diagnose", "last", "--target", "60")
    assert below.exit_code == 1
    said = " ".join(below.stdout.split())
    assert "No fix that this trace shows reaches 60 s." in said
    assert re.search(r"the serial chain of LLM calls: 8 calls x 15\.\d s = 12\d\.\d s", said)
    for wrong in (
        ("--target", "0"),
        ("--target", "soon"),
        ("--format", "json", "--export", "otlp"),
    ):
        assert trading_graph("diagnose", "last", *wrong).exit_code == 2


def test_monitoring_commands_find_something(workdir: Path, slow_run: str) -> None:
    text = trading_graph("diagnose", "last", "--format", "markdown").stdout
    block = text.partition("```bash\n")[2].partition("```")[0]
    commands = [line for line in block.splitlines() if line.startswith("grep")]
    assert len(commands) == 4
    for command in commands:
        found = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
        assert found.stdout.strip(), command


def test_what_it_exports_can_be_read_back(workdir: Path, slow_run: str) -> None:
    wrote = trading_graph("diagnose", "last", "--export", "otlp", "--out", "predicted.json")
    assert wrote.exit_code == 1
    assert wrote.stdout == ""
    (trace,) = read(workdir / "predicted.json")
    steps = json.loads(trading_graph("diagnose", "last", "--format", "json").stdout)["steps"]
    wall_s = int(trace.duration[trace.roots[0]]) / 1e9
    assert wall_s == pytest.approx(steps[-1]["wall_s"]["likely"])
    assert trace.attributes(trace.roots[0])[semconv.PREDICTED_OF] == slow_run
    again = trading_graph("diagnose", "predicted.json", "--format", "json")
    assert json.loads(again.stdout)["wall_s"] == pytest.approx(wall_s)

    folded = trading_graph("diagnose", "last", "--export", "folded").stdout.splitlines()
    assert all(re.fullmatch(r".+ \d+", line) for line in folded)
    events = json.loads(trading_graph("diagnose", "last", "--export", "perfetto").stdout)
    assert {"name", "ph", "ts", "dur", "pid", "tid"} <= events["traceEvents"][-1].keys()


def test_a_file_is_written_whole_or_not_at_all(
    workdir: Path, slow_run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = workdir / "page.html"
    page.write_text("before")
    write_text = Path.write_text

    def full(path: Path, text: str, **options: str) -> int:
        write_text(path, text[: len(text) // 2], **options)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    failed = trading_graph("diagnose", "last", "--format", "html", "--out", str(page))
    assert failed.exit_code == 2
    assert "page.html cannot be written: No space left on device." in failed.stderr
    assert page.read_text() == "before"
    assert not list(workdir.glob(".*partial"))
    monkeypatch.undo()
    os.chdir(workdir)
    env = {"--out": str(page), "--format": "html"}
    wrote = trading_graph("diagnose", "last", *[word for pair in env.items() for word in pair])
    assert wrote.exit_code == 1
    assert page.read_text().startswith("<!doctype html>")
    nowhere = trading_graph("diagnose", "last", "--out", str(workdir / "no" / "file"))
    assert nowhere.exit_code == 2
    assert nowhere.stderr.count("\n") == 1


def test_a_trace_with_a_span_missing_is_not_diagnosed(workdir: Path, slow_run: str) -> None:
    cut = without_first_span(workdir / "runs" / slow_run / "trace.jsonl")
    for format in ("text", "json", "html"):
        asked = trading_graph("diagnose", "-", "--format", format, input=cut.encode())
        assert asked.exit_code == 3
        assert "missing" in asked.stderr
        if format == "json":
            document = json.loads(asked.stdout)
            assert_fits(document, "error")
            assert document["error"]["kind"] == "incomplete_trace"
            assert "missing" in document["error"]["message"]
        else:
            assert asked.stdout == ""


@pytest.mark.parametrize("content", [b"", b"\x00\xff", b"{", b"<html></html>", b"[]"])
def test_rubbish_is_one_sentence_and_exit_3(workdir: Path, content: bytes) -> None:
    (workdir / "rubbish").write_bytes(content)
    asked = trading_graph("diagnose", "rubbish")
    assert asked.exit_code == 3
    assert "rubbish" in asked.stderr
    assert asked.stderr.count("\n") == 1


def calls(path: Path, *names: str) -> str:
    """A foreign trace of calls of 100 ms each, one after another."""
    begin = 1_763_100_000 * 10**9
    spans = [{"spanId": f"{1:016x}", "name": "program", "startTimeUnixNano": begin}]
    for number, name in enumerate(names):
        start = begin + number * 10**8
        spans.append(
            {
                "spanId": f"{number + 2:016x}",
                "parentSpanId": f"{1:016x}",
                "name": name,
                "startTimeUnixNano": start,
                "endTimeUnixNano": start + 10**8,
                "attributes": [
                    {"key": "gen_ai.operation.name", "value": {"stringValue": "execute_tool"}}
                ],
            }
        )
    spans[0]["endTimeUnixNano"] = begin + len(names) * 10**8
    for span in spans:
        span["traceId"] = "a" * 32
    path.write_text(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}))
    return str(path)


def test_advice_names_this_programs_files_for_its_own_runs_alone(
    workdir: Path, slow_run: str
) -> None:
    ours = trading_graph("diagnose", "last")
    assert "Here: graph/dispatcher.py" in " ".join(ours.stdout.split())
    foreign = str(trace_file(workdir, serial=True))
    for form in ("text", "markdown", "html", "json"):
        answer = trading_graph("diagnose", foreign, "--format", form).stdout
        assert "Start those at once that need nothing of each other" in answer
        assert "Here: " not in answer
        assert not re.search(r"graph/\w+\.py|toolkit/\w+\.py|--dispatch", answer)


def test_another_run_shows_that_an_order_is_none(workdir: Path) -> None:
    one = calls(workdir / "one.json", "search", "price")
    other = calls(workdir / "other.json", "price", "search")
    alone = trading_graph("diagnose", one)
    assert "Only if none needs the result of another" in alone.stdout
    known = trading_graph("diagnose", one, "--seen", other)
    assert "serial calls" in known.stdout
    assert "Only if" not in known.stdout
    same = trading_graph("diagnose", one, "--seen", one)
    assert same.stdout == alone.stdout
    missing = trading_graph("diagnose", one, "--seen", "nothing")
    assert missing.exit_code == 3
    assert "nothing is neither a file nor a trace id" in missing.stderr


def test_the_exports_of_the_trace_view(workdir: Path, slow_run: str) -> None:
    asked = trading_graph("diagnose", "last", "--export", "view")
    document = json.loads(asked.stdout)
    assert_fits(document, "view")
    assert asked.exit_code == 1, "it is over its target, as the report says"
    kept = trading_graph("diagnose", "last", "--export", "what-if", "--fix", "1", "--out", "w.json")
    assert "Written: w.json" in kept.output
    played = json.loads(Path("w.json").read_text("utf-8"))
    assert_fits(played, "what-if")
    finding = document["view"]["findings"][0]
    gain = played["before_s"] - played["wall_s"]["likely"]
    assert gain == pytest.approx(finding["gain_s"]["likely"])
    for words in (("--export", "what-if"), ("--fix", "1"), ("--export", "what-if", "--fix", "99")):
        refused = trading_graph("diagnose", "last", *words)
        assert refused.exit_code == 2, words
