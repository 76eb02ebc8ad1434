"""The store in PostgreSQL: it does what it does in a file, and outlives a restart of the server."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.postgres import PostgresServer
from tests.service.test_store import run, verdict
from trading_graph.service.errors import SettingsError, StoreUnavailableError
from trading_graph.service.exit_codes import ExitCode, report_failure
from trading_graph.service.shared.house import open_house
from trading_graph.service.store import RunState, StoredWatch, open_store

NO_FILE = Path("/nowhere/service.sqlite")


async def test_it_keeps_what_a_file_keeps(postgres_url: str) -> None:
    done = run(1, state=RunState.DONE, ended=10.0, passed=False, degraded=True, confidence=0.5)
    async with open_store(NO_FILE, postgres_url) as store:
        await store.add(done)
        await store.add(run(2, idempotency_key="k"))
        with pytest.raises(StoreUnavailableError):
            await store.add(run(3, idempotency_key="k"))
        await store.keep_verdicts([verdict(number, float(number)) for number in (1, 2, 3)])
        await store.keep_verdict(replace(verdict(2, 2.0), passed=True))
        await store.keep_watch(StoredWatch("b", 1.0, setting=False))
        await store.keep_watch(StoredWatch("b", 2.0, setting=True))
        await store.check()
    async with open_store(NO_FILE, postgres_url) as store:
        assert await store.run(done.id) == done
        assert await store.run_of_key("k") == run(2, idempotency_key="k")
        assert [each.passed for each in await store.verdicts(limit=2)] == [None, True]
        assert [each.started for each in await store.verdicts(before=verdict(2, 0).id)] == [1.0]
        assert await store.watches() == [StoredWatch("b", 1.0, setting=True)]
        await store.change(run(2).id, state=RunState.RUNNING)
        assert [each.id for each in await store.runs(states=[RunState.RUNNING])] == [run(2).id]
        assert [id for id, _ in await store.ended_before(11.0)] == [done.id]
        await store.forget(done.id)
        assert [each.id for each in await store.runs(limit=None)] == [run(2).id]


async def test_it_goes_on_after_a_restart_of_the_server(postgres_server: PostgresServer) -> None:
    url = await asyncio.to_thread(postgres_server.new_database)
    async with open_store(NO_FILE, url) as store:
        await store.add(run(1))
        await store.runs()
        await asyncio.to_thread(postgres_server.stop)
        with pytest.raises(StoreUnavailableError, match="start the database, or correct its addre"):
            await store.add(run(2))
        await asyncio.to_thread(postgres_server.start)
        await store.add(run(2))
        assert len(await store.runs()) == 2
        await asyncio.to_thread(postgres_server.stop)
        await asyncio.to_thread(postgres_server.start)
        assert len(await store.runs()) == 2, "a restart that nobody notices"
        await store.add(run(3))


async def opened(address: str) -> Exception:
    """What both parts say of an address, which begins and ends in the same way."""
    said = []
    for opening in (open_store(NO_FILE, address), open_house(address)):
        with pytest.raises((StoreUnavailableError, SettingsError)) as error:
            async with opening:
                pass
        said.append(error.value)
        assert "\n" not in str(error.value)
        assert "secret" not in str(error.value)
    assert type(said[0]) is type(said[1])
    return said[0]


async def test_a_database_that_is_not_there_is_one_sentence(postgres: PostgresServer) -> None:
    for address in (
        "postgresql://tester:secret@127.0.0.1:1/none",
        postgres.url("none").replace("tester@", "tester:secret@"),
    ):
        error = await opened(address)
        assert "start the database, or correct its address." in str(error)
        assert await asyncio.to_thread(report_failure, error) == ExitCode.NOT_DONE


async def test_another_database_s_address_is_a_setting_to_correct() -> None:
    for address in ("mysql://a:secret@b/c", "no address: secret"):
        error = await opened(address)
        assert str(error).startswith("TRADING_GRAPH_DATABASE_URL is no address of a PostgreSQL")


@pytest.mark.parametrize(("version", "age"), [(99, "a newer"), (0, "an older")])
async def test_tables_of_another_release_are_refused_and_left(
    postgres: PostgresServer, postgres_url: str, version: int, age: str
) -> None:
    name = postgres_url.rpartition("/")[2]
    async with open_store(NO_FILE, postgres_url), open_house(postgres_url):
        pass
    await asyncio.to_thread(
        postgres.sql, f"UPDATE trading_graph.versions SET version = {version}", name
    )
    error = await opened(postgres_url)
    assert f"written by {age} release (version {version}, not " in str(error)
    assert str(error).endswith("use that, or another database.")


async def test_a_database_that_does_not_hold_every_text_is_refused(
    postgres: PostgresServer,
) -> None:
    error = await opened(await asyncio.to_thread(postgres.new_database, "SQL_ASCII"))
    assert str(error).startswith("The database of the store is in the encoding SQL_ASCII, which ")


async def test_who_may_not_create_tables_is_told_so_and_nothing_is_half_done(
    postgres: PostgresServer, postgres_url: str
) -> None:
    name = postgres_url.rpartition("/")[2]
    await asyncio.to_thread(postgres.sql, f"CREATE ROLE r{name} LOGIN", name)
    error = await opened(postgres_url.replace("tester", f"r{name}"))
    assert "grant it the right to create a schema and tables." in str(error)
    schemas = "SELECT nspname FROM pg_namespace WHERE nspname = 'trading_graph'"
    assert await asyncio.to_thread(postgres.sql, schemas, name) == ""


async def test_services_that_begin_at_once_create_the_tables_once(postgres_url: str) -> None:
    async def begin(open_part: Callable[[], object]) -> None:
        async with open_part():  # type: ignore[attr-defined]
            pass

    await asyncio.gather(
        *(begin(lambda: open_store(NO_FILE, postgres_url)) for _ in range(4)),
        *(begin(lambda: open_house(postgres_url)) for _ in range(4)),
    )
