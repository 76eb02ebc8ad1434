"""Verdicts, diagnoses and comparisons of traces, each made in a bounded process.

A trace may come from anybody, so each is read in a process of its own. The process runs the command
that people run at a terminal, with limits on memory, time and output. A few run at once, and a few
wait in line. A crash or a hang there harms no run.
"""

import asyncio
import contextlib
import logging
import math
import os
import sys
import tempfile
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import msgspec

from trading_graph.service.exit_codes import ErrorJson, ExitCode
from trading_graph.service.server.problems import Problem

_LOG = logging.getLogger(__name__)

_MIB = 2**20
_CHUNK = 2**16
_LONGEST_SENTENCE = 1_000
_MOST_KEPT = 32 * _MIB
"""Of the answers about files that do not change, in bytes."""

# The limits hold before anything of ours is imported, and after the service was killed.
_PROGRAM = """\
import resource
for limit, most in ((resource.RLIMIT_AS, {memory}), (resource.RLIMIT_CPU, {seconds}),
                    (resource.RLIMIT_CORE, 0)):
    resource.setrlimit(limit, (most, most))
from trading_graph.service.cli import main
main()
"""

_INHERITED = frozenset(
    {
        "PATH",
        "HOME",
        "TMPDIR",
        "TZ",
        "LANG",
        "LD_LIBRARY_PATH",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "NO_PROXY",
    }
)
_INHERITED_PREFIXES = ("LC_", "PYTHON")


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one process, and how many run at once or wait in line.

    `memory` limits the address space of the process and `answer` its output, in bytes.
    """

    seconds: float = 30.0
    memory: int = 2048 * _MIB
    answer: int = 32 * _MIB
    at_once: int = 2
    in_line: int = 16


LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Judgement:
    """The output of the command, and whether its gate passed; None if it could not judge."""

    text: bytes
    passed: bool | None


class Judging:
    """Runs commands on traces, each in a bounded process; the only Jaeger is the configured one."""

    def __init__(self, jaeger_url: str, limits: Limits = LIMITS) -> None:
        self._jaeger_url = jaeger_url
        self._limits = limits
        self._slots = asyncio.Semaphore(limits.at_once)
        self._places = 0
        self._kept: OrderedDict[tuple[str | int, ...], Judgement] = OrderedDict()

    @property
    def running(self) -> int:
        """How many places in line are at work."""
        return min(self._places, self._limits.at_once)

    @property
    def waiting(self) -> int:
        """How many wait in line."""
        return self._places - self.running

    @contextlib.asynccontextmanager
    async def place(self) -> AsyncIterator[Path]:
        """A place in line, with a folder for uploads that is gone afterwards; raises Problem.

        Take it before an upload is read, so that the uploads that wait are bounded too.
        """
        if self._places >= self._limits.at_once + self._limits.in_line:
            raise Problem(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "Too many traces are being judged; ask again in a few seconds.",
                headers={"Retry-After": "5"},
            )
        self._places += 1
        try:
            folder = await asyncio.to_thread(
                tempfile.TemporaryDirectory, prefix="trading-graph-", ignore_cleanup_errors=True
            )
            try:
                yield Path(folder.name)
            finally:
                await asyncio.to_thread(folder.cleanup)
        finally:
            self._places -= 1

    async def command_on_file(self, words: Sequence[str], path: Path, folder: Path) -> Judgement:
        """Run `trading-graph` on a file of the service; raises Problem.

        The answer is kept, and is the same until the file changes.
        """
        absolute, state = await asyncio.to_thread(lambda: (path.absolute(), path.stat()))
        key: tuple[str | int, ...] = (*words, str(absolute), state.st_mtime_ns, state.st_size)
        if key not in self._kept:
            judgement = await self.command([*words, "--", str(absolute)], folder)
            self._kept[key] = judgement
            while sum(len(each.text) for each in self._kept.values()) > _MOST_KEPT:
                self._kept.popitem(last=False)
            return judgement
        self._kept.move_to_end(key)
        return self._kept[key]

    async def command(self, words: Sequence[str], folder: Path) -> Judgement:
        """Run `trading-graph` with these words in the folder of a place; raises Problem.

        The words must be trusted: check the input of a request before it becomes one.
        """
        async with self._slots:
            environment = judging_environment(self._jaeger_url)
            ended = await _run_bounded(words, folder, environment, self._limits)
        if (message := _error_message(ended)) is not None:
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, message[:_LONGEST_SENTENCE])
        # Python exits with 1 after a crash too, but then there is no output.
        if ended.out and ended.code in (ExitCode.OK, ExitCode.CHECK_FAILED):
            return Judgement(ended.out, ended.code == ExitCode.OK)
        if ended.out and ended.code == ExitCode.NOT_DONE:
            return Judgement(ended.out, None)
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, _sentence(ended, self._limits))


def judging_environment(jaeger_url: str) -> Mapping[str, str]:
    """The environment of a process that judges; it holds no key of the service."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name.upper() in _INHERITED or name.startswith(_INHERITED_PREFIXES)
    }
    return {
        **inherited,
        "NO_COLOR": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "TRADING_GRAPH_JAEGER_URL": jaeger_url,
    }


@dataclass(frozen=True, slots=True)
class _ProcessExit:
    """The exit code and the output of a process."""

    code: int
    out: bytes
    err: bytes


async def _run_bounded(
    words: Sequence[str], folder: Path, environment: Mapping[str, str], limits: Limits
) -> _ProcessExit:
    program = _PROGRAM.format(memory=limits.memory, seconds=math.ceil(limits.seconds))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",  # import nothing from the folder, which holds the uploads
        "-c",
        program,
        *words,
        cwd=folder,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        async with asyncio.timeout(limits.seconds):
            out, err = await asyncio.gather(
                _read(process.stdout, limits.answer), _read(process.stderr, limits.answer)
            )
            code = await process.wait()
    except TimeoutError:
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            f"The trace could not be judged within {limits.seconds:g} s; judge it at a terminal.",
        ) from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return _ProcessExit(code, out, err)


async def _read(stream: asyncio.StreamReader, most: int) -> bytes:
    content = bytearray()
    while chunk := await stream.read(_CHUNK):
        content += chunk
        if len(content) > most:
            raise Problem(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                f"What there is to say of the trace takes more than {most / _MIB:g} MiB; judge it "
                "at a terminal.",
            )
    return bytes(content)


def _error_message(ended: _ProcessExit) -> str | None:
    """The message of the error document that the command printed; None without one."""
    if not ended.out or ended.code not in (ExitCode.USAGE, ExitCode.NOT_DONE):
        return None
    try:
        return msgspec.json.decode(ended.out, type=ErrorJson).error.message
    except msgspec.DecodeError:
        return None  # The verdict on an incomplete trace, or a form that is not JSON.


def _sentence(ended: _ProcessExit, limits: Limits) -> str:
    """Why there is no answer: the error of the command, or how it ended."""
    lines = [line for line in ended.err.decode(errors="replace").splitlines() if line.strip()]
    sentence = next((line for line in lines if line.startswith("Error: ")), None)
    if sentence is not None:
        return sentence.removeprefix("Error: ")[:_LONGEST_SENTENCE]
    if ended.code < 0 or (lines and "MemoryError" in lines[-1]):
        return (
            f"The trace could not be judged within {limits.memory / _MIB:g} MiB of memory and "
            f"{limits.seconds:g} s; judge it at a terminal."
        )
    if ended.code == ExitCode.NOT_DONE and lines:
        return " ".join(" ".join(lines).split())[:_LONGEST_SENTENCE]
    _LOG.error("Judging a trace failed (exit %d): %s", ended.code, lines[-1:])
    return "The trace could not be judged: the command failed on it; judge it at a terminal."
