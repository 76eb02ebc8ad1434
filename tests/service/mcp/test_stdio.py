"""`trading-graph mcp`: a coding agent's client and a real process, over standard input."""

import asyncio
import shutil
import subprocess
import sys
from pathlib import Path

import mcp_types as types
import pytest
from click.testing import CliRunner

from tests.library.traces import trace_file
from tests.service.mcp.clients import PROGRAM, ask, stdio_client
from trading_graph.otel.sources import read
from trading_graph.otel.trace import Trace
from trading_graph.service.cli import main

CASES = Path(__file__).parents[2] / "recorded" / "cases"
SLOW, FAST = "langgraph-oi-serial.json", "langgraph-oi-par.json"


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    """A folder with a slow program's trace and the fast one's, and some that are no traces."""
    folder = tmp_path / "project"
    (folder / "sub").mkdir(parents=True)
    for name in (SLOW, FAST):
        shutil.copy(CASES / name, folder)
    (folder / "package.json").write_text('{"name": "package"}')
    secret = trace_file(tmp_path, "secret.json")
    (folder / "link.json").symlink_to(secret)
    return folder


@pytest.fixture
def slow(cases: Path) -> Trace:
    return Trace(read(cases / SLOW)[0])


async def test_a_client_gets_the_reason_for_a_slow_run(cases: Path, slow: Trace) -> None:
    async with stdio_client(cases) as client:
        listed = (await client.list_tools()).tools
        for tool in listed:
            assert tool.annotations is not None
            assert tool.annotations.read_only_hint
        assert {"list_traces", "verdict", "diagnosis", "what_if", "compare", "span"} == {
            each.name for each in listed
        }

        traces = await ask(client, "list_traces")
        assert {each["trace"] for each in traces.content["traces"]} == {SLOW, FAST}

        verdict = await ask(client, "verdict", trace=SLOW)
        assert verdict.content["passed"] is False
        assert verdict.content["failures"][0]["id"]
        question = verdict.content["next"]
        assert question["tool"] == "diagnosis"

        why = await ask(client, question["tool"], **question["arguments"])
        first = why.content["findings"][0]
        assert first["kind"] == "serial tools"
        assert "asyncio.gather" in why.text
        spans = [slow.span(each["span_id"]) for each in first["spans"]]
        assert {each.name for each in spans} == {"weather"}

        fixed = await ask(client, "what_if", trace=SLOW, findings=[1])
        assert fixed.content["wall_s"] == first["wall_s"], "as the diagnosis predicts it"

        moved = await ask(client, "compare", base=[FAST], new=[SLOW])
        assert moved.content["passed"] is False
        assert moved.content["regressions"][0]["kind"] == "became serial"

        span = await ask(client, "span", trace=SLOW, span_id=spans[0].id)
        assert spans[0].parent is not None
        assert span.content["parent"]["span_id"] == spans[0].parent.id
        assert span.content["duration_s"] == pytest.approx(spans[0].duration_s, abs=1e-6)
        for each in (traces, verdict, why, fixed, moved, span):
            assert not each.is_error
            assert each.text


MISTAKES = ("missing.json", "broken.json", "package.json", "last", "0" * 32)
OUTSIDE = ("/etc/passwd", "../secret.json", "link.json", "sub/../../secret.json", "-", "a\0b")
NO_JAEGER = {"TRADING_GRAPH_JAEGER_URL": "http://127.0.0.1:9"}


@pytest.fixture
def sentences(cases: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the command line says of each mistake."""
    (cases / "broken.json").write_text('{"resourceSpans": [')
    monkeypatch.chdir(cases)
    said = [CliRunner().invoke(main, ["verify", word], env=NO_JAEGER) for word in MISTAKES]
    return [each.stderr for each in said]


async def test_errors_are_the_sentences_of_the_command_line(
    cases: Path, sentences: list[str]
) -> None:
    async with stdio_client(cases, environment=NO_JAEGER) as client:
        for word, sentence in zip(MISTAKES, sentences, strict=True):
            answer = await ask(client, "verdict", trace=word)
            assert answer.is_error
            assert sentence == f"Error: {answer.text}\n"
        for word in OUTSIDE:
            answer = await ask(client, "diagnosis", trace=word)
            assert answer.is_error, word
            assert "agent 0" not in answer.text


async def test_many_questions_at_once_get_their_own_answers(cases: Path) -> None:
    async with stdio_client(cases) as client:
        words = [SLOW, FAST] * 4
        answers = await asyncio.gather(*(ask(client, "diagnosis", trace=each) for each in words))
        (prompt,) = (await client.list_prompts()).prompts
        question = await client.get_prompt(prompt.name, {"trace": SLOW})
    assert [each.content["trace"] for each in answers] == words
    assert len({each.content["trace_id"] for each in answers}) == 2
    (message,) = question.messages
    assert isinstance(message.content, types.TextContent)
    assert SLOW in message.content.text


def test_it_ends_when_its_client_is_gone(cases: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, "mcp"],
        cwd=cases,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"", b"")
