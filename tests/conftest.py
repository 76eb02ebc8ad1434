"""What every test gets: the guards, a Jaeger where there is a binary, and a folder of its own."""

import gc
from pathlib import Path

import pytest

pytest_plugins = ["pytester", "tests.alone", "tests.calm", "tests.guards", "tests.jaeger_process"]


def pytest_collection_finish() -> None:
    """Take the suite's own objects out of garbage collection: walking through them holds the event
    loop of a run in this process for longer than a run may be held.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture
def workdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make an empty folder the current one, for code that writes `runs/` and `logs/`."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
