"""A process that judges received traces, seen from the service: started, asked, limited, ended.

It stays for many traces, since a process for each would take longer to start than to judge. A trace
that it cannot judge within its limits ends it, and the next one gets a new process.
"""

import asyncio
import math
import sys
from collections.abc import Mapping, Sequence

import msgspec

from trading_graph.service.server.judging import Limits
from trading_graph.service.server.receiving.judge_process import FRAME, Batch, Judged, Task

_MIB = 2**20
_MOST_TRACES = 20_000
"""How many traces a process judges before a new one takes over, so that no leak grows; to start one
takes half a second of CPU."""

# The limit holds before anything of ours is imported.
_PROGRAM = """\
import resource
resource.setrlimit(resource.RLIMIT_AS, ({memory}, {memory}))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
from trading_graph.service.server.receiving.judge_process import main
main()
"""


class UnjudgedError(Exception):
    """Of these traces one cannot be judged within the limits; the sentence says so."""


class JudgeProcess:
    """One process, which judges one trace at a time."""

    def __init__(self, environment: Mapping[str, str], limits: Limits) -> None:
        self._environment = environment
        self._limits = limits
        self._process: asyncio.subprocess.Process | None = None
        self._starting = asyncio.Lock()
        self._traces = 0

    @property
    def runs(self) -> bool:
        """Whether there is a process."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> asyncio.subprocess.Process:
        """Start the process if there is none; raises OSError."""
        async with self._starting:
            if self._process is None or self._process.returncode is not None:
                self._process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-P",
                    "-c",
                    _PROGRAM.format(memory=self._limits.memory),
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.DEVNULL,
                    env=self._environment,
                )
            return self._process

    async def judge(self, tasks: Sequence[Task]) -> list[Judged]:
        """Judge traces, which have the limits of one together; raises UnjudgedError."""
        limits = self._limits
        try:
            async with asyncio.timeout(limits.seconds):
                process = await self.start()
                batch = Batch(list(tasks), math.ceil(limits.seconds))
                content = await _answer(process, batch, limits.answer)
        except (TimeoutError, ConnectionError, asyncio.IncompleteReadError):
            await self.close()
            raise UnjudgedError(
                f"The trace could not be judged within {limits.memory / _MIB:g} MiB of memory, "
                f"{limits.seconds:g} s and {limits.answer / _MIB:g} MiB of answer; judge it at a "
                "terminal."
            ) from None
        except BaseException:
            await self.close()
            raise
        self._traces += len(tasks)
        if self._traces >= _MOST_TRACES:
            await self.close()
        return msgspec.msgpack.decode(content, type=list[Judged])

    async def close(self) -> None:
        """End the process, if there is one."""
        process, self._process = self._process, None
        self._traces = 0
        if process is not None and process.returncode is None:
            process.kill()
            await process.wait()


async def _answer(process: asyncio.subprocess.Process, batch: Batch, most: int) -> bytes:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(msgspec.json.encode(batch) + b"\n")
    await process.stdin.drain()
    (size,) = FRAME.unpack(await process.stdout.readexactly(FRAME.size))
    if size > most:
        raise ConnectionError("The answer is too large.")
    return await process.stdout.readexactly(size)
