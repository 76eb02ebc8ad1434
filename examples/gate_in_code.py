"""Judge a trace by a gate that is written in code.

python examples/gate_in_code.py trace.jsonl
"""

import sys

import trading_graph as tg
from trading_graph import checks

AGENTS = tg.spans_where(role="agent")
CALLS = tg.spans_where(role="llm")

GATE = tg.Gate(
    checks=(
        checks.Overlap(set=AGENTS, id="at-once", title="The agents work at once"),
        checks.Chain(set=CALLS, limit=3, title="At most three LLM calls in series"),
        checks.Duration(set=tg.spans_where(role="run"), limit_s=30),
        checks.NoErrors(set=tg.spans_where()),
    )
)


def main(path: str) -> int:
    """Print the checklist; return 1 where a check failed."""
    passed = True
    for trace in tg.read(path):
        verdict = tg.judge(trace, GATE)
        for result in verdict.checks:
            print(f"{result.outcome:15} {result.title}: {result.measured}")
        passed = passed and verdict.passed
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
