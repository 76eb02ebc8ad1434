"""A command that was asked for JSON and fails prints one error document."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.schema_files import assert_fits
from trading_graph.otel.errors import TraceError
from trading_graph.service.cli import main

CUT = json.dumps(
    {
        "resourceSpans": [
            {
                "scopeSpans": [
                    {
                        "spans": [
                            {
                                "traceId": "a" * 32,
                                "spanId": f"{number:016x}",
                                "name": "run",
                                "startTimeUnixNano": "1763100000000000000",
                                "endTimeUnixNano": "1763100001000000000",
                            }
                            for number in (1, 2)
                        ]
                    }
                ]
            }
        ]
    }
)

FAILURES = [
    (["verify", "nothing.jsonl", "--format", "json"], "trace", 3),
    (["verify", "--format=json"], "usage", 2),
    (["verify", "cut.json", "--gate", "none.toml", "--format", "json"], "gate", 2),
    (["verify", "--watch", "x", "--gate", "none.toml", "--format", "json"], "gate", 2),
    (["diagnose", "nothing.jsonl", "--format", "json"], "trace", 3),
    (["diagnose", "cut.json", "--format", "json"], "incomplete_trace", 3),
    (["diagnose", "--format", "json"], "usage", 2),
    (["compare", "one.jsonl", "--format", "json"], "usage", 2),
    (["compare", "one.jsonl", "two.jsonl", "--format", "json"], "trace", 3),
    (["run", "--json"], "usage", 2),
    (["run", "not a symbol", "--json"], "usage", 2),
    (["run", "--resume", "last", "--json"], "run", 3),
    (["ladder", "--call-s", "500", "--scale", "1", "--json"], "settings", 2),
    (["ladder", "--scale", "2", "--json"], "usage", 2),
    (["doctor", "--json", "--unknown"], "usage", 2),
]


@pytest.mark.parametrize(("words", "kind", "code"), FAILURES)
def test_it_has_the_sentence_and_the_exit_code(
    words: list[str], kind: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("cut.json").write_text(CUT)
    ended = CliRunner().invoke(main, words)
    assert ended.exit_code == code, ended.output
    document = json.loads(ended.stdout)
    assert_fits(document, "error")
    error = document["error"]
    assert (error["kind"], error["exit_code"]) == (kind, code)
    said = " ".join(ended.stderr.replace("  - ", "").split())
    assert error["message"] in said


def test_text_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for words in (["verify", "nothing.jsonl"], ["diagnose"], ["run"], ["doctor", "--unknown"]):
        assert CliRunner().invoke(main, words).stdout == ""


def test_an_incomplete_trace_has_a_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("cut.json").write_text(CUT)
    ended = CliRunner().invoke(main, ["verify", "cut.json", "--format", "json"])
    assert ended.exit_code == 3
    document = json.loads(ended.stdout)
    assert_fits(document, "verdict")
    assert document["complete"] is False


def raising(error: BaseException) -> Callable[..., None]:
    def find_trace(*words: object) -> None:
        raise error

    return find_trace


def test_an_interrupted_command_is_no_failed_check(monkeypatch: pytest.MonkeyPatch) -> None:
    place = "trading_graph.service.commands.verify.find_trace"
    monkeypatch.setattr(place, raising(KeyboardInterrupt()))
    ended = CliRunner().invoke(main, ["verify", "x", "--format", "json"])
    assert ended.exit_code == 130
    error = json.loads(ended.stdout)["error"]
    assert (error["kind"], error["message"]) == ("interrupted", "Interrupted.")


def test_what_nobody_expects_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    place = "trading_graph.service.commands.verify.find_trace"
    monkeypatch.setattr(place, raising(ZeroDivisionError()))
    ended = CliRunner().invoke(main, ["verify", "x", "--format", "json"])
    assert isinstance(ended.exception, ZeroDivisionError)
    assert ended.stdout == ""


def test_the_sentence_holds_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGSMITH_API_KEY", "ls-secret-of-a-test")
    place = "trading_graph.service.commands.verify.find_trace"
    monkeypatch.setattr(place, raising(TraceError("It said ls-secret-of-a-test.")))
    ended = CliRunner().invoke(main, ["verify", "x", "--format", "json"])
    assert ended.exit_code == 3
    assert "secret-of" not in ended.output
    assert "[redacted]" in ended.stdout
