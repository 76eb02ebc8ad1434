"""The database that workers share: its address, whether it answers, and its schema.

PostgreSQL serves any number of workers. Without an address one SQLite file beside the portfolios
serves one. The tables are DBOS's and LangGraph's; our own has one row, written last, which says
with what versions of both the others were made.
"""

import contextlib
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fcntl import LOCK_EX, flock
from importlib.metadata import version
from pathlib import Path
from typing import Self

import psycopg
import sqlalchemy as sa

from trading_graph.service.errors import PortfolioError
from trading_graph.service.lazy_import import load
from trading_graph.service.shared.postgresql import for_driver, wrong_encoding

FILE = "queue.sqlite"
TOKEN = ".queue-token"
_OLDEST_SERVER = 140_000  # The first that ends idle sessions.
_CONNECT_S = 3
_LOOK_S = 0.1
_MAKING = 7_235_419_031
"""The number of the lock of who makes the tables."""
_POSTGRES = ("postgresql", "postgres", "postgresql+psycopg")

_HOUSE = sa.Table(
    "trading_graph_queue",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("dbos", sa.String(32), nullable=False),
    sa.Column("checkpoints", sa.String(32), nullable=False),
    sa.Column("token", sa.String(32), nullable=False),
)


@dataclass(frozen=True, slots=True, order=True)
class Schema:
    """What the tables were made with: the versions of DBOS and of LangGraph's checkpoints."""

    dbos: tuple[int, int]
    checkpoints: tuple[int, int]

    @classmethod
    def of_program(cls) -> Self:
        """The schema that this program knows."""
        return cls(_minor(version("dbos")), _minor(version("langgraph-checkpoint-postgres")))


@dataclass(frozen=True, slots=True)
class Database:
    """A database by its address; `name` is the same without a password."""

    url: sa.URL

    @classmethod
    def of(cls, address: str | None, portfolios: Path) -> Self:
        """The database that an address names, or the file beside the portfolios.

        Raises PortfolioError.
        """
        if address is None:
            return cls(sa.URL.create("sqlite", database=str(portfolios.absolute() / FILE)))
        try:
            url = sa.make_url(address)
        except sa.exc.ArgumentError:
            raise PortfolioError(_NO_ADDRESS) from None
        if url.drivername == "sqlite" and url.database:
            return cls(url)
        if url.drivername not in _POSTGRES or not url.database:
            raise PortfolioError(_NO_ADDRESS)
        return cls(url.set(drivername="postgresql"))

    @property
    def is_postgres(self) -> bool:
        """Whether several workers may share it."""
        return self.url.drivername != "sqlite"

    @property
    def name(self) -> str:
        """The address as it may be shown."""
        return self.url.render_as_string()

    @property
    def file(self) -> Path:
        """The file of an SQLite database."""
        return Path(self.url.database or "")

    @property
    def conninfo(self) -> str:
        """The address as libpq reads it."""
        return (
            for_driver(self.url).set(drivername="postgresql").render_as_string(hide_password=False)
        )

    @property
    def dbos_url(self) -> str:
        """The address as DBOS reads it."""
        url = for_driver(self.url) if self.is_postgres else self.url
        return url.render_as_string(hide_password=False)

    def reach(self) -> None:
        """See whether the database can be used, and change nothing.

        Blocks; raises PortfolioError.
        """
        if self.is_postgres or self.file.exists():
            with self._connected() as engine:
                self._schema(engine)

    def prepare(self, portfolios: Path, *, migrate: bool = False) -> None:
        """Make the tables in an empty database; change those of an older version if told so.

        The folder of portfolios gets the token of a database that is made, and must have that of
        any other. Blocks; raises PortfolioError, and then nothing has been changed.
        """
        known = Schema.of_program()
        with self._connected() as engine:
            schema = self._schema(engine)
            if schema == known:
                self._check_folder(engine, portfolios)
                return
            if schema is not None and not schema <= known:
                raise PortfolioError(
                    f"The database {self.name} was made by a newer version (DBOS "
                    f"{_words(schema)}, this one has {_words(known)}); install that version here, "
                    "or name another database."
                )
            if schema is not None and not migrate:
                raise PortfolioError(
                    f"The database {self.name} has an older schema (DBOS {_words(schema)}, this "
                    f"version wants {_words(known)}); let the workers of the older version end "
                    "their portfolios, stop them, and then: trading-graph worker --migrate"
                )
            with self._alone(engine):
                if self._schema(engine) != known:
                    self._make_tables(engine, known, portfolios)
            self._check_folder(engine, portfolios)

    def _check_folder(self, engine: sa.Engine, portfolios: Path) -> None:
        with engine.connect() as connection:
            token = connection.scalar(sa.select(_HOUSE.c.token))
        file = portfolios / TOKEN
        if not file.exists() or file.read_text() != token:
            raise PortfolioError(
                f"{portfolios.absolute()} is not the folder of portfolios that {self.name} belongs "
                f"to (its token is in {TOKEN}): all workers and whoever submits need the same one; "
                "mount it here, or name it in TRADING_GRAPH_PORTFOLIOS."
            )

    @contextmanager
    def _alone(self, engine: sa.Engine) -> Iterator[None]:
        """Let no other process make the tables during the block."""
        if self.is_postgres:
            # No transaction, and no waiting statement: an index that is made concurrently waits
            # for the end of either.
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                while not connection.scalar(sa.select(sa.func.pg_try_advisory_lock(_MAKING))):
                    time.sleep(_LOOK_S)
                yield
            return
        with self.file.with_name(self.file.name + ".making").open("ab") as lock:
            flock(lock, LOCK_EX)
            yield

    @contextmanager
    def _connected(self) -> Iterator[sa.Engine]:
        arguments = {"connect_timeout": _CONNECT_S} if self.is_postgres else {}
        engine = sa.create_engine(self.dbos_url, connect_args=arguments, poolclass=sa.NullPool)
        try:
            if not self.is_postgres:
                self.file.parent.mkdir(parents=True, exist_ok=True)
            yield engine
        except (sa.exc.DBAPIError, psycopg.Error, OSError) as error:
            raise PortfolioError(
                f"The database {self.name} cannot be used: {_reason(error)}; see that it is there "
                "and may be written, or name another with --database or TRADING_GRAPH_DATABASE_URL."
            ) from None
        finally:
            engine.dispose()

    def _schema(self, engine: sa.Engine) -> Schema | None:
        """The schema of the database; None where it has none of ours."""
        with engine.connect() as connection:
            if self.is_postgres:
                number = int(connection.scalar(sa.text("SHOW server_version_num")) or 0)
                if number < _OLDEST_SERVER:
                    raise PortfolioError(
                        f"The database {self.name} is PostgreSQL {number // 10_000}; workers need "
                        "14 or newer."
                    )
                if reason := wrong_encoding(connection):
                    raise PortfolioError(f"The database {self.name} {reason}.")
            if not sa.inspect(connection).has_table(_HOUSE.name):
                return None
            row = connection.execute(sa.select(_HOUSE.c.dbos, _HOUSE.c.checkpoints)).first()
            return None if row is None else Schema(_minor(row.dbos), _minor(row.checkpoints))

    def _make_tables(self, engine: sa.Engine, known: Schema, portfolios: Path) -> None:
        load("service.portfolio.durable.tables:make_tables")(
            self.dbos_url, self.conninfo if self.is_postgres else None
        )
        with engine.begin() as connection:
            _HOUSE.create(connection, checkfirst=True)
            token = connection.scalar(sa.select(_HOUSE.c.token)) or _token_in(portfolios)
            connection.execute(_HOUSE.delete())
            connection.execute(
                _HOUSE.insert().values(
                    id=1,
                    dbos=".".join(map(str, known.dbos)),
                    checkpoints=".".join(map(str, known.checkpoints)),
                    token=token,
                )
            )


def _token_in(portfolios: Path) -> str:
    """The token of a folder of portfolios, which is made if it has none."""
    portfolios.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError), (portfolios / TOKEN).open("x") as file:
        file.write(uuid.uuid4().hex)
    return (portfolios / TOKEN).read_text()


_NO_ADDRESS = (
    "The address of the database cannot be used; give one as "
    "postgresql://USER:PASSWORD@HOST:5432/NAME in TRADING_GRAPH_DATABASE_URL or with --database."
)


def _minor(text: str) -> tuple[int, int]:
    """The first two numbers of a version."""
    numbers = re.findall(r"\d+", text)
    return int(numbers[0]), int(numbers[1])


def _words(schema: Schema) -> str:
    (a, b), (c, d) = schema.dbos, schema.checkpoints
    return f"{a}.{b}, checkpoints {c}.{d}"


def _reason(error: Exception) -> str:
    """The first line of what the driver said."""
    cause = getattr(error, "orig", None) or error
    return (str(cause).strip().splitlines() or [type(cause).__name__])[0].rstrip(".;")
