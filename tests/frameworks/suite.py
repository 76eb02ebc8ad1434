"""All runs of the suite: framework, instrumentor and variant; and how one is made.

python -m tests.frameworks.suite OUT [NAME ...]    record them to OUT/FRAMEWORK-INSTRUMENTOR-VARIANT
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.frameworks.environments import program, python_of

RUN_S = 120.0

_AGENT = "par turns mixed mixlock mixfake fake lock sem"
_TEAM = "agents fan row"
_CHATS = "chatpar chatrow chatchain chatfake chatsem"

MATRIX = {
    ("langgraph", "openinference"): f"{_AGENT} serial threads {_TEAM} barrier maxcon",
    ("langgraph", "openllmetry"): f"{_AGENT} serial threads {_TEAM} barrier maxcon",
    ("langgraph", "langsmith"): f"{_AGENT} serial threads {_TEAM} barrier maxcon",
    ("openai_agents", "openinference"): f"{_AGENT} threads {_TEAM}",
    ("openai_agents", "openinference-chat"): "par turns mixlock fake lock",
    ("pydantic_ai", "own"): f"{_AGENT} serial threads {_TEAM}",
    ("pydantic_ai", "nocontent"): f"{_AGENT} serial",
    ("google_adk", "own"): f"{_AGENT} {_TEAM}",
    ("crewai", "openinference"): f"par turns mixed lock sem {_TEAM}",
    ("agno", "openinference"): f"{_AGENT} serial threads {_TEAM}",
    ("llama_index", "openinference"): f"{_AGENT} threads {_TEAM}",
    ("smolagents", "openinference"): "par turns mixed mixlock lock sem pool agents row",
    ("strands", "own"): f"{_AGENT} serial threads agents fan",
    ("openai_client", "openai-v2"): _CHATS,
    ("openai_client", "openinference"): _CHATS,
    ("http_service", "own"): "par row agents fake lock sem pool",
}


@dataclass(frozen=True)
class Run:
    """A program in a variant under an instrumentor."""

    framework: str
    instrumentor: str
    variant: str

    def __str__(self) -> str:
        return f"{self.framework}-{self.instrumentor}-{self.variant}"


@dataclass(frozen=True)
class Recording:
    """What a run left: its trace, and what really happened."""

    run: Run
    trace: Path
    truth: dict[str, Any]

    def is_true_to_its_variant(self) -> bool:
        """Tell whether as many tools and model calls worked at once as the variant says."""
        truth = self.truth
        return bool(
            truth["tools_at_once"] == truth["tools_expected"]
            and truth["calls_at_once"] == truth["calls_expected"]
        )


def runs() -> Iterator[Run]:
    """Yield all runs, those of one framework together."""
    for (framework, instrumentor), variants in MATRIX.items():
        for variant in variants.split():
            yield Run(framework, instrumentor, variant)


def record(run: Run, folder: Path) -> Recording:
    """Run a program in its own environment; raises RuntimeError with its last words if it fails."""
    folder.mkdir(parents=True, exist_ok=True)
    trace = folder / "trace.json"
    words = [run.variant, str(trace), run.instrumentor]
    foreign = ("PYTHON", "PYTEST", "VIRTUAL_ENV", "OTEL_", "LANGSMITH_", "LANGCHAIN_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    done = subprocess.run(
        [python_of(run.framework), program(run.framework), *words],
        cwd=folder,
        env=kept,
        capture_output=True,
        text=True,
        timeout=RUN_S,
    )
    if done.returncode or not trace.exists():
        raise RuntimeError(f"{run} failed: {done.stderr.strip()[-800:]}")
    return Recording(run, trace, json.loads((folder / "truth.json").read_text()))


def main(words: list[str]) -> int:
    """Record the runs whose name holds one of the words, and say which did something else."""
    out, wanted = Path(words[0]), words[1:] or [""]
    failed = 0
    for run in runs():
        if any(word in str(run) for word in wanted):
            try:
                recording = record(run, out / str(run))
                said = "ok" if recording.is_true_to_its_variant() else f"NOT {recording.truth}"
            except (RuntimeError, subprocess.TimeoutExpired) as failure:
                said = f"FAILED {failure}"
            failed += said != "ok"
            print(run, said, flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
