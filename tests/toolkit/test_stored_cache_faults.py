"""A cache file that is damaged, locked, full or somebody else's, and processes that share one."""

import asyncio
import contextlib
import json
import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.patience import PATIENCE_S
from tests.toolkit.stored_bars import bars_of, key_of
from tests.toolkit.upstream import Upstream
from tests.unprivileged import unprivileged
from trading_graph.toolkit.bars import Bars
from trading_graph.toolkit.cache import SingleFlightCache
from trading_graph.toolkit.stored_cache import StoredCache, open_stored_cache
from trading_graph.toolkit.ttl import CLOSED_DAY

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(__file__).with_name("file_cache_program.py")
SEED = 20251127


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "market_data.sqlite"


def begin(
    path: Path, word: str, number: int, *before: str, **options: Any
) -> subprocess.Popen[str]:
    """Begin a process that uses the file, and return when it says so."""
    process = subprocess.Popen(
        [*before, sys.executable, str(PROGRAM), str(path), word, str(number)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )
    assert process.stdout is not None
    if process.stdout.readline() != "began\n":
        pytest.fail(process.communicate()[1])
    return process


def end(process: subprocess.Popen[str]) -> tuple[dict[str, int], str]:
    """What a process said of its cache, and its log."""
    said, log = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, log
    return json.loads(said), log


async def closes(path: Path, numbers: range) -> tuple[list[float], int]:
    """What a new cache on the file serves, and how often it had to fetch."""
    calls, served = 0, []
    async with open_stored_cache(path) as store:
        cache = SingleFlightCache(store=store)
        for number in numbers:
            upstream = Upstream(bars_of(number))
            bars = await cache.get(key_of(number), upstream.load, ttl=CLOSED_DAY)
            assert isinstance(bars, Bars)
            served.append(float(bars.close.sum()))
            calls += upstream.calls
    return served, calls


RIGHT = [float(bars_of(number).close.sum()) for number in range(20)]


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


# Processes


def test_a_second_process_finds_what_the_first_has_fetched(path: Path) -> None:
    first, log = end(begin(path, "fill", 20))
    second, later_log = end(begin(path, "read", 20))
    assert first == {"wrong": 0, "misses": 20}
    assert second == {"wrong": 0, "hits": 20, "stored": 20}
    assert not log + later_log


def test_processes_at_the_same_time_share_a_new_file(path: Path) -> None:
    """Each finds its own or another's values, whole, and none finds the file locked."""
    processes = [begin(path, "hammer", 100) for _ in range(3)]
    for process in processes:
        use, log = end(process)
        assert use["wrong"] == 0
        assert not log
    assert end(begin(path, "read", 100))[0] == {"wrong": 0, "hits": 100, "stored": 100}


def test_a_killed_process_leaves_a_file_that_works(path: Path) -> None:
    chance, log = random.Random(SEED), path.with_name(f"{path.name}-wal")
    for number in range(3):
        process = begin(path, "endless", 0)
        deadline = time.monotonic() + PATIENCE_S
        while sum(each.stat().st_size for each in (path, log) if each.exists()) < 100_000 * (
            number + 1
        ):
            assert time.monotonic() < deadline, "it does not write"
            time.sleep(0.01)
        time.sleep(chance.uniform(0.0, 0.4))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    use, said = end(begin(path, "read", 200))
    assert use["wrong"] == 0
    assert not said


# Faults


def damage(path: Path, whole: bytes, number: int, chance: random.Random) -> None:
    """Change one bit, make a page zeros, or cut the end off."""
    damaged, place = bytearray(whole), chance.randrange(len(whole))
    match number % 4:
        case 0 | 1:
            damaged[place] ^= 1 << chance.randrange(8)
        case 2:
            damaged[place : place + 4096] = bytes(4096)
        case _:
            del damaged[place:]
    path.write_bytes(damaged)
    for rest in path.parent.glob("*-wal"):
        rest.unlink()


async def test_damage_anywhere_is_a_miss_and_never_a_wrong_price(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    print("seed", SEED)
    assert await closes(path, range(20)) == (RIGHT, 20)
    assert await closes(path, range(20)) == (RIGHT, 0)
    whole, chance = await asyncio.to_thread(path.read_bytes), random.Random(SEED)
    fetches = []
    for number in range(40):
        await asyncio.to_thread(damage, path, whole, number, chance)
        caplog.clear()
        served, fetched = await closes(path, range(20))
        assert served == RIGHT
        assert len(caplog.records) <= 1, "it is said once"
        fetches.append(fetched)
    assert any(0 < fetched < 20 for fetched in fetches), "one damaged value costs no other"
    assert any(fetched == 20 for fetched in fetches)


def make_text(path: Path) -> None:
    path.write_text("prices\n" * 1000)


def make_folder(path: Path) -> None:
    path.mkdir()


def make_foreign(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE runs (id TEXT)")
        connection.execute("INSERT INTO runs VALUES ('kept')")


def make_no_parent(path: Path) -> None:
    path.parent.rmdir()
    path.parent.write_text("a file")


@pytest.mark.parametrize("make", [make_text, make_folder, make_foreign, make_no_parent])
async def test_what_is_no_cache_file_is_left_alone_and_said_once(
    path: Path, caplog: pytest.LogCaptureFixture, make: Any
) -> None:
    place = path.parent / "cache" / "market_data.sqlite"

    def content() -> bytes | None:
        return place.read_bytes() if place.is_file() else None

    await asyncio.to_thread(place.parent.mkdir)
    await asyncio.to_thread(make, place)
    before = await asyncio.to_thread(content)
    assert await closes(place, range(20)) == (RIGHT, 20)
    (warning,) = warnings_of(caplog)
    assert warning.startswith(f"The cache file {place} cannot be used (")
    assert warning.endswith("TRADING_GRAPH_CACHE_FILE.")
    assert await asyncio.to_thread(content) == before


async def test_a_locked_file_is_done_without(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    await closes(path, range(20))
    holder = await asyncio.to_thread(begin, path, "lock", 0)
    try:
        assert await closes(path, range(20)) == (RIGHT, 20)
    finally:
        await asyncio.to_thread(holder.communicate)
    (warning,) = warnings_of(caplog)
    assert "locked" in warning
    assert (await closes(path, range(20)))[1] == 0, "later it is used again"


def test_a_full_disk_stops_the_writing_and_no_run(path: Path) -> None:
    def fill_up_soon() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    use, log = end(begin(path, "fill", 200, preexec_fn=fill_up_soon))
    assert use == {"wrong": 0, "misses": 200}
    assert log.count("cannot be used") == 1
    use, log = end(begin(path, "read", 200))
    assert use["wrong"] == 0
    assert not log


def test_a_folder_without_the_right_to_write_is_done_without(path: Path) -> None:
    path.parent.chmod(0o500)
    try:
        use, log = end(begin(path, "fill", 20, *unprivileged()))
    finally:
        path.parent.chmod(0o700)
    assert use == {"wrong": 0, "misses": 20}
    assert log.count("cannot be used") == 1
    assert not [*path.parent.iterdir()]


async def test_closing_does_not_wait_for_a_lock(path: Path) -> None:
    """A value that cannot be written holds no command up at its end."""
    store = StoredCache(path)
    await store.open()
    holder = await asyncio.to_thread(begin, path, "write", 0)
    try:
        cache = SingleFlightCache(store=store)
        await cache.get(key_of(1), Upstream(bars_of(1)).load, ttl=CLOSED_DAY)
        await store.close()
        assert store._writer.is_alive(), "it waits yet"
    finally:
        await asyncio.to_thread(holder.communicate)
        await asyncio.to_thread(store._writer.join)
