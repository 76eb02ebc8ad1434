"""Judge the traces of a file, and say what would make the first that failed faster.

python examples/judge_a_file.py trace.jsonl
"""

import sys

import trading_graph as tg


def main(path: str) -> int:
    """Print a line a trace; return 1 where one failed, and 3 where one cannot be judged."""
    try:
        traces = tg.read(path)
    except tg.JudgeError as error:
        print(error, file=sys.stderr)
        return 3
    verdicts = [tg.judge(trace) for trace in traces]
    for verdict in verdicts:
        print(verdict)
    if not all(verdict.judged for verdict in verdicts):
        return 3
    failed = [verdict for verdict in verdicts if not verdict.passed]
    if not failed:
        return 0
    for result in failed[0].failures:
        print(f"{result.title}: {result.measured} ({result.grade})")
        print(f"  do: {result.advice}")
    for finding in tg.diagnose(failed[0].trace).findings[:3]:
        print(f"{finding.kind} in {finding.place}: gains {finding.gain.likely_s:.2f} s")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
