"""The database of workers: what cannot be used is refused with a sentence, and nothing is begun."""

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.jaeger_process import free_ports
from tests.postgres import PostgresServer
from trading_graph.service.cli import main
from trading_graph.service.errors import PortfolioError
from trading_graph.service.extras import VERSION
from trading_graph.service.portfolio.durable.database import Database
from trading_graph.service.portfolio.durable.queue import WorkQueue, workflow_id
from trading_graph.service.portfolio.folder import PortfolioFolder
from trading_graph.service.shared.house import open_house


def submit(address: str, *symbols: str) -> Result:
    words = ["portfolio", "submit", "AAPL", *symbols, "--offline", "--database", address]
    return CliRunner().invoke(main, words)


@pytest.mark.parametrize(
    "address", ["mysql://db/trading", "postgresql://db", "nonsense", "sqlite://"]
)
def test_an_address_that_names_no_database_is_refused(workdir: Path, address: str) -> None:
    with pytest.raises(PortfolioError, match="give one as postgresql://"):
        Database.of(address, workdir)


def test_a_server_that_is_not_there_is_named_without_its_password(workdir: Path) -> None:
    (port,) = free_ports(1)
    refused = submit(f"postgresql://me:sesame@127.0.0.1:{port}/trading")
    assert refused.exit_code == 3
    assert f"127.0.0.1:{port}/trading cannot be used" in refused.stderr
    assert "sesame" not in refused.output
    assert "begins" not in refused.stderr, "nothing begins there"
    assert not (workdir / "portfolios").exists()


def test_a_file_that_is_no_database_is_refused(workdir: Path) -> None:
    file = workdir / "notes.txt"
    file.write_text("Buy milk, and then some more milk." * 9)
    refused = submit(f"sqlite:///{file}")
    assert refused.exit_code == 3
    assert "cannot be used: file is not a database" in refused.stderr
    assert not (workdir / "portfolios").exists()


def test_who_submits_without_a_worker_is_told_that_nobody_works(workdir: Path) -> None:
    done = submit(f"sqlite:///{workdir / 'queue.sqlite'}")
    assert done.exit_code == 0, done.output
    assert "is in line in sqlite:///" in done.stderr
    assert "no worker is there" in done.stderr


def test_ticker_days_that_left_the_line_without_an_end_are_an_alarm(workdir: Path) -> None:
    """As when somebody cancels work in the database: nobody would ever do it."""
    address = f"sqlite:///{workdir / 'queue.sqlite'}"
    portfolio_id = submit(address, "NVDA").stdout.strip()

    def status() -> str:
        done = CliRunner().invoke(main, ["portfolio", "status", "--database", address])
        assert done.exit_code == 0, done.output
        return done.stderr

    order = PortfolioFolder(workdir / "portfolios", portfolio_id).order()
    with WorkQueue.of(Database.of(address, workdir)) as queue:
        assert "left the line" not in status()
        assert len(queue.unfinished()) == 1
        assert not queue.unfinished([]), "nobody's work is not everybody's"
        first, second = (each.run_id for each in order.ticker_days)
        queue.add_ticker_days(portfolio_id, [first, second], VERSION)
        assert "left the line" not in status()
        queue.remove(queue.unfinished([workflow_id(first)]))
        assert f"ALARM: 1 of the ticker-days of the portfolio {portfolio_id} left" in status()
        queue.remove(queue.unfinished([workflow_id(portfolio_id)]))
        assert "ALARM: 1 of the ticker-days" in status(), "the other one is in line"
        queue.remove(queue.unfinished())
        assert "ALARM: 2 of the ticker-days" in status()
    done = CliRunner().invoke(main, ["portfolio", "cancel", "--database", address, "--json"])
    assert done.exit_code == 0, done.output
    assert {x["state"] for x in json.loads(done.stdout)["ticker_days"]} == {"cancelled"}


@pytest.mark.parametrize(
    ("version", "sentence"),
    [("99.0", "was made by a newer version"), ("3.0", "has an older schema")],
)
def test_a_schema_of_another_version_is_refused_and_stays_as_it_is(
    workdir: Path, postgres: PostgresServer, postgres_url: str, version: str, sentence: str
) -> None:
    name = postgres_url.rpartition("/")[2]
    database = Database.of(postgres_url, workdir)
    database.prepare(workdir / "portfolios")
    postgres.sql(f"UPDATE trading_graph_queue SET dbos = '{version}'", name)
    for words in (["portfolio", "submit", "AAPL", "--offline"], ["worker"]):
        refused = CliRunner().invoke(main, [*words, "--database", postgres_url])
        assert refused.exit_code == 3
        assert sentence in refused.stderr
    assert not list((workdir / "portfolios").glob("*/"))
    assert postgres.sql("SELECT dbos FROM trading_graph_queue", name) == version
    assert postgres.sql("SELECT count(*) FROM dbos.workflow_status", name) == "0"


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_a_database_that_does_not_hold_every_text_is_refused(
    workdir: Path, postgres: PostgresServer, encoding: str
) -> None:
    url = postgres.new_database(encoding)
    for words in (["portfolio", "submit", "AAPL", "--offline"], ["worker"]):
        refused = CliRunner().invoke(main, [*words, "--database", url])
        assert refused.exit_code == 3
        assert refused.stderr.count("\n") == 1
        assert f"is in the encoding {encoding}, which does not hold every text" in refused.stderr
    assert not (workdir / "portfolios").exists()
    tables = "SELECT count(*) FROM pg_namespace WHERE nspname IN ('dbos', 'trading_graph')"
    assert postgres.sql(tables, url.rpartition("/")[2]) == "0"


@pytest.mark.parametrize(("version", "age"), [(99, "a newer"), (0, "an older")])
def test_a_worker_refuses_limits_and_cache_of_another_release(
    workdir: Path, postgres: PostgresServer, postgres_url: str, version: int, age: str
) -> None:
    name = postgres_url.rpartition("/")[2]
    asyncio.run(_open_and_close(postgres_url))
    postgres.sql(f"UPDATE trading_graph.versions SET version = {version}", name)
    refused = CliRunner().invoke(main, ["worker", "--database", postgres_url])
    assert refused.exit_code == 3
    assert f"tables of the house were written by {age} release" in refused.stderr
    assert postgres.sql("SELECT version FROM trading_graph.versions", name) == str(version)


async def _open_and_close(address: str) -> None:
    async with open_house(address):
        pass


def test_an_older_schema_is_changed_only_where_that_is_said(
    workdir: Path, postgres: PostgresServer, postgres_url: str
) -> None:
    name = postgres_url.rpartition("/")[2]
    database = Database.of(postgres_url, workdir)
    database.prepare(workdir / "portfolios")
    current = postgres.sql("SELECT dbos FROM trading_graph_queue", name)
    postgres.sql("UPDATE trading_graph_queue SET dbos = '3.0'", name)

    database.prepare(workdir / "portfolios", migrate=True)

    assert postgres.sql("SELECT dbos FROM trading_graph_queue", name) == current
    database.prepare(workdir / "portfolios")


def test_a_worker_beside_another_folder_of_portfolios_does_not_begin(
    workdir: Path, postgres_url: str
) -> None:
    database = Database.of(postgres_url, workdir)
    database.prepare(workdir / "portfolios")
    for there in (False, True):
        if there:
            Database.of(None, workdir).prepare(workdir / "elsewhere")
        with pytest.raises(PortfolioError, match="not the folder of portfolios"):
            database.prepare(workdir / "elsewhere")
    database.prepare(workdir / "portfolios")
