"""The guards around every test, each proved by tests that have to fail under it."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

SETTINGS = ("-p", "tests.guards", "-p", "no:langsmith_plugin", "-p", "no:cacheprovider")


@pytest.fixture
def inner(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Prepare a pytest of its own under the guards, as far as they go without our conftest."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makeini("[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function")
    return pytester


def outcomes(inner: pytest.Pytester, source: str) -> tuple[dict[str, str], str]:
    """Run a test module and return the outcome of each test with the whole output."""
    inner.makepyfile(source)
    result = inner.runpytest_subprocess(*SETTINGS, "-v", "--tb=short")
    words = [line.split() for line in result.outlines if "::" in line]
    return {
        line[0].split("::")[1]: line[1]
        for line in words
        if line[1:2] and line[1] in ("PASSED", "FAILED", "ERROR")
    }, result.stdout.str()


def test_a_test_that_reaches_a_foreign_host_fails_even_when_the_error_is_swallowed(
    inner: pytest.Pytester,
) -> None:
    found, talk = outcomes(
        inner,
        """
        import asyncio, contextlib, socket, threading
        import pytest

        def test_connect():
            with contextlib.suppress(OSError):
                socket.create_connection(("192.0.2.1", 80), timeout=1)

        def test_connect_ex():
            with socket.socket() as s, contextlib.suppress(OSError):
                s.settimeout(1)
                s.connect_ex(("192.0.2.1", 80))

        def test_datagram():
            with socket.socket(type=socket.SOCK_DGRAM) as s, contextlib.suppress(OSError):
                s.sendto(b"x", ("192.0.2.1", 53))

        def test_look_up():
            with contextlib.suppress(OSError):
                socket.getaddrinfo("example.invalid", 80)

        def test_old_look_up():
            with contextlib.suppress(OSError):
                socket.gethostbyname("example.invalid")

        async def test_look_up_in_a_thread_of_the_loop():
            with contextlib.suppress(OSError):
                await asyncio.get_running_loop().getaddrinfo("example.invalid", 80)

        async def test_asyncio_connection():
            with contextlib.suppress(OSError):
                await asyncio.open_connection("192.0.2.1", 80)

        def test_mapped_address():
            with socket.socket(socket.AF_INET6) as s, contextlib.suppress(OSError):
                s.settimeout(1)
                s.connect(("::ffff:192.0.2.1", 80))

        @pytest.fixture
        def reaching():
            with contextlib.suppress(OSError):
                socket.getaddrinfo("example.invalid", 80)

        def test_fixture(reaching):
            pass
        """,
    )
    assert found.pop("test_fixture") == "ERROR"
    assert len(found) == 8
    assert set(found.values()) == {"FAILED"}, found
    assert "reached for a foreign host: socket.connect 192.0.2.1" in talk
    assert "socket.getaddrinfo example.invalid" in talk


def test_this_machine_stays_reachable_under_the_guard(inner: pytest.Pytester) -> None:
    found, talk = outcomes(
        inner,
        """
        import asyncio, socket, tempfile

        def test_loopback():
            with socket.create_server(("127.0.0.1", 0)) as server:
                port = server.getsockname()[1]
                for host in ("127.0.0.1", "localhost"):
                    socket.create_connection((host, port), timeout=5).close()

        def test_unix():
            with (
                # The path of a socket may have 107 bytes, and tmp_path may have more.
                tempfile.TemporaryDirectory() as folder,
                socket.socket(socket.AF_UNIX) as server,
                socket.socket(socket.AF_UNIX) as client,
            ):
                server.bind(f"{folder}/s")
                server.listen()
                client.connect(f"{folder}/s")

        async def test_asyncio():
            server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
            async with server:
                port = server.sockets[0].getsockname()[1]
                _, writer = await asyncio.open_connection("localhost", port)
                writer.close()
                await writer.wait_closed()
        """,
    )
    assert set(found.values()) == {"PASSED"}, talk
    assert len(found) == 3


def test_a_blocking_call_on_the_loop_fails_and_off_the_loop_it_does_not(
    inner: pytest.Pytester,
) -> None:
    found, talk = outcomes(
        inner,
        """
        import asyncio, pathlib, threading, time

        async def test_sleep_on_the_loop():
            time.sleep(0.001)

        async def test_file_on_the_loop():
            pathlib.Path(__file__).read_text()

        def test_loop_of_asyncio_run():
            async def body():
                time.sleep(0.001)
            asyncio.run(body())

        async def test_in_a_thread():
            await asyncio.to_thread(time.sleep, 0.001)
            await asyncio.to_thread(pathlib.Path(__file__).read_text)

        def test_without_a_loop():
            time.sleep(0.001)

        async def test_loop_of_a_server_thread():
            async def body():
                time.sleep(0.001)
            await asyncio.to_thread(asyncio.run, body())

        async def test_first_import():
            import sqlite3.dump, wave, mailbox
        """,
    )
    blocked = {name for name, outcome in found.items() if outcome == "FAILED"}
    assert blocked == {
        "test_sleep_on_the_loop",
        "test_file_on_the_loop",
        "test_loop_of_asyncio_run",
    }, talk
    assert len(found) == 7
    assert "Blocking call to time.sleep" in talk


def test_no_test_sees_the_keys_and_proxies_of_the_environment(
    inner: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = (
        "OPENAI_API_KEY",
        "LANGSMITH_TRACING",
        "LANGCHAIN_API_KEY",
        "OTEL_SDK_DISABLED",
        "TRADING_GRAPH_MODEL",
        "https_proxy",
    )
    for name in names:
        monkeypatch.setenv(name, "1")
    found, talk = outcomes(
        inner,
        f"""
        import os

        ON_IMPORT = set(os.environ)

        def test_clean():
            assert not set({names!r}) & (ON_IMPORT | set(os.environ))
        """,
    )
    assert found == {"test_clean": "PASSED"}, talk


def test_workdir_is_an_empty_folder_and_the_current_one(workdir: Path) -> None:
    assert Path.cwd() == workdir
    assert not list(workdir.iterdir())
