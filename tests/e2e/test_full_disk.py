"""A disk that gets full in the middle of a run: no line is cut, and the run can be resumed.

The system limits the size of a file of the running process, at some moment: from then on a file
takes a part of a line at most, as a full disk does.
"""

import json
import os
import random
import resource
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.patience import PATIENCE_S
from tests.service.test_signals import SPAWN, started
from trading_graph.otel.sources import read
from trading_graph.otel.trace import semconv

QUICK = {"TRADING_GRAPH_CHAT_LATENCY_S": "0.15", "OTEL_TRACES_EXPORTER": "none"}


def limit_files(process: subprocess.Popen[str], folder: Path, room: int) -> None:
    """Let no file of the process grow beyond the trace of now and a few bytes."""
    most = (folder / "trace.jsonl").stat().st_size + room
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))


@pytest.mark.parametrize(
    "seed", [1, *(pytest.param(seed, marks=pytest.mark.full) for seed in range(2, 11))]
)
def test_a_run_outlives_a_full_disk(workdir: Path, seed: int) -> None:
    chance = random.Random(seed)
    process = started(workdir, **QUICK)
    (folder,) = (workdir / "runs").iterdir()
    time.sleep(chance.uniform(0.0, 0.8))
    limit_files(process, folder, chance.randrange(1, 400))
    _, stderr = process.communicate(timeout=PATIENCE_S)
    assert "Traceback" not in stderr
    for line in (folder / "trace.jsonl").read_bytes().splitlines(keepends=True):
        assert line.endswith(b"\n")
        json.loads(line)
    if process.returncode != 0:
        ended = ended_agents(folder)
        assert (folder / "order.json").exists() or not ended, stderr
        if ended:
            again = subprocess.run(
                [*SPAWN, "run", "--resume", folder.name],
                cwd=workdir,
                env={**os.environ, **QUICK},
                capture_output=True,
                text=True,
            )
            assert again.returncode == 0, again.stderr
            assert (folder / "decision.json").exists()
            counts = ended_agents(folder)
            assert all(counts[agent] == 1 for agent in ended), (ended, counts)
    else:
        assert (folder / "decision.json").exists()


def ended_agents(folder: Path) -> Counter[str]:
    """How often each agent has ended well, as the trace has it."""
    trace, *_ = read(folder / "trace.jsonl")
    rows = [row for row in range(len(trace)) if trace.end[row] and trace.status[row] != 2]
    names = (trace.attributes(row).get(semconv.AGENT_NAME) for row in rows)
    operation = [trace.attributes(row).get(semconv.OPERATION_NAME) for row in rows]
    return Counter(
        str(name)
        for name, what in zip(names, operation, strict=True)
        if name and what == semconv.INVOKE_AGENT
    )
