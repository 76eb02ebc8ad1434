"""LangSmith beside our spans, never among them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from langsmith import utils

from tests.otlp_receiver import OtlpReceiver
from trading_graph.otel.sources import read
from trading_graph.service.cli import main
from trading_graph.service.errors import SettingsError
from trading_graph.service.langsmith import (
    LangSmithMode,
    langsmith_mode,
    langsmith_target,
    offline_note,
)
from trading_graph.service.settings import read_settings

ON = {"LANGSMITH_TRACING": "true"}


@pytest.fixture(autouse=True)
def environment_read_again() -> Iterator[None]:
    """LangSmith's client keeps what the environment said."""
    cached: Any = utils.get_env_var
    cached.cache_clear()
    yield
    cached.cache_clear()


@pytest.mark.parametrize(
    ("env", "mode"),
    [
        ({}, "off"),
        (ON, "native"),
        ({"LANGSMITH_TRACING": "false", "LANGSMITH_TRACING_MODE": "otel"}, "off"),
        (ON | {"LANGSMITH_TRACING_MODE": "LangSmith", "LANGSMITH_OTEL_ENABLED": "true"}, "native"),
        ({"TRADING_GRAPH_LANGSMITH": "otlp"}, "otlp"),
    ],
)
def test_the_variables_decide(
    monkeypatch: pytest.MonkeyPatch, workdir: Path, env: dict[str, str], mode: str
) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert langsmith_mode(read_settings(), offline=False) == mode
    assert langsmith_mode(read_settings(), offline=True) is LangSmithMode.OFF


def test_offline_says_what_becomes_of_the_mode(
    monkeypatch: pytest.MonkeyPatch, workdir: Path
) -> None:
    assert offline_note(read_settings(), offline=True) is None
    monkeypatch.setenv("TRADING_GRAPH_LANGSMITH", "otlp")
    assert offline_note(read_settings(), offline=False) is None
    ran = CliRunner().invoke(
        main,
        ["run", "AAPL", "--offline", "--analysts", "market"],
        env={"OTEL_TRACES_EXPORTER": "none", "TRADING_GRAPH_CHAT_LATENCY_S": "0.01"},
    )
    assert ran.exit_code == 0
    note = offline_note(read_settings(), offline=True)
    assert note is not None
    assert "TRADING_GRAPH_LANGSMITH=otlp" in note
    assert note in ran.stderr


def test_never_two_at_once(monkeypatch: pytest.MonkeyPatch, workdir: Path) -> None:
    monkeypatch.setenv("LANGSMITH_TRACING", "true")
    monkeypatch.setenv("TRADING_GRAPH_LANGSMITH", "otlp")
    with pytest.raises(SettingsError, match="LangSmith twice"):
        langsmith_mode(read_settings(), offline=False)


def test_otlp_needs_a_key(monkeypatch: pytest.MonkeyPatch, workdir: Path) -> None:
    monkeypatch.setenv("TRADING_GRAPH_LANGSMITH", "otlp")
    with pytest.raises(SettingsError, match="needs LANGSMITH_API_KEY"):
        langsmith_target(read_settings(), LangSmithMode.OTLP)
    monkeypatch.setenv("LANGSMITH_API_KEY", "ls-secret")
    target = langsmith_target(read_settings(), LangSmithMode.OTLP)
    assert target is not None
    assert target.api_key == "ls-secret"
    assert "ls-secret" not in repr(target)
    assert langsmith_target(read_settings(), LangSmithMode.NATIVE) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LANGSMITH_TRACING_MODE", "otel"),
        ("LANGSMITH_TRACING_MODE", "Hybrid"),
        ("LANGSMITH_OTEL_ENABLED", "true"),
        ("LANGSMITH_OTEL_ONLY", "true"),
    ],
)
def test_spans_among_ours_are_refused(
    monkeypatch: pytest.MonkeyPatch, workdir: Path, name: str, value: str
) -> None:
    monkeypatch.setenv("LANGSMITH_TRACING", "true")
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=f"{name}={value} would send prompts"):
        langsmith_mode(read_settings(), offline=False)


def test_run_refuses_before_anything_is_written(workdir: Path) -> None:
    env = {**ON, "LANGSMITH_TRACING_MODE": "hybrid"}
    done = CliRunner().invoke(main, ["run", "AAPL"], env=env)
    assert done.exit_code == 2
    assert "LANGSMITH_TRACING_MODE=hybrid would send prompts" in done.stderr
    assert not (workdir / "runs").exists()


def test_a_run_in_mode_otlp_says_what_langsmith_took(workdir: Path) -> None:
    langsmith = OtlpReceiver()
    with langsmith.served() as url:
        env = {
            "OTEL_TRACES_EXPORTER": "none",
            "TRADING_GRAPH_LANGSMITH": "otlp",
            "LANGSMITH_API_KEY": "ls-secret",
            "LANGSMITH_ENDPOINT": url,
            "TRADING_GRAPH_CHAT_LATENCY_S": "0.06",
            "TRADING_GRAPH_FETCH_LATENCY_S": "0.02",
        }
        done = CliRunner().invoke(main, ["run", "AAPL"], env=env)
    assert done.exit_code == 0, done.stderr
    assert langsmith.paths == {"/otel/v1/traces"}
    assert {headers["x-api-key"] for headers in langsmith.headers} == {"ls-secret"}
    (folder,) = (workdir / "runs").iterdir()
    (trace,) = read(folder / "trace.jsonl")
    assert len(langsmith.names) == len(trace)
    said = " ".join(done.stdout.split())
    assert f"LangSmith took {len(trace)} spans" in said
    assert "ls-secret" not in done.stdout + done.stderr
