"""What the help of a command looks like, what it imports, and what the command calls."""

import inspect
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from trading_graph.service.cli import main
from trading_graph.service.cli.lazy_command import LazyCommand
from trading_graph.service.portfolio.durable.database import Database


def commands(group: click.Group, *before: str) -> dict[str, click.Command]:
    """The commands of a group and of the groups in it, by the words that name them."""
    named: dict[str, click.Command] = {}
    for name, command in sorted(group.commands.items()):
        words = (*before, name)
        if isinstance(command, click.Group):
            named |= commands(command, *words)
        else:
            named[" ".join(words)] = command
    return named


COMMANDS = commands(main)


@pytest.mark.parametrize("command", ["portfolio", *COMMANDS])
def test_examples_stand_on_lines_of_their_own(command: str) -> None:
    shown = CliRunner().invoke(main, [*command.split(), "--help"])
    assert shown.exit_code == 0
    assert "\\b" not in shown.output
    assert "\b" not in shown.output
    lines = shown.output.splitlines()
    if "Examples:" in shown.output:
        at = lines.index("  Examples:")
        assert lines[at + 1].startswith("    trading-graph ")


HEAVY = ("numpy", "rich", "pydantic", "opentelemetry", "langgraph", "langsmith", "aiohttp")
PROGRAM = """
import sys
from trading_graph.service.cli import main

main(sys.argv[1:], standalone_mode=False)
print(*sys.modules, file=sys.stderr)
"""


def modules_after(*words: str) -> set[str]:
    """The modules that a command has imported at its end."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words], capture_output=True, text=True, check=True
    )
    return set(done.stderr.split())


@pytest.mark.parametrize("command", ["", "portfolio", *COMMANDS])
def test_help_imports_nothing_heavy(command: str) -> None:
    assert not modules_after(*command.split(), "--help") & set(HEAVY)


SUBMIT = """
import atexit, sys
from trading_graph.service.cli import main

atexit.register(lambda: print(*sys.modules, file=sys.stderr))
main(["portfolio", "submit", "AAPL", "--date", "2025-11-14", "--yes"])
"""


def test_who_leaves_a_portfolio_to_workers_imports_little_of_what_they_work_with(
    workdir: Path,
) -> None:
    """Only so it returns at once: most of its time is imports, and a worker has 2,900 modules.

    Whoever is the first to use a database makes its tables, and imports more.
    """
    Database.of(None, workdir / "portfolios").prepare(workdir / "portfolios")
    done = subprocess.run([sys.executable, "-c", SUBMIT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    modules = done.stderr.splitlines()[-1].split()
    heavy = {"aiohttp", "langgraph", "langchain_core", "langsmith", "jinja2", "requests", "httpx"}
    assert not heavy & set(modules)
    assert "dbos" in modules
    assert len(modules) < 1_150


def test_the_help_of_run_imports_its_options() -> None:
    """They are made from the fields of a request, whose module is light."""
    assert "trading_graph.service.run.request" in modules_after("run", "--help")


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_command_calls_a_function_that_takes_its_parameters(command: click.Command) -> None:
    assert isinstance(command, LazyCommand)
    function = command.function()
    with click.Context(command) as context:
        names = {each.name for each in command.get_params(context) if each.expose_value}
    inspect.signature(function).bind(**dict.fromkeys(map(str, names)))
