"""What every test gets: the guards, a Jaeger where there is a binary, and a folder of its own."""

import gc
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests import examples

pytest_plugins = [
    "pytester",
    "tests.alone",
    "tests.built_wheel",
    "tests.calm",
    "tests.chromium",
    "tests.guards",
    "tests.interrupts",
    "tests.jaeger_process",
    "tests.postgres",
    "tests.second_try",
]


def pytest_configure(config: pytest.Config) -> None:
    """Say how many examples a property gets, and which.

    A part that is chosen by a mark tries the same ones each time: what it says is about the change
    and not about the draw. All tests together, and a file that is named, draw anew. That a machine
    is busy, and drawing therefore slow, is no fault.
    """
    part = config.option.markexpr
    examples.is_quick = part == "not full"
    settings.register_profile(
        "tests",
        deadline=None,
        derandomize=bool(part),
        max_examples=examples.examples(),
        suppress_health_check=[HealthCheck.too_slow],
    )
    settings.load_profile("tests")


@pytest.fixture(autouse=True, scope="module")
def nothing_of_others_to_collect() -> None:
    """Take what stands from before out of garbage collection: walking through it holds the event
    loop of a run in this process for up to 0.2 s, longer than a run may be held.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def nothing_learned_of_models(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep what tests learn of their services out of the user's own folder."""
    memory = tmp_path_factory.mktemp("models") / "models.json"
    os.environ["TRADING_GRAPH_MODEL_MEMORY"] = str(memory)


@pytest.fixture(autouse=True, scope="session")
def no_market_data_of_other_tests() -> None:
    """Let live data be fetched in every test, but in those that say where its file is."""
    os.environ["TRADING_GRAPH_CACHE_FILE"] = "none"


@pytest.fixture
def pytester(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Leave out of a test's own pytest the plugins that take seconds to import."""
    slow = ("schemathesis", "langsmith_plugin", "hypothesispytest")
    monkeypatch.setenv("PYTEST_ADDOPTS", " ".join(f"-p no:{name}" for name in slow))
    return pytester


@pytest.fixture
def workdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make an empty folder the current one, for code that writes `runs/` and `logs/`."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
