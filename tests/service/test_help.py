"""What the help of a command looks like."""

import pytest
from click.testing import CliRunner

from trading_graph.service.cli import main


@pytest.mark.parametrize("command", sorted(main.commands))
def test_examples_stand_on_lines_of_their_own(command: str) -> None:
    shown = CliRunner().invoke(main, [command, "--help"])
    assert shown.exit_code == 0
    assert "\\b" not in shown.output
    assert "\b" not in shown.output
    lines = shown.output.splitlines()
    if "Examples:" in shown.output:
        at = lines.index("  Examples:")
        assert lines[at + 1].startswith("    trading-graph ")
