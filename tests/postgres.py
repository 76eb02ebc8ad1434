"""A real PostgreSQL for tests: Debian's, on a free port of loopback, in a folder of its own.

A pytest plugin with three fixtures: `postgres`, one server for the whole session; `postgres_url`, a
new database of it for each test; `postgres_server`, one for a test that stops and restarts it.
Where there is none the tests are skipped, or fail where TRADING_GRAPH_REQUIRE_POSTGRES is 1.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.jaeger_process import free_ports
from tests.patience import PATIENCE_S

# Read on import: the guards remove the project's variables from the environment before any test.
REQUIRED = os.environ.get("TRADING_GRAPH_REQUIRE_POSTGRES") == "1"

# What a power failure would lose is not tested, and each commit would wait for the disk.
SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "max_connections": "200",
    "shared_buffers": "32MB",
    "listen_addresses": "127.0.0.1",
}


class PostgresServer:
    """One PostgreSQL that can be stopped, killed and started again on its port, with its data."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        # The server refuses to run as root, and another user cannot enter pytest's own folders.
        self._folder = Path(tempfile.mkdtemp(prefix="tg-postgres-"))
        self._user = "postgres" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
        if os.getuid() == 0:
            shutil.chown(self._folder, self._user)
        (self.port,) = free_ports(1)
        self._run("initdb", "-D", self._data, "-U", "tester", "-A", "trust", "-E", "UTF8", "-N")

    @property
    def _data(self) -> str:
        return str(self._folder / "data")

    @property
    def log(self) -> Path:
        """Where the server logs."""
        return self._folder / "log"

    def url(self, database: str = "postgres") -> str:
        """The address of a database of this server."""
        return f"postgresql://tester@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = [f"-c {key}={value}" for key, value in SETTINGS.items()]
        words = " ".join([f"-p {self.port}", f"-k {self._folder}", *options])
        patience = ["-w", "-t", str(round(PATIENCE_S))]
        self._run("pg_ctl", "start", "-D", self._data, "-l", str(self.log), "-o", words, *patience)

    def stop(self, mode: str = "fast") -> None:
        """End it and wait; the mode `immediate` is a crash."""
        self._run("pg_ctl", "stop", "-D", self._data, "-m", mode, "-w")

    def new_database(self, encoding: str = "UTF8") -> str:
        """Make an empty database, and return its address."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        self.sql(f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0")
        return self.url(name)

    def sql(self, command: str, database: str = "postgres") -> str:
        """Run one command, and return what psql prints of it, without heads."""
        return self._run("psql", "-X", "-q", "-A", "-t", "-c", command, self.url(database))

    def remove(self) -> None:
        """Stop it if it runs, and delete its data."""
        if Path(self._data, "postmaster.pid").exists():
            self.stop("immediate")
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self, program: str, *words: str) -> str:
        command = [str(self._programs / program), *words]
        if os.getuid() == 0:
            command = ["runuser", "-u", self._user, "--", *command]
        # A file: the server inherits it, and a pipe would stay open as long as the server lives.
        with tempfile.TemporaryFile("w+") as talk:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=talk, stderr=talk, cwd="/"
            )
            talk.seek(0)
            text = talk.read()
        if done.returncode:
            log = self.log.read_text(errors="replace")[-2000:] if self.log.exists() else ""
            raise RuntimeError(f"{program} ended with {done.returncode}: {text}{log}")
        return text.strip()


def find_programs() -> Path | None:
    """The folder of the newest server's programs: Debian keeps them out of PATH."""
    folders = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda each: float(each.parent.name)
    )
    on_path = shutil.which("initdb")
    candidates = [*reversed(folders), *([Path(on_path).parent] if on_path else [])]
    return next((each for each in candidates if os.access(each / "initdb", os.X_OK)), None)


def programs_or_skip() -> Path:
    """The folder of the programs, or skip the test that asks (or fail it where one is required)."""
    programs = find_programs()
    if programs is not None:
        return programs
    reason = "no PostgreSQL here: apt-get install postgresql"
    if REQUIRED:
        pytest.fail(f"{reason} (TRADING_GRAPH_REQUIRE_POSTGRES=1)", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """Run one PostgreSQL for all tests of the session."""
    server = PostgresServer(programs_or_skip())
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> str:
    """Make an empty database, and give its address."""
    return postgres.new_database()


@pytest.fixture
def postgres_server() -> Iterator[PostgresServer]:
    """Run a PostgreSQL of the test's own."""
    server = PostgresServer(programs_or_skip())
    try:
        server.start()
        yield server
    finally:
        server.remove()
