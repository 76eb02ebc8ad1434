"""The fixtures of whole analyses."""

from pathlib import Path

import pytest

from tests.analysis_runner import Runner
from tests.model_service.runs import Runs


@pytest.fixture
def run_analysis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runner:
    """Run analyses without a backend for spans."""
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    return Runner(tmp_path)


@pytest.fixture
def runs(tmp_path: Path, workdir: Path, monkeypatch: pytest.MonkeyPatch) -> Runs:
    """Runs against model services whose files, and whose memory of services, are the test's own."""
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Runs(tmp_path / "runs")
