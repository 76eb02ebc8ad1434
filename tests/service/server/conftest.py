"""What tests of the service get: no exporter unless they say so, and an empty store if they ask."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from trading_graph.service.store import Store, open_store


@pytest.fixture(autouse=True)
def no_exporter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with open_store(tmp_path / "service.sqlite") as opened:
        yield opened
