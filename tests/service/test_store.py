"""The store of runs: pages, keys, verdicts; and a file that cannot be used is one sentence."""

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.service.store_writer import writer_of
from tests.unprivileged import unprivileged
from trading_graph.service.errors import StoreUnavailableError
from trading_graph.service.run.request import RunRequest
from trading_graph.service.store import (
    RunState,
    Store,
    StoredRun,
    StoredVerdict,
    StoredWatch,
    open_store,
)

ROOT = Path(__file__).resolve().parents[2]


def run(number: int, **changed: object) -> StoredRun:
    run_id = f"{number:032x}"
    made = StoredRun(
        id=run_id,
        request=RunRequest(symbol="AAPL", max_calls=7),
        symbol="AAPL",
        date="2025-11-14",
        state=RunState.QUEUED,
        trace_id=run_id,
        traceparent=None,
        idempotency_key=None,
        created=1_000.0 + number,
    )
    return replace(made, **changed)  # type: ignore[arg-type]


def verdict(number: int, started: float) -> StoredVerdict:
    return StoredVerdict(
        f"{number:032x}", f"{number:032x}", "theirs", "n", started, 1.0, None, 5.0, "{}"
    )


async def test_a_run_is_read_as_it_was_kept(tmp_path: Path) -> None:
    path = tmp_path / "new" / "service.sqlite"
    made = run(1, state=RunState.DONE, degraded=True, passed=False, confidence=0.5, seconds=1.5)
    async with open_store(path) as store:
        await store.add(made)
    async with open_store(path) as store:
        assert await store.run(made.id) == made
        await store.change(made.id, passed=None, state=RunState.FAILED, error="e")
        assert await store.run(made.id) == replace(
            made, passed=None, state=RunState.FAILED, error="e"
        )
        assert await store.run("0" * 32) is None


async def test_pages_hold_every_run_once_whatever_comes_in_between(tmp_path: Path) -> None:
    async with open_store(tmp_path / "service.sqlite") as store:
        for number in range(1, 24):
            state = RunState.DONE if number % 2 else RunState.FAILED
            await store.add(run(number, symbol=f"S{number % 3}", state=state))
        seen: list[str] = []
        before = None
        while page := await store.runs(before=before, limit=5):
            seen += [each.id for each in page]
            before = page[-1].id
            await store.add(run(100 + len(seen)))
        assert seen == [run(number).id for number in range(23, 0, -1)]
        some = await store.runs(states=[RunState.DONE], symbol="S1", limit=100)
        assert [each.id for each in some] == [run(number).id for number in (19, 13, 7, 1)]


async def test_an_idempotency_key_is_there_once(tmp_path: Path) -> None:
    async with open_store(tmp_path / "service.sqlite") as store:
        await store.add(run(1, idempotency_key="k"))
        assert await store.run_of_key("k") == run(1, idempotency_key="k")
        assert await store.run_of_key("other") is None
        with pytest.raises(StoreUnavailableError):
            await store.add(run(2, idempotency_key="k"))
        await store.add(run(3))
        await store.add(run(4))  # without a key there may be many


async def test_a_forgotten_run_leaves_nothing(tmp_path: Path) -> None:
    async with open_store(tmp_path / "service.sqlite") as store:
        await store.add(run(1, state=RunState.DONE, ended=10.0))
        await store.add(run(2, state=RunState.RUNNING))
        await store.keep_verdict(verdict(1, 1.0))
        assert [id for id, _ in await store.ended_before(11.0)] == [run(1).id]
        await store.forget(run(1).id)
        assert await store.runs() == [run(2, state=RunState.RUNNING)]
        assert await store.verdict(run(1).id) is None


async def test_a_verdict_takes_the_place_of_an_earlier_one(tmp_path: Path) -> None:
    async with open_store(tmp_path / "service.sqlite") as store:
        for number in (1, 2, 3):
            await store.keep_verdict(verdict(number, float(number)))
        await store.keep_verdict(replace(verdict(2, 2.0), passed=True))
        found = await store.verdicts(limit=2)
        assert [(each.started, each.passed) for each in found] == [(3.0, None), (2.0, True)]
        assert [each.started for each in await store.verdicts(before=verdict(2, 2.0).id)] == [1.0]
        assert await store.verdicts(service="ours") == []


async def test_many_verdicts_are_kept_all_or_none(tmp_path: Path) -> None:
    async with open_store(tmp_path / "service.sqlite") as store:
        await store.keep_verdict(replace(verdict(2, 2.0), name="earlier"))
        await store.keep_verdicts([verdict(number, float(number)) for number in (1, 2, 3)])
        assert [each.name for each in await store.verdicts()] == ["n", "n", "n"]
        bad = replace(verdict(5, 5.0), name=None)  # type: ignore[arg-type]
        with pytest.raises(StoreUnavailableError):
            await store.keep_verdicts([verdict(4, 4.0), bad])
        assert [each.started for each in await store.verdicts()] == [3.0, 2.0, 1.0]
        await store.keep_verdicts([])


async def test_a_cancelled_caller_has_written(tmp_path: Path) -> None:
    async with open_store(tmp_path / "service.sqlite") as store:
        adding = asyncio.create_task(store.add(run(1)))
        await asyncio.sleep(0)  # It has begun, and waits for the writer.
        adding.cancel()
        with pytest.raises(asyncio.CancelledError):
            await adding
        await store.add(run(2))  # The writer keeps the order.
        assert [each.id for each in await store.runs()] == [run(2).id, run(1).id]


EARLIER_RELEASE = """
CREATE TABLE runs (
  id TEXT PRIMARY KEY, request TEXT NOT NULL, symbol TEXT NOT NULL, date TEXT NOT NULL,
  state TEXT NOT NULL, trace_id TEXT NOT NULL, traceparent TEXT, idempotency_key TEXT UNIQUE,
  created REAL NOT NULL, started REAL, ended REAL, seconds REAL,
  resumed INTEGER NOT NULL DEFAULT 0, action TEXT, confidence REAL,
  degraded INTEGER NOT NULL DEFAULT 0, passed INTEGER, error TEXT, langsmith TEXT
) STRICT;
CREATE INDEX runs_by_state ON runs (state, id);
CREATE INDEX runs_by_trace ON runs (trace_id);
CREATE TABLE events (
  run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE, number INTEGER NOT NULL,
  body TEXT NOT NULL, PRIMARY KEY (run_id, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE verdicts (
  id TEXT PRIMARY KEY, trace_id TEXT NOT NULL, service TEXT NOT NULL, name TEXT NOT NULL,
  started REAL NOT NULL, seconds REAL, passed INTEGER, judged REAL NOT NULL, document TEXT NOT NULL
) STRICT;
CREATE INDEX verdicts_by_start ON verdicts (started, id);
CREATE TABLE watches (
  service TEXT PRIMARY KEY, since REAL NOT NULL, setting INTEGER NOT NULL
) STRICT;
INSERT INTO runs (id, request, symbol, date, state, trace_id, created, passed, degraded) VALUES
  ('00000000000000000000000000000001', '{"symbol": "AAPL", "max_calls": 7}', 'AAPL', '2025-11-14',
   'done', '00000000000000000000000000000001', 1001.0, 1, 1);
INSERT INTO events VALUES ('00000000000000000000000000000001', 1, 'a');
INSERT INTO verdicts VALUES ('v', 'v', 'theirs', 'n', 1.0, 1.0, NULL, 5.0, '{}');
INSERT INTO watches VALUES ('theirs', 1.0, 1);
PRAGMA user_version = 1;
"""


def of_an_earlier_release(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.executescript(EARLIER_RELEASE)
    connection.close()


COLUMNS = "SELECT name, type FROM pragma_table_info(?)"
INDEXED = "SELECT name FROM pragma_index_info(?)"


def tables(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """The columns of each table of a file, and of each index."""
    with sqlite3.connect(path) as connection:
        names = connection.execute("SELECT name FROM sqlite_schema WHERE sql IS NOT NULL")
        shape = {
            name: [
                row for query in (COLUMNS, INDEXED) for row in connection.execute(query, (name,))
            ]
            for (name,) in names.fetchall()
        }
    connection.close()
    return shape


async def test_the_file_of_an_earlier_release_is_opened_as_it_is(tmp_path: Path) -> None:
    earlier, new = tmp_path / "earlier.sqlite", tmp_path / "new.sqlite"
    await asyncio.to_thread(of_an_earlier_release, earlier)
    async with open_store(earlier) as store:
        done = run(1, state=RunState.DONE, passed=True, degraded=True)
        assert await store.run(done.id) == done
        (theirs,) = await store.verdicts()
        assert theirs == StoredVerdict("v", "v", "theirs", "n", 1.0, 1.0, None, 5.0, "{}")
        assert await store.watches() == [StoredWatch("theirs", 1.0, setting=True)]
        await store.add(run(2))
        await store.forget(done.id)
    async with open_store(new):
        pass
    assert await asyncio.to_thread(tables, new) == await asyncio.to_thread(tables, earlier)


async def test_a_watch_keeps_the_time_since_which_it_is(tmp_path: Path) -> None:
    async with open_store(tmp_path / "service.sqlite") as store:
        await store.keep_watch(StoredWatch("b", 1.0, setting=False))
        await store.keep_watch(StoredWatch("a", 2.0, setting=False))
        await store.keep_watch(StoredWatch("b", 3.0, setting=True))
        assert await store.watches() == [
            StoredWatch("a", 2.0, setting=False),
            StoredWatch("b", 1.0, setting=True),
        ]
        assert await store.forget_watch("a")
        assert not await store.forget_watch("a")


def of_a_newer_release(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()


def garbage(path: Path) -> None:
    path.write_bytes(b"no database at all " * 1000)


def damaged(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE runs (id TEXT)")
        connection.executemany("INSERT INTO runs VALUES (?)", [("x" * 900,)] * 100)
    connection.close()
    content = bytearray(path.read_bytes())
    content[100:4096] = b"\xff" * 3996
    path.write_bytes(content)


def content(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (of_a_newer_release, "was written by a newer release; use that, or another folder."),
        (garbage, "its file is no SQLite database; move it away."),
        (damaged, "its file is damaged; move it away, or restore a copy."),
        (Path.mkdir, "cannot be opened; give the service a folder that it may write to."),
    ],
)
async def test_a_file_that_cannot_be_used_is_one_sentence_and_left_as_it_is(
    tmp_path: Path, spoil: Callable[[Path], None], said: str
) -> None:
    path = tmp_path / "service.sqlite"
    await asyncio.to_thread(spoil, path)
    before = await asyncio.to_thread(content, path)
    with pytest.raises(StoreUnavailableError) as error:
        async with open_store(path):
            pass
    assert str(error.value).endswith(said)
    assert "\n" not in str(error.value)
    assert await asyncio.to_thread(content, path) == before


async def test_a_locked_store_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trading_graph.service.store.sqlite_file._BUSY_MS", 10)
    async with open_store(tmp_path / "service.sqlite") as store:
        other = await asyncio.to_thread(hold, tmp_path / "service.sqlite")
        assert await store.runs() == [], "readers wait for nobody"
        with pytest.raises(
            StoreUnavailableError, match="holds its lock; stop that process, or wait"
        ):
            await store.add(run(1))
        await asyncio.to_thread(other.rollback)
        await store.add(run(1))
        await asyncio.to_thread(other.close)


def hold(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("BEGIN IMMEDIATE")
    return connection


async def test_a_full_store_is_one_sentence_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    async with open_store(tmp_path / "service.sqlite") as store:
        writer = await writer_of(store)
        await writer.pragma("max_page_count = 20")
        with pytest.raises(
            StoreUnavailableError, match="the disk is full; make room and try again"
        ):
            await fill(store)
        kept = len(await store.runs(limit=None))
        await writer.pragma("max_page_count = 2000")
        await store.add(run(999))
        assert len(await store.runs(limit=None)) == kept + 1


async def fill(store: Store) -> None:
    for number in range(200):
        await store.add(run(number, error="x" * 2000))


async def test_a_store_that_only_reads_is_not_ready(tmp_path: Path) -> None:
    async with open_store(tmp_path / "service.sqlite") as store:
        await store.check()
        await (await writer_of(store)).pragma("query_only = ON")
        with pytest.raises(
            StoreUnavailableError, match="it is read-only; give the service a folder"
        ):
            await store.check()


OPEN = """
import asyncio, sys
from pathlib import Path
from trading_graph.service.store import open_store

async def main():
    async with open_store(Path(sys.argv[1])) as store:
        await store.check()

try:
    asyncio.run(main())
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize("mode", [0o444, 0o000])
def test_a_file_without_rights_is_one_sentence(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "service.sqlite"
    assert opened(path) == ""
    path.chmod(mode)
    tmp_path.chmod(0o555)
    said = opened(path)
    tmp_path.chmod(0o755)
    assert said.startswith("StoreUnavailableError The store of runs cannot be used: it")
    assert said.endswith("give the service a folder that it may write to.")


def opened(path: Path) -> str:
    """Open the store as a user for whom its mode counts, and give what that says."""
    done = subprocess.run(
        unprivileged(sys.executable, "-c", OPEN, str(path)),
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert not done.stderr, done.stderr
    return done.stdout.strip()


async def test_a_run_that_is_over_is_remembered_and_never_after_it_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "service.sqlite"
    async with open_store(path) as store:
        over = run(1, state=RunState.DONE, ended=1.0)
        await store.add(over)
        assert await store.run(over.id) == await store.run(over.id) == over
        await store.change(over.id, error="e")
        assert await store.run(over.id) == replace(over, error="e")
        await store.forget(over.id)
        assert await store.run(over.id) is None
        open_run = run(2)
        await store.add(open_run)
        assert await store.run(open_run.id) == open_run
        await store.change(open_run.id, state=RunState.RUNNING)
        assert await store.run(open_run.id) == replace(open_run, state=RunState.RUNNING)
