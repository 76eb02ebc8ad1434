"""The fixture of whole analyses."""

from pathlib import Path

import pytest

from tests.analysis_runner import Runner


@pytest.fixture
def run_analysis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runner:
    """Run analyses without a backend for spans."""
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    return Runner(tmp_path)
