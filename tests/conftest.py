"""What every test gets: the guards, a Jaeger where there is a binary, and a folder of its own."""

from pathlib import Path

import pytest

pytest_plugins = ["pytester", "tests.guards", "tests.jaeger_process"]


@pytest.fixture
def workdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make an empty folder the current one, for code that writes `runs/` and `logs/`."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
