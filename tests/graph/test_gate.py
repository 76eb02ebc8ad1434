"""The gate of our own runs, which is the default of the judge."""

import subprocess
import sys

from trading_graph.graph.gate_loader import own_gate


def test_it_has_the_eight_checks() -> None:
    assert [check.id for check in own_gate().checks] == [
        "start",
        "tools",
        "budget",
        "overlap",
        "chain",
        "loop",
        "duplicates",
        "errors",
    ]


def test_it_loads_without_what_only_runs_need() -> None:
    code = (
        "import sys; from trading_graph.graph.gate_loader import own_gate; own_gate();"
        "print(sorted({'langgraph', 'langchain_core', 'openai', 'aiohttp', 'pandas', 'pydantic'}"
        " & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
