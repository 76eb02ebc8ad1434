"""Verdicts, diagnoses and comparisons of traces that are not our own runs'.

A trace may come from anybody, so each is read in a process of its own: the very command that people
run at a terminal, with limits on its memory and its time, a few at once and a few in line. What
crashes or hangs there harms no run.
"""

import asyncio
import os
import resource
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from service.server.problems import Problem

TIMEOUT_S = 30.0
MEMORY = 2 * 2**30
"""Address space of the process, in bytes."""
_AT_ONCE, _IN_LINE = 2, 16
_PASSED, _GATE_FAILED, _NOT_JUDGED = 0, 1, 3


@dataclass(frozen=True, slots=True)
class Judged:
    """What the command printed, and whether its gate was passed; None where it could not judge."""

    text: bytes
    passed: bool | None


class Judging:
    """Runs commands on foreign traces, each in a bounded process."""

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._asked = 0

    async def command(self, words: Sequence[str], *uploads: bytes) -> Judged:
        """Run `trading-graph` with these words, then the uploads as files; raises Problem."""
        if self._asked >= _AT_ONCE + _IN_LINE:
            raise Problem(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "Too many traces are being judged; ask again in a few seconds.",
                headers={"Retry-After": "5"},
            )
        self._asked += 1
        try:
            async with self._slots:
                return await self._in_process(words, uploads)
        finally:
            self._asked -= 1

    async def _in_process(self, words: Sequence[str], uploads: Sequence[bytes]) -> Judged:
        folder = await asyncio.to_thread(tempfile.TemporaryDirectory, prefix="trading-graph-")
        try:
            # Names of our own: nothing that a request says becomes a path.
            files = [Path(folder.name) / f"{number}.json" for number in range(len(uploads))]
            for path, content in zip(files, uploads, strict=True):
                await asyncio.to_thread(path.write_bytes, content)
            code, out, err = await _bounded([*words, *map(str, files)])
        finally:
            await asyncio.shield(asyncio.to_thread(folder.cleanup))
        if code in (_PASSED, _GATE_FAILED):
            return Judged(out, code == _PASSED)
        if code == _NOT_JUDGED and out:
            return Judged(out, None)
        said = err.decode(errors="replace").strip().removeprefix("Error: ")
        for path in files:
            said = said.replace(str(path), "the upload")
        status = HTTPStatus.UNPROCESSABLE_ENTITY
        raise Problem(status, said.partition("\n")[0] or "The trace could not be judged.")


async def _bounded(words: Sequence[str]) -> tuple[int, bytes, bytes]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "from service.cli import main; main()",
        *words,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "NO_COLOR": "1", "OPENBLAS_NUM_THREADS": "1"},
    )
    try:
        # The process cannot have read the trace yet: it is still importing.
        with suppress(ProcessLookupError):
            resource.prlimit(process.pid, resource.RLIMIT_AS, (MEMORY, MEMORY))
        async with asyncio.timeout(TIMEOUT_S):
            out, err = await process.communicate()
    except TimeoutError:
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            f"The trace could not be judged within {TIMEOUT_S:g} s; judge it at a terminal.",
        ) from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, out, err
