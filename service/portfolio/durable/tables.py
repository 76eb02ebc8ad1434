"""Making the tables of DBOS and of LangGraph's checkpoints, which imports both."""

from dbos import DBOS
from langgraph.checkpoint.postgres import PostgresSaver


def make_tables(dbos_url: str, conninfo: str | None) -> None:
    """Make the tables, or bring them up to date; `conninfo` is of a PostgreSQL, else None.

    Blocks; raises the errors of the drivers.
    """
    DBOS.migrate(dbos_url)
    if conninfo is not None:
        with PostgresSaver.from_conn_string(conninfo) as saver:
            saver.setup()
