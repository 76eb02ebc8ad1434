"""LangSmith beside our spans, never among them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from langsmith import utils

from service.cli import main
from service.errors import BadSettings
from service.langsmith_mode import langsmith_beside

ON = {"LANGSMITH_TRACING": "true"}


@pytest.fixture(autouse=True)
def environment_read_again() -> Iterator[None]:
    """LangSmith's client keeps what the environment said."""
    cached: Any = utils.get_env_var
    cached.cache_clear()
    yield
    cached.cache_clear()


@pytest.mark.parametrize(
    ("env", "beside"),
    [
        ({}, False),
        (ON, True),
        ({"LANGSMITH_TRACING": "false", "LANGSMITH_TRACING_MODE": "otel"}, False),
        (ON | {"LANGSMITH_TRACING_MODE": "LangSmith", "LANGSMITH_OTEL_ENABLED": "true"}, True),
    ],
)
def test_the_standard_variables_decide(
    monkeypatch: pytest.MonkeyPatch, env: dict[str, str], beside: bool
) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert langsmith_beside(offline=False) is beside
    assert langsmith_beside(offline=True) is False


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
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv("LANGSMITH_TRACING", "true")
    monkeypatch.setenv(name, value)
    with pytest.raises(BadSettings, match=f"{name}={value} would send prompts"):
        langsmith_beside(offline=False)


def test_run_refuses_before_anything_is_written(workdir: Path) -> None:
    env = {**ON, "LANGSMITH_TRACING_MODE": "hybrid"}
    done = CliRunner().invoke(main, ["run", "AAPL"], env=env)
    assert done.exit_code == 2
    assert "LANGSMITH_TRACING_MODE=hybrid would send prompts" in done.stderr
    assert not (workdir / "runs").exists()
