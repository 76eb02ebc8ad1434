"""`trading-graph verify`: a trace, a gate, a verdict, an exit code."""

import sys
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from trading_graph.graph.gate import default_gate
from trading_graph.otel.errors import TraceError
from trading_graph.otel.gc_pause import pause_collection
from trading_graph.otel.report import VerdictText, as_github, as_json, as_junit, as_markdown
from trading_graph.otel.verdict import Gate, GateError, judge
from trading_graph.service.errors import BadSettings
from trading_graph.service.trace_source import find_trace

PASSED, GATE_FAILED, USAGE, NOT_JUDGED = 0, 1, 2, 3

FORMATS = {"markdown": as_markdown, "json": as_json, "junit": as_junit, "github": as_github}


@pause_collection()
def verify_command(
    words: tuple[str, ...], source: str | None, id: str | None, gate: str | None, format: str
) -> int:
    """Judge a trace and return the exit code; every fault is one sentence on stderr."""
    talk = Console(stderr=True)
    try:
        wanted = Gate.from_file(Path(gate)) if gate else default_gate()
        verdict = judge(find_trace(words, source, id), wanted, id)
        shown = VerdictText(verdict) if format == "text" else FORMATS[format](verdict)
    except (GateError, BadSettings) as error:
        talk.print(f"[red]Error:[/red] {escape(str(error))}", highlight=False, soft_wrap=True)
        return USAGE
    except TraceError as error:
        talk.print(f"[red]Error:[/red] {escape(str(error))}", highlight=False, soft_wrap=True)
        return NOT_JUDGED
    if isinstance(shown, str):
        sys.stdout.write(shown + "\n")
    else:
        Console(file=sys.stdout, highlight=False, emoji=False).print(shown)
    if not verdict.judged:
        return NOT_JUDGED
    return PASSED if verdict.passed else GATE_FAILED
