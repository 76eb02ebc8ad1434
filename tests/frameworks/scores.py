"""Holds what the command line says about traces against what is true of them.

    python -m tests.frameworks.scores FOLDER    judge FOLDER/*/trace.json by FOLDER/*/truth.json
    python -m tests.frameworks.scores           judge the fixtures

The table has a line for each wrong verdict and each wrong first finding.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from tests.frameworks.expectations import Answer, Kind, Score, score
from trading_graph.service.cli import main

FIXTURES = Path(__file__).parents[1] / "recorded" / "frameworks"
MANIFEST = FIXTURES / "manifest.json"

RIGHT_VERDICTS, RIGHT_FINDINGS = 0.95, 0.90


@dataclass(frozen=True, slots=True)
class Judgement:
    """A trace by name, its kind, and how the answer about it scores."""

    name: str
    kind: Kind
    score: Score


def largest_trace(trace: Path) -> list[str]:
    """Choose the trace with the most spans, where a file has several; returns words for a command.

    Some instrumentors open a trace of its own for the making of an agent.
    """
    spans = Counter(
        span["traceId"]
        for resource in json.loads(trace.read_text())["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    )
    return ["--id", spans.most_common(1)[0][0]] if len(spans) > 1 else []


def answer_about(trace: Path) -> Answer:
    """Ask both commands about a trace, as a pipeline does."""
    words = [str(trace), *largest_trace(trace), "--format", "json"]
    verified = CliRunner().invoke(main, ["verify", *words])
    diagnosed = CliRunner().invoke(main, ["diagnose", *words])
    return Answer(
        verified.exit_code,
        json.loads(verified.stdout),
        diagnosed.exit_code,
        json.loads(diagnosed.stdout),
    )


def judge(name: str, truth: dict[str, Any], trace: Path) -> Judgement:
    """Score what is said about a trace."""
    kind = Kind(truth["kind"])
    return Judgement(name, kind, score(kind, answer_about(trace), truth["gain_s"]))


def share(rights: Iterable[bool]) -> float:
    """Return the share of what is right; 1 where there is nothing."""
    all_of_them = list(rights)
    return sum(all_of_them) / len(all_of_them) if all_of_them else 1.0


def table(judgements: list[Judgement]) -> str:
    """List what was wrong, and the figures that count in the last line."""
    lines = []
    for each in judgements:
        flag = "FALSE FAIL " * each.score.false_fail + "FALSE PASS " * each.score.false_pass
        if each.score.verdict:
            lines.append(f"{each.name} ({each.kind}) {flag}verdict: {each.score.verdict}")
        if each.score.finding:
            lines.append(f"{each.name} ({each.kind}) finding: {each.score.finding}")
    verdicts = share(not each.score.verdict for each in judgements)
    findings = share(not each.score.finding for each in judgements)
    lines.append(
        f"{len(judgements)} traces: verdict right {verdicts:.1%},"
        f" first finding right {findings:.1%},"
        f" false fails {sum(each.score.false_fail for each in judgements)},"
        f" false passes {sum(each.score.false_pass for each in judgements)}"
    )
    return "\n".join(lines)


def in_folder(folder: Path) -> list[Judgement]:
    """Judge all runs that a folder holds."""
    return [
        judge(path.parent.name, json.loads(path.read_text()), path.with_name("trace.json"))
        for path in sorted(folder.glob("*/truth.json"))
    ]


def in_manifest() -> list[Judgement]:
    """Judge the fixtures."""
    lines = json.loads(MANIFEST.read_text())
    return [judge(line["file"], line["truth"], FIXTURES / line["file"]) for line in lines]


if __name__ == "__main__":
    match sys.argv[1:]:
        case [folder]:
            print(table(in_folder(Path(folder))))
        case _:
            print(table(in_manifest()))
