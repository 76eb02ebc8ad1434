"""What reads a stranger's trace is bounded in memory, time and number, and leaves nothing."""

import asyncio
import contextlib
import json
import os
import resource
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path

import pytest

from tests.service.foreign_program import ForeignProgram, id_of, written
from trading_graph.service.server.judging import (
    LIMITS,
    Judgement,
    Judging,
    Limits,
    judging_environment,
)
from trading_graph.service.server.problems import Problem

NOWHERE = "http://127.0.0.1:9"
VERIFY = ("verify", "--format=json", "--", "upload")
_MIB = 2**20


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for temporary files that has to be empty at the end."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


async def judged(
    content: bytes, limits: Limits = LIMITS, words: tuple[str, ...] = VERIFY
) -> Judgement:
    judging = Judging(NOWHERE, limits)
    async with judging.place() as folder:
        await asyncio.to_thread((folder / "upload").write_bytes, content)
        return await judging.command(words, folder)


async def refused(content: bytes, limits: Limits = LIMITS) -> str:
    with pytest.raises(Problem) as raised:
        await judged(content, limits)
    assert raised.value.status == HTTPStatus.UNPROCESSABLE_ENTITY
    return raised.value.detail


async def test_a_trace_is_judged_as_at_a_terminal() -> None:
    spans = ForeignProgram().trace()
    found = await judged(written(spans))
    document = json.loads(found.text)
    assert document["trace_id"] == id_of(spans)
    assert document["complete"] is True
    assert document["passed"] is found.passed


async def test_an_incomplete_trace_is_an_answer_without_a_verdict() -> None:
    found = await judged(written(ForeignProgram().trace()[:-1]))
    assert found.passed is None
    assert json.loads(found.text)["complete"] is False


@pytest.mark.parametrize("content", [b"", b"{", b"\x00\xff", b"[" * 100_000, b"[]", b'{"a": 1}'])
async def test_rubbish_is_one_sentence_that_names_the_upload(content: bytes) -> None:
    said = await refused(content)
    assert said.startswith(("upload", "There is no trace in upload"))
    assert "\n" not in said
    assert tempfile.gettempdir() not in said


async def test_one_that_needs_too_much_memory_is_refused_and_not_taken_for_failed() -> None:
    many = written(ForeignProgram().trace(children=20_000))
    said = await refused(many, replace(LIMITS, memory=380 * _MIB))
    assert "380 MiB" in said


async def test_one_that_takes_too_long_is_ended() -> None:
    """It has used a part of the processor time that even a small trace takes to its end."""
    begin = processor_s()
    await judged(written(ForeignProgram().trace()))
    small_s = processor_s() - begin
    limit_s = round(small_s / 4, 3)
    said = await refused(
        written(ForeignProgram().trace(children=20_000)), replace(LIMITS, seconds=limit_s)
    )
    assert f"within {limit_s:g} s" in said
    assert processor_s() - begin - small_s < small_s / 2


def processor_s() -> float:
    """The processor time of all processes of this one that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


async def test_one_of_which_there_is_too_much_to_say_is_refused() -> None:
    said = await refused(written(ForeignProgram().trace()), replace(LIMITS, answer=100))
    assert "MiB" in said


async def test_no_secret_of_the_service_is_in_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("LANGSMITH_API_KEY", "ls-secret")
    environment = judging_environment(NOWHERE)
    assert "secret" not in str(environment)
    assert environment["PATH"] == os.environ["PATH"]
    assert environment["TRADING_GRAPH_JAEGER_URL"] == NOWHERE


async def test_a_file_is_judged_once_until_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "trace.jsonl"
    await asyncio.to_thread(file.write_bytes, written(ForeignProgram().trace()))
    judging, words = Judging(NOWHERE), ["diagnose", "--format=json"]
    async with judging.place() as folder:
        first = await judging.command_on_file(words, file, folder)
        assert first.text.startswith(b"{")
        assert await judging.command_on_file(words, file, folder) is first
        other = await judging.command_on_file(["diagnose", "--format=text"], file, folder)
        assert not other.text.startswith(b"{")
        await asyncio.to_thread(os.utime, file, (1, 1))
        assert await judging.command_on_file(words, file, folder) is not first


async def test_an_upload_cannot_be_imported() -> None:
    judging = Judging(NOWHERE)
    async with judging.place() as folder:
        await asyncio.to_thread((folder / "service.py").write_text, "raise SystemExit(0)")
        await asyncio.to_thread((folder / "upload").write_bytes, written(ForeignProgram().trace()))
        assert (await judging.command(VERIFY, folder)).text


async def test_two_at_once_and_the_line_is_bounded() -> None:
    content = written(ForeignProgram().trace())
    judging = Judging(NOWHERE, replace(LIMITS, at_once=2, in_line=2))
    most = 0

    async def one() -> Judgement:
        async with judging.place() as folder:
            await asyncio.to_thread((folder / "upload").write_bytes, content)
            return await judging.command(VERIFY, folder)

    async def watched() -> None:
        nonlocal most
        while True:
            most = max(most, await asyncio.to_thread(children))
            await asyncio.sleep(0.02)

    watcher = asyncio.create_task(watched())
    found = await asyncio.gather(*(one() for _ in range(6)), return_exceptions=True)
    watcher.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watcher
    problems = [each for each in found if isinstance(each, Problem)]
    assert [each.status for each in problems] == [HTTPStatus.SERVICE_UNAVAILABLE] * 2
    assert all("Retry-After" in each.headers for each in problems)
    assert sum(isinstance(each, Judgement) for each in found) == 4
    assert most == 2


async def test_a_client_that_leaves_ends_its_process() -> None:
    task = asyncio.create_task(judged(written(ForeignProgram().trace(children=2_000))))
    await asyncio.to_thread(wait_for_a_child)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(children) == 0


def children() -> int:
    """How many processes judge for this one."""
    found = 0
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = status.read_text().rpartition(")")[2].split()
            command = (status.parent / "cmdline").read_bytes()
            found += int(fields[1]) == os.getpid() and b"RLIMIT_AS" in command
    return found


def wait_for_a_child() -> None:
    while not children():
        time.sleep(0.01)
