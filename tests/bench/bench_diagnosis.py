"""How fast a trace becomes a diagnosis, and in how much memory.

    PYTHONPATH=. python tests/bench/bench_diagnosis.py [SPANS ...]

Each size and shape runs in a process of its own: read, judge, diagnose, the five best actions
played together, and each form of the report; `slow` is a run with many findings. Bars of the
design: 100,000 spans in at most 1.5 s and 400 MB without the forms, a million in at most 15 s and
3 GB; `diagnose` on a run's file of about 50 spans in at most 0.5 s, the interpreter's start
included.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.bench.bench_verdict import SHAPES, write
from trading_graph.otel.gc_pause import pause_collection


def main() -> None:
    """Print a table of sizes and shapes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("spans", type=int, nargs="*", default=[50, 10_000, 100_000, 1_000_000])
    parser.add_argument("--one", metavar="FILE", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        measure(Path(asked.one))
        return
    with tempfile.TemporaryDirectory() as folder:
        for count in asked.spans:
            for shape in (*SHAPES, "slow") if 1000 < count <= 100_000 else SHAPES[:1]:
                path = Path(folder) / f"{shape}.jsonl"
                write(path, shape, count)
                _print_one(shape, count, path)
                path.unlink()
        path = Path(folder) / "small.jsonl"
        write(path, "run", 50)
        program = str(Path(sys.executable).with_name("trading-graph"))
        commands = [[program, "diagnose", str(path), "--format", f] for f in ("text", "html")]
        text, html, bare = (
            statistics.median(_timed(each) for _ in range(9))
            for each in (*commands, [sys.executable, "-c", "pass"])
        )
        print(
            f"diagnose, 50 spans: {text:.3f} s for the command as text, {html:.3f} s as HTML "
            f"({bare:.3f} s is Python's start)"
        )


@pause_collection()  # as in the command
def measure(path: Path) -> None:
    """Diagnose one file; print the seconds of each stage and the peak memory as JSON."""
    from trading_graph.graph.gate_loader import own_gate
    from trading_graph.otel.diagnosis import Diagnosis, diagnose, ranking_of, simulate
    from trading_graph.otel.report.diagnosis import diagnosis_json
    from trading_graph.otel.report.exports import folded, perfetto
    from trading_graph.otel.report.page import diagnosis_markdown, page
    from trading_graph.otel.sources import read

    stages: dict[str, float] = {}

    def stage(name: str, work: Callable[[], Any]) -> Any:
        begin = time.perf_counter()
        found = work()
        stages[name] = time.perf_counter() - begin
        return found

    before = time.process_time()
    (trace,) = stage("read", lambda: read(path))
    found = stage("diagnosis", lambda: diagnose(trace, own_gate(), 120.0))
    assert isinstance(found, Diagnosis), found.missing
    ranking = ranking_of(found)
    best = [action for each in ranking.candidates[:5] for action in each.candidate.actions]
    stage("five best", lambda: simulate(ranking.schedule, best).wall_ns)
    cpu = time.process_time() - before
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    forms: dict[str, float] = {}
    whole = dict(stages)
    for name, work in (
        ("markdown", lambda: diagnosis_markdown(found)),
        ("json", lambda: diagnosis_json(found)),
        ("html", lambda: page(found)),
        ("folded", lambda: folded(ranking.path)),
        ("perfetto", lambda: perfetto(ranking)),
    ):
        size = len(stage(name, work))
        forms[f"{name} ({size / 1e6:.1f} MB)"] = stages[name]
    print(
        json.dumps(
            {
                "seconds": sum(whole.values()),
                "stages": whole,
                "cpu": cpu,
                "forms": forms,
                "peak_mb": peak_mb,
                "peak_with_forms_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                "findings": len(found.findings),
            }
        )
    )


def _print_one(shape: str, count: int, path: Path) -> None:
    again = [_one(path) for _ in range(3 if count <= 100_000 else 1)]
    found = sorted(again, key=lambda each: each["seconds"])[len(again) // 2]
    parts = ", ".join(f"{name} {took:.3f}" for name, took in found["stages"].items())
    forms = ", ".join(f"{name} {took:.3f}" for name, took in found["forms"].items())
    print(
        f"{shape:9} {count:9,} spans  {found['seconds']:6.3f} s ({found['cpu']:.3f} s of CPU) "
        f"and {found['peak_mb']:5.0f} MB "
        f"({parts}); {found['findings']} findings\n"
        f"          then {forms}; peak {found['peak_with_forms_mb']:.0f} MB",
        flush=True,
    )


def _one(path: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, __file__, "--one", str(path)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _timed(command: list[str]) -> float:
    begin = time.perf_counter()
    subprocess.run(command, capture_output=True, check=False)
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
