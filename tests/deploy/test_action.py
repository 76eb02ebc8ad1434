"""The steps of action.yml, run one after the other as a runner runs them, in a small project."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
ACTION: dict[str, Any] = YAML(typ="safe").load(ROOT / "action.yml")
TESTS = """
import asyncio

from opentelemetry import trace

from trading_graph import spans_where
from trading_graph.testing import assert_no_errors

tracer = trace.get_tracer("shop")


async def ask(supplier):
    with tracer.start_as_current_span(f"ask {{supplier}}"):
        await asyncio.sleep(0.05)


async def quote():
    with tracer.start_as_current_span("quote"):
        {body}


def test_quote(recorded_spans):
    asyncio.run(quote())
    assert_no_errors(recorded_spans.trace)
    assert not {fails}
"""
AT_ONCE = "await asyncio.gather(*map(ask, ('north', 'south', 'east')))"
IN_A_ROW = "[await ask(supplier) for supplier in ('north', 'south', 'east')]"
GH = """#!{python}
import json, os, sys
with open(os.environ["ASKED"], "a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")
if "--jq" in sys.argv:
    print(os.environ.get("COMMENT", ""))
"""
_EXPRESSION = re.compile(r"\$\{\{ *(.*?) *\}\}")


@dataclass(frozen=True)
class Ended:
    """How the action ended: its exit code, its outputs, and what the job shows."""

    code: int
    outputs: dict[str, str]
    log: str
    summary: str
    asked: list[list[str]]


class Runner:
    """A runner without a network: it runs the steps that are shell, in the folder of a project."""

    def __init__(self, project: Path) -> None:
        self._project = project
        self._tools = project.parent / "tools"
        self._tools.mkdir()
        gh = self._tools / "gh"
        gh.write_text(GH.format(python=sys.executable))
        gh.chmod(0o755)
        (self._tools / "python").symlink_to(sys.executable)

    def run(self, github: Mapping[str, str], comment: str = "", **inputs: str) -> Ended:
        given = {name: each.get("default", "") for name, each in ACTION["inputs"].items()}
        known = {f"inputs.{name}": text for name, text in {**given, **inputs}.items()}
        known |= {f"github.{name}": text for name, text in github.items()}
        summary = self._project.parent / "summary.md"
        asked = self._project.parent / "asked"
        for file in (summary, asked):
            file.write_text("")
        log, code = "", 0
        for step in ACTION["runs"]["steps"]:
            if "run" not in step or not holds(step.get("if", ""), known):
                continue
            output = self._project.parent / "output"
            output.write_text("")
            done = subprocess.run(
                ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
                cwd=self._project,
                env={
                    **os.environ,
                    **{name: filled(text, known) for name, text in step.get("env", {}).items()},
                    # The interpreter's own folder: `python` here is a link, and no environment.
                    "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
                    "PATH": f"{self._tools}:{os.environ['PATH']}",
                    "GITHUB_OUTPUT": str(output),
                    "GITHUB_STEP_SUMMARY": str(summary),
                    "GITHUB_ACTION_PATH": str(ROOT),
                    "ASKED": str(asked),
                    "COMMENT": comment,
                },
                capture_output=True,
                text=True,
                timeout=120,
            )
            log += done.stdout + done.stderr
            for line in output.read_text().splitlines():
                name, _, text = line.partition("=")
                known[f"steps.{step.get('id')}.outputs.{name}"] = text
            code = done.returncode
            if code:
                break
        outputs = {name: filled(each["value"], known) for name, each in ACTION["outputs"].items()}
        lines = asked.read_text().splitlines()
        return Ended(code, outputs, log, summary.read_text(), [json.loads(each) for each in lines])


def filled(text: str, known: Mapping[str, str]) -> str:
    """A text with its expressions; a runner's own give an empty text where nothing is known."""
    return _EXPRESSION.sub(lambda match: known.get(match[1], ""), text)


def holds(condition: str, known: Mapping[str, str]) -> bool:
    """Whether a condition holds: comparisons with `==` and `!=`, all of which have to."""
    for each in filter(None, condition.split(" && ")):
        match = re.fullmatch(r"(\S+) (==|!=) '(.*)'", each)
        assert match, f"this runner does not know the condition {each}"
        if (known.get(match[1], "") == match[3]) != (match[2] == "=="):
            return False
    return True


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "a project"
    folder.mkdir()
    return folder


@pytest.fixture
def runner(project: Path) -> Runner:
    return Runner(project)


def write(project: Path, body: str = AT_ONCE, fails: bool = False) -> None:
    (project / "test_shop.py").write_text(TESTS.format(body=body, fails=fails))


GIVEN = {
    # Without the plugins that are installed here, whose imports take seconds.
    "command": "PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 python -m pytest -q -p no:cacheprovider "
    "-p trading_graph.otel.pytest_plugin",
    "package": "none",
}
PUSH = {"event_name": "push", "ref_name": "main"}
PULL = {
    "event_name": "pull_request",
    "base_ref": "main",
    "repository": "shop/quotes",
    "event.pull_request.number": "7",
}


def test_a_pull_request_that_made_calls_serial_is_told_so(project: Path, runner: Runner) -> None:
    write(project)
    pushed = runner.run(PUSH, **GIVEN)
    assert (pushed.code, pushed.outputs["passed"]) == (0, "true"), pushed.log
    assert "1 passed, 0 failed" in pushed.summary
    assert "no traces of the base branch" in pushed.summary
    assert not pushed.asked

    # What the cache of the base branch brings lies where it was saved.
    write(project, IN_A_ROW)
    pulled = runner.run(PULL, **GIVEN, token="of-the-job")
    assert (pulled.code, pulled.outputs["passed"]) == (1, "false"), pulled.log
    assert "::error title=test_shop.py_test_quote - became serial" in pulled.log
    assert "became serial" in pulled.summary
    assert "test\\_shop.py" in pulled.summary or "test_shop.py" in pulled.summary
    looked, posted = pulled.asked
    assert "repos/shop/quotes/issues/7/comments" in looked
    assert posted[-4:-2] == ["POST", "repos/shop/quotes/issues/7/comments"]
    comment = project / pulled.outputs["table"]
    assert posted[-1] == f"body=@{comment.relative_to(project)}"
    assert comment.read_text().startswith("<!-- trading-graph: traces -->\n")


def test_failed_tests_end_it_as_pytest_ended(project: Path, runner: Runner) -> None:
    write(project, fails=True)
    (project / "kept").mkdir()
    ended = runner.run(PULL, "4711", **GIVEN, token="of-the-job", base="kept")
    assert ended.code == 1
    assert ended.outputs["passed"] == "true", "the traces are judged all the same"
    assert "1 failed" in ended.log
    assert ended.asked[-1][-4:-2] == ["PATCH", "repos/shop/quotes/issues/comments/4711"]


def test_tests_without_a_trace_are_told_what_to_use(project: Path, runner: Runner) -> None:
    (project / "test_shop.py").write_text("def test_nothing():\n    pass\n")
    ended = runner.run(PULL, **GIVEN, token="of-the-job", gate="")
    assert ended.code == 3
    assert "::error title=Traces::There is no trace in" in ended.log
    assert "recorded_spans" in ended.log
    assert not ended.asked


def test_inputs_reach_the_shell_as_variables_only() -> None:
    """What is put into a script's text can end a quote, and run."""
    for step in ACTION["runs"]["steps"]:
        assert "${{" not in step.get("run", "")
        assert step.get("shell") == "bash" or "uses" in step
    used = set(re.findall(r"inputs\.(\w+)", (ROOT / "action.yml").read_text()))
    assert used == set(ACTION["inputs"])
