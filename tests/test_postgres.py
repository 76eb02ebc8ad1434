"""The PostgreSQL of tests: a database for each, and what is committed outlives a restart."""

import pytest

from tests.postgres import PostgresServer


def test_each_test_has_a_database_of_its_own(postgres: PostgresServer, postgres_url: str) -> None:
    other = postgres.new_database()
    postgres.sql("CREATE TABLE mark (at int)", postgres_url.rpartition("/")[2])

    assert other != postgres_url
    tables = "SELECT count(*) FROM information_schema.tables WHERE table_name = 'mark'"
    assert postgres.sql(tables, postgres_url.rpartition("/")[2]) == "1"
    assert postgres.sql(tables, other.rpartition("/")[2]) == "0"


@pytest.mark.full
def test_a_restarted_server_has_its_data_at_the_same_address(
    postgres_server: PostgresServer,
) -> None:
    postgres_server.sql("CREATE TABLE mark AS SELECT 7 AS at")
    url = postgres_server.url()

    postgres_server.stop("fast")
    postgres_server.start()

    assert postgres_server.url() == url
    assert postgres_server.sql("SELECT at FROM mark") == "7"
